#include "levels/jit/speculate.h"

#include <llvm/Analysis/DomTreeUpdater.h>
#include <llvm/Analysis/LoopInfo.h>
#include <llvm/Analysis/ScalarEvolution.h>
#include <llvm/Analysis/ScalarEvolutionExpressions.h>
#include <llvm/IR/Dominators.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/MDBuilder.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/PatternMatch.h>
#include <llvm/Transforms/Utils/BasicBlockUtils.h>
#include <llvm/Transforms/Utils/Local.h>
#include <llvm/Transforms/Utils/ScalarEvolutionExpander.h>

#include <optional>

#include "levels/jit/runtime.h"

namespace epochly::jit {

using namespace llvm;

namespace {

// Steps of an index that a check before the loop takes: with these the last index fits 128 bits whatever the trip count.
constexpr int64_t STEP_MAX = int64_t(1) << 31;

// A counter that starts below this and takes no longer steps than these would overflow after 2**58 iterations: years.
constexpr int64_t COUNTER_START_MAX = int64_t(1) << 62, COUNTER_STEP_MAX = 16;

CallInst* pointCall(Instruction& instruction, StringRef name) {
  auto* call = dyn_cast<CallInst>(&instruction);
  return call && call->getCalledFunction() && call->getCalledFunction()->getName() == name ? call : nullptr;
}

// Every point of that name in blocks that `wanted` takes.
template <typename Wanted>
SmallVector<CallInst*> pointsIn(ArrayRef<BasicBlock*> blocks, StringRef name, Wanted wanted) {
  SmallVector<CallInst*> found;
  for (auto* block : blocks) {
    if (!wanted(block)) continue;
    for (auto& instruction : *block) {
      if (auto* call = pointCall(instruction, name)) found.push_back(call);
    }
  }
  return found;
}

// The block that gives the call back to the host: `ret 1`. Made when first asked for.
class GiveBack {
 public:
  explicit GiveBack(Function& function) : function(function) {}
  BasicBlock* block() {
    if (!made) {
      made = BasicBlock::Create(function.getContext(), "give.back", &function);
      IRBuilder<> ir(made);
      ir.CreateRet(ir.getInt32(1));
    }
    return made;
  }

 private:
  Function& function;
  BasicBlock* made = nullptr;
};

// Whether control that comes from `from` into `block` gives the call back: it returns a status that is not 0 and does nothing else.
bool givesBack(BasicBlock* from, BasicBlock* block) {
  SmallDenseMap<Value*, Value*> phis;
  for (int steps = 0; steps < 4; steps++) {
    for (auto& phi : block->phis()) {
      auto* value = phi.getIncomingValueForBlock(from);
      phis[&phi] = phis.count(value) ? phis[value] : value;
    }
    auto* end = block->getFirstNonPHIOrDbg();
    while (end->isLifetimeStartOrEnd()) end = end->getNextNode();
    if (auto* ret = dyn_cast<ReturnInst>(end)) {
      auto* value = ret->getReturnValue();
      if (phis.count(value)) value = phis[value];
      auto* status = dyn_cast_or_null<ConstantInt>(value);
      return status && !status->isZero();
    }
    auto* jump = dyn_cast<BranchInst>(end);
    if (!jump || jump->isConditional()) return false;
    from = block;
    block = jump->getSuccessor(0);
  }
  return false;
}

// One loop's guards: what of them can be looked at once, before it.
class LoopSpeculation {
 public:
  LoopSpeculation(Loop& loop, ScalarEvolution& scev, DominatorTree& tree, LoopInfo& loops, GiveBack& giveBack)
      : loop(loop),
        scev(scev),
        tree(tree),
        loops(loops),
        giveBack(giveBack),
        expander(scev, loop.getHeader()->getModule()->getDataLayout(), "before"),
        before(loop.getLoopPreheader()->getTerminator()) {
    auto* latch = loop.getLoopLatch();
    if (!loop.isLoopExiting(latch)) return;
    auto* count = scev.getExitCount(&loop, latch);
    if (!isa<SCEVCouldNotCompute>(count) && count->getType()->isIntegerTy(64)) backEdges = count;
  }

  bool run() {
    bool changed = indices();
    changed |= overflows();
    if (changed) scev.forgetLoop(&loop);
    for (auto* block : loop.blocks()) {
      if (loops.getLoopFor(block) == &loop && tree.dominates(block, loop.getLoopLatch())) changed |= guardsOf(block);
    }
    place();
    if (changed) scev.forgetTopmostLoop(&loop);
    return changed;
  }

 private:
  Loop& loop;
  ScalarEvolution& scev;
  DominatorTree& tree;
  LoopInfo& loops;
  GiveBack& giveBack;
  SCEVExpander expander;
  Instruction* const before;
  const SCEV* backEdges = nullptr;  // taken at most; null: not known before the loop
  SmallVector<Value*> checks;       // must hold before the loop is entered

