// CPython's own arithmetic for complex ** complex: its steps differ between versions.
#pragma once

namespace epochly::ext::jit {

// Once, before code is compiled.
void provideComplexPower();

}  // namespace epochly::ext::jit
