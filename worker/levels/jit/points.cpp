#include "levels/jit/points.h"

#include <llvm/Analysis/LoopInfo.h>
#include <llvm/Analysis/ScalarEvolution.h>
#include <llvm/IR/Dominators.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/MDBuilder.h>
#include <llvm/IR/Module.h>
#include <llvm/Transforms/Utils/ScalarEvolutionExpander.h>

#include <optional>

#include "levels/jit/runtime.h"

namespace epochly::jit {

using namespace llvm;

namespace {

CallInst* pointCall(Instruction& instruction, StringRef name) {
  auto* call = dyn_cast<CallInst>(&instruction);
  return call && call->getCalledFunction() && call->getCalledFunction()->getName() == name ? call : nullptr;
}

}  // namespace

SmallVector<CallInst*> pointsIn(ArrayRef<BasicBlock*> blocks, StringRef name, function_ref<bool(BasicBlock*)> wanted) {
  SmallVector<CallInst*> found;
  for (auto* block : blocks) {
    if (!wanted(block)) continue;
    for (auto& instruction : *block) {
      if (auto* call = pointCall(instruction, name)) found.push_back(call);
    }
  }
  return found;
}

namespace {

// Arguments of a POLL_POINT.
struct Point {
  explicit Point(CallInst& call) : ticks(call.getArgOperand(0)), bad(call.getArgOperand(1)), which(call.getArgOperand(2)) {}
  Value *ticks, *bad, *which;
};

// At the end of `block`, which has no terminator yet: counts `iterations`, looks at the clock when there were enough, and goes on at
// the block that it returns.
BasicBlock* look(BasicBlock* block, Value* iterations, Point point) {
  auto& function = *block->getParent();
  auto& context = block->getContext();
  auto make = [&](const char* name) { return BasicBlock::Create(context, name, &function); };
  auto *looks = make("look"), *asks = make("ask"), *fails = make("fails"), *on = make("on");
  MDBuilder md(context);
  IRBuilder<> ir(block);
  auto* count = ir.CreateAdd(ir.CreateLoad(ir.getInt32Ty(), point.ticks), iterations);
  ir.CreateStore(count, point.ticks);
  ir.CreateCondBr(ir.CreateICmpULT(count, ir.getInt32(POLL_TICKS)), on, looks, md.createBranchWeights(1 << 12, 1));
  ir.SetInsertPoint(looks);
  ir.CreateStore(ir.getInt32(0), point.ticks);
  ir.CreateCondBr(point.bad, fails, asks, md.createBranchWeights(1, 1 << 12));
  ir.SetInsertPoint(asks);
  auto poll = function.getParent()->getOrInsertFunction("epochly_poll", ir.getInt32Ty(), ir.getPtrTy());
  auto* stop = ir.CreateICmpNE(ir.CreateCall(poll, {function.getArg(0)}), ir.getInt32(0));
  ir.CreateCondBr(stop, fails, on, md.createBranchWeights(1, 1 << 12));
  ir.SetInsertPoint(fails);
  ir.CreateRet(point.which);
  return on;
}

// In place of a point that every iteration meets.
void expandPoll(CallInst* call) {
  Point point(*call);
  auto* block = call->getParent();
  auto* rest = block->splitBasicBlock(call);
  block->getTerminator()->eraseFromParent();
  auto* on = look(block, ConstantInt::get(Type::getInt32Ty(call->getContext()), 1), point);
  BranchInst::Create(rest, on);
  call->eraseFromParent();
}

// An innermost loop with a trip count that is known before it: runs in strips of STRIP_ITERATIONS, with the poll between them.
class Strips {
 public:
  // Null: not such a loop.
  static std::optional<Strips> of(Loop& loop, ScalarEvolution& scev, DominatorTree& tree) {
    auto* latch = loop.getLoopLatch();
    if (!loop.isInnermost() || !latch || loop.getExitingBlock() != latch) return {};
    auto* count = scev.getExitCount(&loop, latch);
    if (isa<SCEVCouldNotCompute>(count) || !count->getType()->isIntegerTy(64)) return {};
    auto points = pointsIn(loop.getBlocks(), POLL_POINT, [](auto*) { return true; });
    if (points.empty()) return {};
    // Where a `continue` has made several, they may differ in what they have seen.
    for (auto* point : points) {
      if (point->getArgOperand(1) != points[0]->getArgOperand(1)) return {};
    }
    auto* bad = dyn_cast<Instruction>(points[0]->getArgOperand(1));
    if (bad && !tree.dominates(bad->getParent(), latch)) return {};
    auto most = scev.getSmallConstantMaxTripCount(&loop);
    if (most && most <= SHORT_ITERATIONS) return Strips(loop, points, nullptr);
    auto* before = loop.getLoopPreheader()->getTerminator();
    SCEVExpander expander(scev, before->getModule()->getDataLayout(), "trips");
    if (!expander.isSafeToExpandAt(count, before)) return {};
    return Strips(loop, points, expander.expandCodeFor(count, count->getType(), before));
  }

  void make() {
    Point point(*points[0]);
    if (backEdges) split(point);
    for (auto* call : points) call->eraseFromParent();
  }

 private:
  // A loop that never runs longer needs no poll: the loop around it has one.
  static constexpr unsigned SHORT_ITERATIONS = 64;