  bool invariant(const SCEV* value) { return scev.isLoopInvariant(value, &loop); }
  bool canExpand(const SCEV* value) { return expander.isSafeToExpandAt(value, before); }
  Value* expand(const SCEV* value) { return expander.expandCodeFor(value, value->getType(), before); }

  // A value that runs evenly over the iterations: exact in 128 bits at its first and its last.
  struct Ends {
    Value *first, *last;
  };
  const SCEVAddRecExpr* even(const SCEV* value) {
    auto* run = dyn_cast<SCEVAddRecExpr>(value);
    if (!run || run->getLoop() != &loop || !run->isAffine() || !backEdges || !run->getType()->isIntegerTy(64))
      return nullptr;
    auto* step = dyn_cast<SCEVConstant>(run->getStepRecurrence(scev));
    if (!step || step->getAPInt().abs().ugt(STEP_MAX)) return nullptr;
    return invariant(run->getStart()) && canExpand(run->getStart()) && canExpand(backEdges) ? run : nullptr;
  }
  Ends endsOf(const SCEVAddRecExpr* run) {
    auto step = cast<SCEVConstant>(run->getStepRecurrence(scev))->getAPInt().getSExtValue();
    auto* first = widen(expand(run->getStart()));
    return {first, stepsFrom(first, step, expand(backEdges))};
  }
  Value* widen(Value* value) { return IRBuilder<>(before).CreateSExt(value, Type::getInt128Ty(value->getContext())); }
  Value* stepsFrom(Value* first, int64_t step, Value* count) {
    IRBuilder<> ir(before);
    auto* way = ir.CreateMul(ir.CreateZExt(count, first->getType()), ConstantInt::getSigned(first->getType(), step), "",
                             false, true);
    return ir.CreateAdd(first, way, "", false, true);
  }
  void checkFits(Value* wide) {
    IRBuilder<> ir(before);
    checks.push_back(ir.CreateICmpEQ(ir.CreateSExt(ir.CreateTrunc(wide, ir.getInt64Ty()), wide->getType()), wide));
  }

  // True if `predicate(left, right)` holds in every iteration, or will because a check before the loop says so.
  bool settle(CmpInst::Predicate predicate, Value* left, Value* right, Instruction* at) {
    if (settleOne(predicate, left, right, at)) return true;
    auto sources = sourcesOf(left);
    auto known = checks.size();
    for (auto* source : sources) {
      if (settleOne(predicate, source, right, at)) continue;
      checks.truncate(known);
      return false;
    }
    return !sources.empty();
  }
  // What a variable of the loop may hold besides itself, where it is only ever assigned as a whole: `best = i`. Else nothing.
  SmallVector<Value*> sourcesOf(Value* variable) {
    SmallVector<Value*> sources;
    SmallPtrSet<Value*, 8> seen;
    SmallVector<Value*> open{variable};
    if (!isa<PHINode>(variable)) return {};
    while (!open.empty()) {
      auto* value = open.pop_back_val();
      if (!seen.insert(value).second) continue;
      if (seen.size() > 16) return {};
      auto* instruction = dyn_cast<Instruction>(value);
      bool inside = instruction && loops.getLoopFor(instruction->getParent()) == &loop;
      if (auto* phi = inside ? dyn_cast<PHINode>(instruction) : nullptr; phi && !even(scev.getSCEV(phi))) {
        open.append(phi->op_begin(), phi->op_end());
      } else if (auto* select = inside ? dyn_cast<SelectInst>(instruction) : nullptr) {
        open.append({select->getTrueValue(), select->getFalseValue()});
      } else {
        sources.push_back(value);
      }
    }
    return sources;
  }
  bool settleOne(CmpInst::Predicate predicate, Value* left, Value* right, Instruction* at) {
    if (!left->getType()->isIntegerTy(64)) return false;
    auto *a = scev.getSCEV(left), *b = scev.getSCEV(right);
    if (scev.isKnownPredicateAt(predicate, a, b, at)) return true;
    if (invariant(a) && invariant(b)) {
      if (!canExpand(a) || !canExpand(b)) return false;
      auto *x = expand(a), *y = expand(b);
      checks.push_back(IRBuilder<>(before).CreateICmp(predicate, x, y));
      return true;
    }
    if (invariant(a)) {
      std::swap(a, b);
      predicate = CmpInst::getSwappedPredicate(predicate);
    }
    auto* run = even(a);
    if (!run || !invariant(b) || !canExpand(b) || !CmpInst::isRelational(predicate)) return false;
    bool isSigned = CmpInst::isSigned(predicate);
    auto ends = endsOf(run);
    auto* limit = expand(b);
    IRBuilder<> ir(before);
    limit = isSigned ? ir.CreateSExt(limit, ir.getInt128Ty()) : ir.CreateZExt(limit, ir.getInt128Ty());
    auto* zero = ConstantInt::get(ir.getInt128Ty(), 0);
    auto wide = ICmpInst::getSignedPredicate(predicate);
    for (auto* end : {ends.first, ends.last}) {
      if (!isSigned) checks.push_back(ir.CreateICmpSGE(end, zero));
      checks.push_back(ir.CreateICmp(wide, end, limit));
    }
    return true;
  }

