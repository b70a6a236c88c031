#include "levels/jit/math_calls.h"

#include <llvm/IR/Dominators.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <algorithm>
#include <map>

#include "levels/jit/vector_calls.h"
#include "levels/jit/vector_math.h"

namespace epochly::jit {

using namespace llvm;

namespace {

constexpr const char *SINE = "epochly_math_sin", *COSINE = "epochly_math_cos";

SmallVector<CallInst*> callsOf(Function& function, function_ref<bool(StringRef)> wanted) {
  SmallVector<CallInst*> found;
  for (auto& block : function) {
    for (auto& one : block) {
      auto* call = dyn_cast<CallInst>(&one);
      if (call && call->getCalledFunction() && wanted(call->getCalledFunction()->getName())) found.push_back(call);
    }
  }
  return found;
}

// `first` stands before `second` on every path to it.
void pair(CallInst& first, CallInst& second) {
  auto& module = *first.getModule();
  auto* real = first.getType();
  IRBuilder<> top(&first.getFunction()->getEntryBlock(), first.getFunction()->getEntryBlock().begin());
  Value* results[] = {top.CreateAlloca(real), top.CreateAlloca(real)};
  IRBuilder<> ir(&first);
  auto* type = FunctionType::get(ir.getVoidTy(), {real, ir.getPtrTy(), ir.getPtrTy()}, false);
  auto* target = cast<Function>(module.getOrInsertFunction(vectors::SINE_AND_COSINE, type).getCallee());
  target->addFnAttr(Attribute::NoUnwind);
  target->addFnAttr(Attribute::WillReturn);
  target->setOnlyAccessesArgMemory();
  ir.CreateCall(target, {first.getArgOperand(0), results[0], results[1]});
  for (auto* call : {&first, &second}) {
    IRBuilder<> here(call);  // not sooner: no register outlives a call
    call->replaceAllUsesWith(here.CreateLoad(real, results[call->getCalledFunction()->getName() == SINE ? 0 : 1]));
  }
}

void offer(CallInst& call) {
  auto name = call.getCalledFunction()->getName().str();
  SmallVector<unsigned, 2> lanes;
  for (auto count : vectors::LANES) {
    auto& known = vectors::functions(count);
    if (std::find(known.begin(), known.end(), name) != known.end()) lanes.push_back(count);
  }
  offerVectorCalls(call, lanes);
}

}  // namespace

PreservedAnalyses PairSinesPass::run(Function& function, FunctionAnalysisManager& analyses) {
  auto& tree = analyses.getResult<DominatorTreeAnalysis>(function);
  std::map<std::pair<Value*, bool>, SmallVector<CallInst*, 2>> waiting;  // by argument, and whether it is the sine
  SmallVector<CallInst*> gone;
  for (auto* call : callsOf(function, [](StringRef name) { return name == SINE || name == COSINE; })) {
    bool isSine = call->getCalledFunction()->getName() == SINE;
    auto& others = waiting[{call->getArgOperand(0), !isSine}];
    auto* found = find_if(others, [&](CallInst* one) { return tree.dominates(one, call) || tree.dominates(call, one); });
    if (found == others.end()) {
      waiting[{call->getArgOperand(0), isSine}].push_back(call);
      continue;
    }
    tree.dominates(*found, call) ? pair(**found, *call) : pair(*call, **found);
    gone.append({*found, call});
    others.erase(found);
  }
  for (auto* call : gone) call->eraseFromParent();
  if (gone.empty()) return PreservedAnalyses::all();
  PreservedAnalyses kept;
  kept.preserveSet<CFGAnalyses>();
  return kept;
}

PreservedAnalyses OfferVectorMathPass::run(Function& function, FunctionAnalysisManager&) {
  for (auto* call : callsOf(function, [](StringRef name) { return name.starts_with("epochly_math_"); })) offer(*call);
  return PreservedAnalyses::all();
}

}  // namespace epochly::jit
