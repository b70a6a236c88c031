#include "levels/jit/pipeline.h"

#include <llvm/Analysis/LoopInfo.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/CommandLine.h>
#include <llvm/Transforms/IPO/GlobalDCE.h>
#include <llvm/Transforms/IPO/Inliner.h>
#include <llvm/Transforms/InstCombine/InstCombine.h>
#include <llvm/Transforms/Scalar/CorrelatedValuePropagation.h>
#include <llvm/Transforms/Scalar/DeadStoreElimination.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/GVN.h>
#include <llvm/Transforms/Scalar/IndVarSimplify.h>
#include <llvm/Transforms/Scalar/JumpThreading.h>
#include <llvm/Transforms/Scalar/LICM.h>
#include <llvm/Transforms/Scalar/LoopDeletion.h>
#include <llvm/Transforms/Scalar/LoopPassManager.h>
#include <llvm/Transforms/Scalar/LoopRotation.h>
#include <llvm/Transforms/Scalar/LoopUnrollPass.h>
#include <llvm/Transforms/Scalar/SROA.h>
#include <llvm/Transforms/Scalar/SimpleLoopUnswitch.h>
#include <llvm/Transforms/Scalar/SimplifyCFG.h>
#include <llvm/Transforms/Utils/LoopUtils.h>
#include <llvm/Transforms/Vectorize/LoopVectorize.h>
#include <llvm/Transforms/Vectorize/SLPVectorizer.h>

#include "levels/jit/flatten.h"
#include "levels/jit/frame_constants.h"
#include "levels/jit/late_guards.h"
#include "levels/jit/math_calls.h"
#include "levels/jit/points.h"
#include "levels/jit/power_calls.h"
#include "levels/jit/range_checks.h"
#include "levels/jit/real_bits.h"
#include "levels/jit/speculate.h"
#include "levels/jit/wide_notes.h"