  // ---- integer overflow ------------------------------------------------------------------------------------------------
  bool overflows() {
    SmallVector<WithOverflowInst*> all;
    for (auto* block : loop.blocks()) {
      if (loops.getLoopFor(block) != &loop) continue;
      for (auto& one : *block) {
        if (auto* operation = dyn_cast<WithOverflowInst>(&one); operation && operation->isSigned()) all.push_back(operation);
      }
    }
    bool changed = false;
    for (auto* operation : all) {
      if (!staysInRange(operation)) continue;
      IRBuilder<> ir(operation);
      auto* plain = ir.CreateBinOp(operation->getBinaryOp(), operation->getLHS(), operation->getRHS());
      if (auto* made = dyn_cast<BinaryOperator>(plain)) made->setHasNoSignedWrap();
      for (auto* user : make_early_inc_range(operation->users())) {
        auto* part = cast<ExtractValueInst>(user);
        part->replaceAllUsesWith(part->getIndices()[0] == 0 ? plain : ir.getFalse());
        part->eraseFromParent();
      }
      operation->eraseFromParent();
      changed = true;
    }
    return changed;
  }
  // True if it does not overflow in any iteration, or will not because a check before the loop says so.
  bool staysInRange(WithOverflowInst* operation) {
    if (!operation->getLHS()->getType()->isIntegerTy(64)) return false;
    if (any_of(operation->users(), [](User* user) { return !isa<ExtractValueInst>(user); })) return false;
    auto *left = scev.getSCEV(operation->getLHS()), *right = scev.getSCEV(operation->getRHS());
    auto kind = operation->getBinaryOp();
    if (scev.willNotOverflow(kind, true, left, right, operation)) return true;
    if (!tree.dominates(operation->getParent(), loop.getLoopLatch())) return isCounter(operation);
    bool swapped = invariant(left);
    auto* run = even(swapped ? right : left);
    auto* other = swapped ? left : right;
    if (!run || !invariant(other) || !canExpand(other)) return isCounter(operation);
    auto ends = endsOf(run);
    auto* wide = widen(expand(other));
    for (auto* end : {ends.first, ends.last}) {
      IRBuilder<> ir(before);
      checkFits(end);
      checkFits(swapped ? ir.CreateBinOp(kind, wide, end) : ir.CreateBinOp(kind, end, wide));
    }
    return true;
  }
  // `count += 1` in some iterations: never beyond its start and the trip count together. Of a loop without a trip count, never in
  // this machine's lifetime.
  bool isCounter(WithOverflowInst* operation) {
    auto* variable = dyn_cast<PHINode>(operation->getLHS());
    auto* step = dyn_cast<ConstantInt>(operation->getRHS());
    if (!variable || variable->getParent() != loop.getHeader() || !step || operation->getBinaryOp() != Instruction::Add)
      return false;
    bool counted = backEdges && canExpand(backEdges);
    if (step->getValue().abs().ugt(counted ? STEP_MAX : COUNTER_STEP_MAX)) return false;
    auto* start = variable->getIncomingValueForBlock(before->getParent());
    for (auto* source : sourcesOf(variable)) {
      auto* part = dyn_cast<ExtractValueInst>(source);
      if (source != start && !(part && part->getAggregateOperand() == operation)) return false;
    }
    if (!counted) {
      IRBuilder<> ir(before);
      checks.push_back(ir.CreateICmpULT(ir.CreateAdd(start, ConstantInt::getSigned(start->getType(), COUNTER_START_MAX)),
                                        ir.getInt64(uint64_t(2) * COUNTER_START_MAX)));
      return true;
    }
    auto* first = widen(start);
    auto* last = stepsFrom(first, step->getSExtValue(), expand(backEdges));
    checkFits(IRBuilder<>(before).CreateAdd(last, ConstantInt::getSigned(first->getType(), step->getSExtValue())));
    return true;
  }

