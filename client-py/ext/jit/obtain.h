// Machine code of a unit: from disk, else from the compiler, which is loaded when first needed.
#pragma once

#include "levels/jit/code.h"

namespace epochly::ext::jit {

// Thread-safe, without the GIL. Throws program::Declined.
std::shared_ptr<epochly::jit::Code> obtain(program::Unit& unit, const epochly::jit::Options& options);
// For people; the compiler's.
std::string intermediate(program::Unit& unit, const epochly::jit::Options& options);
std::string assembly(program::Unit& unit, const epochly::jit::Options& options);

}  // namespace epochly::ext::jit
