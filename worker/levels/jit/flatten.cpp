#include "levels/jit/flatten.h"

#include <llvm/Analysis/LoopInfo.h>
#include <llvm/Analysis/ScalarEvolution.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/Transforms/Utils/LoopUtils.h>

#include "levels/jit/points.h"

namespace epochly::jit {

using namespace llvm;

namespace {

// Of the loop laid out flat: LLVM takes a tenth of a millisecond for each.
constexpr unsigned INSTRUCTIONS_MAX = 500;
// Iterations of the loop around it that are computed side by side, if each carries no more values than these: of 32 registers, with
// what they need besides.
constexpr unsigned CHAINS_MAX = 4, CARRIED_MAX = 3;

bool isPoll(const Instruction& one) {
  auto* call = dyn_cast<CallInst>(&one);
  return call && call->getCalledFunction() && call->getCalledFunction()->getName() == POLL_POINT;
}

// What a loop counts is known in each of its iterations, once they are laid out.
bool isCounter(const Instruction& one, const Loop& loop) {
  auto* sum = dyn_cast<BinaryOperator>(&one);
  if (!sum || sum->getOpcode() != Instruction::Add || !isa<ConstantInt>(sum->getOperand(1))) return false;
  auto* before = dyn_cast<PHINode>(sum->getOperand(0));
  return before && before->getParent() == loop.getHeader() && before->getIncomingValueForBlock(loop.getLoopLatch()) == sum;
}

// How much of a loop is left if it is laid out; none: it does more than to compute, on one path.
std::optional<unsigned> sizeOf(const Loop& loop) {
  unsigned size = 0;
  for (auto* block : loop.blocks()) {
    auto* branch = dyn_cast<BranchInst>(block->getTerminator());
    if (!branch || (branch->isConditional() && block != loop.getExitingBlock())) return {};
    for (auto& one : *block) {
      if (isa<PHINode>(one) || one.isTerminator() || isPoll(one) || isCounter(one, loop)) continue;
      if (one.mayReadOrWriteMemory() || (isa<CallInst>(one) && !isa<IntrinsicInst>(one))) return {};
      size++;
    }
  }
  return size;
}

bool isWorthIt(Loop& loop, ScalarEvolution& scev) {
  auto* outer = loop.getParentLoop();
  if (!outer || !loop.isInnermost() || outer->getSubLoops().size() != 1) return false;
  auto* latch = outer->getLoopLatch();
  if (!latch || outer->getExitingBlock() != latch || isa<SCEVCouldNotCompute>(scev.getExitCount(outer, latch))) return false;
  auto trips = scev.getSmallConstantTripCount(&loop);
  auto size = trips ? sizeOf(loop) : std::nullopt;
  return size && uint64_t(*size) * trips <= INSTRUCTIONS_MAX;
}

// Each iteration of `outer` is a chain of dependent operations once `inner` is laid out: several side by side keep the machine
// busy. What they carry has to fit the registers.
void interleave(Loop& inner, Loop& outer) {
  auto carried = range_size(inner.getHeader()->phis()) - 1;
  addStringMetadataToLoop(&outer, "llvm.loop.interleave.count", carried <= CARRIED_MAX ? CHAINS_MAX : CHAINS_MAX / 2);
}

}  // namespace

PreservedAnalyses FlattenPass::run(Function& function, FunctionAnalysisManager& analyses) {
  auto& scev = analyses.getResult<ScalarEvolutionAnalysis>(function);
  for (auto* loop : analyses.getResult<LoopAnalysis>(function).getLoopsInPreorder()) {
    if (!isWorthIt(*loop, scev)) continue;
    addStringMetadataToLoop(loop, "llvm.loop.unroll.full", 1);
    interleave(*loop, *loop->getParentLoop());
  }
  return PreservedAnalyses::all();
}

}  // namespace epochly::jit