  BasicBlock *entry, *header, *latch;
  bool exitFirst;  // the exit is successor 0 of the latch
  SmallVector<CallInst*> points;
  Value* backEdges;  // null: few enough

  Strips(Loop& loop, SmallVector<CallInst*> points, Value* backEdges)
      : entry(loop.getLoopPreheader()),
        header(loop.getHeader()),
        latch(loop.getLoopLatch()),
        exitFirst(!loop.contains(latch->getTerminator()->getSuccessor(0))),
        points(std::move(points)),
        backEdges(backEdges) {}

  void split(Point point) {
    // The loop's own exit is where the trip count says.
    auto& context = header->getContext();
    auto* strip = BasicBlock::Create(context, "strip", header->getParent(), header);
    auto* end = BasicBlock::Create(context, "strip.end", header->getParent());
    auto* branch = cast<BranchInst>(latch->getTerminator());
    auto* exit = branch->getSuccessor(exitFirst ? 0 : 1);
    // Every variable of the loop is one of the loop around it, too.
    SmallVector<std::pair<PHINode*, Value*>> carried;
    for (auto& phi : header->phis()) {
      auto* outer = PHINode::Create(phi.getType(), 2, phi.getName() + ".strip", strip);
      outer->addIncoming(phi.getIncomingValueForBlock(entry), entry);
      carried.emplace_back(outer, phi.getIncomingValueForBlock(latch));
      phi.setIncomingValue(phi.getBasicBlockIndex(entry), outer);
      phi.setIncomingBlock(phi.getBasicBlockIndex(entry), strip);
    }
    IRBuilder<> ir(entry->getTerminator());
    auto* i64 = ir.getInt64Ty();
    auto* trips = ir.CreateAdd(backEdges, ir.getInt64(1));
    entry->getTerminator()->replaceSuccessorWith(header, strip);
    ir.SetInsertPoint(strip);
    auto* left = ir.CreatePHI(i64, 2, "strip.left");
    auto* length = ir.CreateBinaryIntrinsic(Intrinsic::umin, left, ir.getInt64(STRIP_ITERATIONS));
    ir.CreateBr(header);
    auto* count = PHINode::Create(i64, 2, "strip.count", header->begin());
    ir.SetInsertPoint(branch);
    auto* next = ir.CreateAdd(count, ir.getInt64(1), "", true, true);
    count->addIncoming(ir.getInt64(0), strip);
    count->addIncoming(next, latch);
    auto* again = ir.CreateCondBr(ir.CreateICmpULT(next, length), header, end);
    again->setMetadata(LLVMContext::MD_loop, branch->getMetadata(LLVMContext::MD_loop));
    branch->eraseFromParent();
    ir.SetInsertPoint(end);
    auto* rest = ir.CreateSub(left, length, "", true);
    auto* on = look(end, ir.CreateTrunc(length, ir.getInt32Ty()), point);
    ir.SetInsertPoint(on);
    ir.CreateCondBr(ir.CreateICmpNE(rest, ir.getInt64(0)), strip, exit);
    left->addIncoming(trips, entry);
    left->addIncoming(rest, on);
    for (auto& [outer, value] : carried) outer->addIncoming(value, on);
    for (auto& phi : exit->phis()) phi.setIncomingBlock(phi.getBasicBlockIndex(latch), on);
  }
};

// Of several points in one loop, the last that every iteration meets is enough.
void thinOut(Loop& loop, LoopInfo& loops, DominatorTree& tree) {
  auto* latch = loop.getLoopLatch();
  if (!latch) return;
  auto points = pointsIn(loop.getBlocks(), POLL_POINT, [&](BasicBlock* block) { return loops.getLoopFor(block) == &loop; });
  CallInst* kept = nullptr;
  for (auto* point : points) {
    if (tree.dominates(point->getParent(), latch) && (!kept || tree.dominates(kept, point))) kept = point;
  }
  for (auto* point : points) {
    if (kept && point != kept) point->eraseFromParent();
  }
}

void expandIndex(CallInst* point) {
  IRBuilder<> ir(point);
  auto *index = point->getArgOperand(0), *length = point->getArgOperand(1);
  auto* below = ir.CreateICmpSLT(index, ConstantInt::get(index->getType(), 0));
  point->replaceAllUsesWith(ir.CreateSelect(below, ir.CreateAdd(index, length), index));
  point->eraseFromParent();
}

}  // namespace

PreservedAnalyses ExpandPointsPass::run(Function& function, FunctionAnalysisManager& analyses) {
  auto& loops = analyses.getResult<LoopAnalysis>(function);
  auto& tree = analyses.getResult<DominatorTreeAnalysis>(function);
  auto& scev = analyses.getResult<ScalarEvolutionAnalysis>(function);
  SmallVector<Strips> strips;
  for (auto* loop : loops.getLoopsInPreorder()) {
    thinOut(*loop, loops, tree);
    if (auto one = loop->getLoopPreheader() ? Strips::of(*loop, scev, tree) : std::nullopt) strips.push_back(*one);
  }
  for (auto& one : strips) one.make();
  SmallVector<BasicBlock*> blocks;
  for (auto& block : function) blocks.push_back(&block);
  auto all = [](auto*) { return true; };
  for (auto* point : pointsIn(blocks, INDEX_POINT, all)) expandIndex(point);
  for (auto* point : pointsIn(blocks, POLL_POINT, all)) expandPoll(point);
  return PreservedAnalyses::none();
}

}  // namespace epochly::jit