namespace epochly::jit {

using namespace llvm;

namespace {

// Slots to values, and what that shows.
void addCleanUp(FunctionPassManager& passes) {
  passes.addPass(SROAPass(SROAOptions::ModifyCFG));
  passes.addPass(EarlyCSEPass(true));
  passes.addPass(SimplifyCFGPass());
  passes.addPass(InstCombinePass());
}

// What a vectorised loop leaves over is short: not worth more code.
class RemaindersPass : public PassInfoMixin<RemaindersPass> {
 public:
  PreservedAnalyses run(Function& function, FunctionAnalysisManager& analyses) {
    for (auto* loop : analyses.getResult<LoopAnalysis>(function).getLoopsInPreorder()) {
      if (findOptionMDForLoop(loop, "llvm.loop.isvectorized")) addStringMetadataToLoop(loop, "llvm.loop.unroll.disable", 1);
    }
    return PreservedAnalyses::all();
  }
};

// Whether a loop that is not vectorised computes with floats: for nothing else do vectors made of neighbours pay.
bool hasRealsToPack(Loop& loop) {
  if (findOptionMDForLoop(&loop, "llvm.loop.isvectorized")) return false;
  return any_of(loop.blocks(), [](auto* block) {
    return any_of(*block, [](auto& one) { return isa<BinaryOperator>(one) && one.getType()->isDoubleTy(); });
  });
}

class PackRealsPass : public PassInfoMixin<PackRealsPass> {
 public:
  PreservedAnalyses run(Function& function, FunctionAnalysisManager& analyses) {
    auto loops = analyses.getResult<LoopAnalysis>(function).getLoopsInPreorder();
    if (none_of(loops, [](auto* loop) { return loop->isInnermost() && hasRealsToPack(*loop); }))
      return PreservedAnalyses::all();
    return SLPVectorizerPass().run(function, analyses);
  }
};

bool hasSeveralFunctions(const Module& module) {
  return count_if(module, [](auto& function) { return !function.isDeclaration(); }) > 1;
}

// Cleans every function up, callees before they are inlined.
void addInlining(ModulePassManager& passes, const Module& module) {
  FunctionPassManager cleanUp;
  addCleanUp(cleanUp);
  if (!hasSeveralFunctions(module)) return passes.addPass(createModuleToFunctionPassAdaptor(std::move(cleanUp)));
  cleanUp.addPass(SimplifyCFGPass());  // the branches on what a callee that is inlined returns
  ModuleInlinerWrapperPass inliner(getInlineParams(2, 0));
  inliner.getPM().addPass(createCGSCCToFunctionPassAdaptor(std::move(cleanUp)));
  passes.addPass(std::move(inliner));
  passes.addPass(GlobalDCEPass());
}

FunctionPassManager beforeSpeculation() {
  FunctionPassManager passes;
  LoopPassManager loops;
  loops.addPass(LoopRotatePass());
  loops.addPass(LICMPass(LICMOptions()));
  loops.addPass(SimpleLoopUnswitchPass());
  passes.addPass(createFunctionToLoopPassAdaptor(std::move(loops), true));
  passes.addPass(SimplifyCFGPass());
  LoopPassManager unroll;
  unroll.addPass(LoopFullUnrollPass(2));
  passes.addPass(createFunctionToLoopPassAdaptor(std::move(unroll)));
  passes.addPass(GVNPass());
  return passes;
}

// Once the guards of the outer loop are out of it; what the inner loop takes note of, while that is still one check.
void addFlattening(FunctionPassManager& passes) {
  passes.addPass(SimplifyCFGPass());
  passes.addPass(ImpliedChecksPass());
  passes.addPass(FlattenPass());
  LoopPassManager unroll;
  unroll.addPass(LoopFullUnrollPass(2, true));
  passes.addPass(createFunctionToLoopPassAdaptor(std::move(unroll)));
  passes.addPass(EarlyCSEPass());
}

FunctionPassManager afterSpeculation(bool fastmath) {
  FunctionPassManager passes;
  passes.addPass(SimplifyCFGPass());
  passes.addPass(SROAPass(SROAOptions::ModifyCFG));
  passes.addPass(InstCombinePass());
  LoopPassManager loops;
  loops.addPass(LICMPass(LICMOptions()));
  loops.addPass(IndVarSimplifyPass());
  loops.addPass(LoopDeletionPass());
  passes.addPass(createFunctionToLoopPassAdaptor(std::move(loops), true));
  passes.addPass(CorrelatedValuePropagationPass());
  passes.addPass(SimplifyCFGPass());
  passes.addPass(DSEPass());
  passes.addPass(EarlyCSEPass());  // what two paths have computed that are one now
  passes.addPass(RealBitsPass());
  passes.addPass(ImpliedChecksPass());
  passes.addPass(OfferVectorPowersPass());
  if (fastmath) passes.addPass(OfferVectorMathPass());
  passes.addPass(WideNotesPass());
  passes.addPass(LoopVectorizePass());
  passes.addPass(RemaindersPass());
  passes.addPass(PairSinesPass());
  passes.addPass(ExpandPowersPass());
  passes.addPass(NotANumberNotePass());
  passes.addPass(RangeNotePass());
  passes.addPass(
      SimplifyCFGPass(SimplifyCFGOptions().convertSwitchRangeToICmp(true).hoistCommonInsts(true).sinkCommonInsts(true)));
  passes.addPass(PackRealsPass());
  passes.addPass(LoopUnrollPass(LoopUnrollOptions(2)));
  passes.addPass(InstCombinePass());
  LoopPassManager last;
  last.addPass(LICMPass(LICMOptions()));
  passes.addPass(createFunctionToLoopPassAdaptor(std::move(last), true));
  passes.addPass(SimplifyCFGPass());
  return passes;
}

// LLVM's own options, which have no other door.
constexpr struct {
  const char *name, *value;
} OPTIONS[] = {
    // A loop whose sum must be added in order may still be vectorised in all else.
    {"force-ordered-reductions", "true"},
    // Guards make a short conditional block a little longer: a selection is still better than a branch that is often mispredicted.
    {"two-entry-phi-node-folding-threshold", "20"},
    // What runs out of order gains nothing from being sorted once more; eight copies of a loop gain nothing over four. Both take
    // long to make.
    {"disable-post-ra", "true"},
    {"unroll-max-count", "4"},
};

void setOptions() {
  static const bool once = [] {
    auto& known = cl::getRegisteredOptions();
    for (auto [name, value] : OPTIONS) {
      if (auto found = known.find(name); found != known.end()) found->second->addOccurrence(0, name, value);
    }
    return true;
  }();
  (void)once;
}

}  // namespace

void optimise(Module& module, TargetMachine& machine, const Options& options) {
  setOptions();
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager graph;
  ModuleAnalysisManager modules;
  PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(graph);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, graph, modules);

  ModulePassManager passes;
  addInlining(passes, module);
  passes.addPass(FrameConstantsPass());
  auto rest = beforeSpeculation();
  if (!options.careful) {
    rest.addPass(SpeculatePass());
    rest.addPass(RangeChecksPass());
    addFlattening(rest);
  }
  rest.addPass(ExpandPointsPass());
  rest.addPass(afterSpeculation(options.fastmath));
  passes.addPass(createModuleToFunctionPassAdaptor(std::move(rest)));
  passes.run(module, modules);
}

}  // namespace epochly::jit
