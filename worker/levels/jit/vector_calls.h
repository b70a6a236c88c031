// Calls that stand for several at once where a loop is vectorised.
#pragma once

#include <llvm/IR/Instructions.h>

namespace epochly::jit {

// Says which functions do the same for several numbers: those with the count appended to the name, where this processor has such
// registers.
void offerVectorCalls(llvm::CallInst& call, llvm::ArrayRef<unsigned> lanes);

}  // namespace epochly::jit
