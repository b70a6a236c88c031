// Level 2 as this process's calls see it. The compiler itself is in epochly._jit, which links LLVM.
#pragma once

#include "levels/registry/engines.h"

namespace epochly::ext {

// Adds the engine, or says why there is none. Does not load LLVM.
void addJitEngine(levels::Engines& engines);

}  // namespace epochly::ext