  // What is left to check of `holds`, or of its opposite if it is not wanted; null: nothing.
  Value* remaining(Value* holds, bool wanted) {
    using namespace PatternMatch;
    Value *a, *b;
    if (wanted ? match(holds, m_LogicalAnd(m_Value(a), m_Value(b))) : match(holds, m_LogicalOr(m_Value(a), m_Value(b)))) {
      auto *left = remaining(a, wanted), *right = remaining(b, wanted);
      if (!left || !right) return left ? left : right;
      if (left == a && right == b) return holds;
      IRBuilder<> ir(cast<Instruction>(holds));
      return wanted ? ir.CreateLogicalAnd(left, right) : ir.CreateLogicalOr(left, right);
    }
    if (match(holds, m_Not(m_Value(a)))) {
      auto* inner = remaining(a, !wanted);
      return !inner ? nullptr : inner == a ? holds : IRBuilder<>(cast<Instruction>(holds)).CreateNot(inner);
    }
    auto* compare = dyn_cast<ICmpInst>(holds);
    if (!compare) return holds;
    auto predicate = wanted ? compare->getPredicate() : compare->getInversePredicate();
    return settle(predicate, compare->getOperand(0), compare->getOperand(1), compare) ? nullptr : holds;
  }

  bool guardsOf(BasicBlock* block) {
    auto* branch = dyn_cast<BranchInst>(block->getTerminator());
    if (!branch || !branch->isConditional() || block == loop.getLoopLatch()) return false;
    bool stays = loop.contains(branch->getSuccessor(0));
    auto* exit = branch->getSuccessor(stays ? 1 : 0);
    if (loop.contains(exit) || !loop.contains(branch->getSuccessor(stays ? 0 : 1)) || !givesBack(block, exit)) return false;
    auto* holds = branch->getCondition();
    auto* left = remaining(holds, stays);
    if (left == holds) return false;
    branch->setCondition(left ? left : ConstantInt::getBool(block->getContext(), stays));
    if (!left) {
      DomTreeUpdater updater(tree, DomTreeUpdater::UpdateStrategy::Eager);
      ConstantFoldTerminator(block, true, nullptr, &updater);
    }
    return true;
  }

  bool indices() {
    bool changed = false;
    auto blocks = loop.getBlocks();
    auto mine = [&](BasicBlock* block) { return loops.getLoopFor(block) == &loop; };
    for (auto* point : pointsIn(blocks, INDEX_POINT, mine)) {
      auto* index = point->getArgOperand(0);
      if (!settlesAboveZero(index, point)) {
        if (loop.isLoopInvariant(index) && loop.isLoopInvariant(point->getArgOperand(1))) point->moveBefore(before);
        continue;
      }
      point->replaceAllUsesWith(index);
      point->eraseFromParent();
      changed = true;
    }
    return changed;
  }
  bool settlesAboveZero(Value* index, CallInst* point) {
    auto* zero = ConstantInt::get(index->getType(), 0);
    auto* value = scev.getSCEV(index);
    if (scev.isKnownPredicateAt(CmpInst::ICMP_SGE, value, scev.getSCEV(zero), point)) return true;
    // An invariant one is looked at in the loop outside, and selected there if need be.
    if (invariant(value) || !tree.dominates(point->getParent(), loop.getLoopLatch())) return false;
    return settle(CmpInst::ICMP_SGE, index, zero, point);
  }

  // One branch before the loop for all checks.
  void place() {
    if (checks.empty()) return;
    IRBuilder<> ir(before);
    auto* head = before->getParent();
    // A check that a path not taken would have computed from nothing may fail or hold, but does not make the others hold.
    for (auto*& check : checks) check = ir.CreateFreeze(check);
    auto* holds = ir.CreateAnd(checks);
    auto* rest = SplitBlock(head, before, &tree, &loops);
    head->getTerminator()->eraseFromParent();
    auto* otherwise = giveBack.block();
    IRBuilder<>(head).CreateCondBr(holds, rest, otherwise, MDBuilder(head->getContext()).createBranchWeights(1 << 20, 1));
    tree.insertEdge(head, otherwise);
  }
};

// ---- polls ---------------------------------------------------------------------------------------------------------------

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
    ir.CreateCondBr(ir.CreateICmpULT(next, length), header, end);
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

PreservedAnalyses SpeculatePass::run(Function& function, FunctionAnalysisManager& analyses) {
  auto& loops = analyses.getResult<LoopAnalysis>(function);
  auto& tree = analyses.getResult<DominatorTreeAnalysis>(function);
  auto& scev = analyses.getResult<ScalarEvolutionAnalysis>(function);
  GiveBack giveBack(function);
  auto inOrder = loops.getLoopsInPreorder();
  for (auto* loop : reverse(inOrder)) {
    if (loop->getLoopPreheader() && loop->getLoopLatch()) LoopSpeculation(*loop, scev, tree, loops, giveBack).run();
  }
  return PreservedAnalyses::none();
}

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
