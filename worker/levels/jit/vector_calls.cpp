#include "levels/jit/vector_calls.h"

#include <llvm/IR/Module.h>
#include <llvm/IR/VFABIDemangler.h>

#include <string>

namespace epochly::jit {

using namespace llvm;

void offerVectorCalls(CallInst& call, ArrayRef<unsigned> lanes) {
  auto& module = *call.getModule();
  auto features = call.getFunction()->getFnAttribute("target-features").getValueAsString();
  auto name = call.getCalledFunction()->getName();
  SmallVector<std::string> variants;
  for (auto count : lanes) {
    if (!features.contains(count == 8 ? "+avx512f," : "+avx2,") || !features.contains("+fma,")) continue;
    auto many = (name + Twine(count)).str();
    auto* type = FixedVectorType::get(call.getType(), count);
    auto target = module.getOrInsertFunction(many, FunctionType::get(type, {type}, false));
    auto* declared = cast<Function>(target.getCallee());
    declared->copyAttributesFrom(call.getCalledFunction());
    variants.push_back(("_ZGV_LLVM_N" + Twine(count) + "v_" + name + "(" + many + ")").str());
  }
  if (variants.empty()) return;
  VFABI::setVectorVariantNames(&call, variants);
  // Vectors that live across a call are spilled. Left to itself LLVM gives them slots that lie in two cache lines, at some depths of
  // the stack and not at others: a loop of such calls then takes 1.5 times as long.
  call.getFunction()->addFnAttr("stackrealign");
}

}  // namespace epochly::jit
