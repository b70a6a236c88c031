#include "levels/jit/speculate.h"

#include <llvm/Analysis/DomTreeUpdater.h>
#include <llvm/Analysis/LoopInfo.h>
#include <llvm/Analysis/ScalarEvolution.h>
#include <llvm/IR/Dominators.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/PatternMatch.h>
#include <llvm/Transforms/Utils/Local.h>

#include "levels/jit/before_loop.h"
#include "levels/jit/points.h"

namespace epochly::jit {

using namespace llvm;

namespace {

// A counter that starts below this and takes no longer steps than these would overflow after 2**58 iterations: years.
constexpr int64_t COUNTER_START_MAX = int64_t(1) << 62, COUNTER_STEP_MAX = 16;

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

// Of no consequence where a call ends: what the context counts ticks in is read by nobody after a call that is given back.
bool isOfNoConsequence(Instruction& instruction) {
  auto* store = dyn_cast<StoreInst>(&instruction);
  return instruction.isLifetimeStartOrEnd() || (store && store->getPointerOperand() == instruction.getFunction()->getArg(0));
}

// Whether control that comes from `from` into `block` gives the call back: it returns a status that is not 0 and does nothing else.
bool givesBack(BasicBlock* from, BasicBlock* block) {
  SmallDenseMap<Value*, Value*> phis;
  for (int steps = 0; steps < 4; steps++) {
    for (auto& phi : block->phis()) {
      auto* value = phi.getIncomingValueForBlock(from);
      phis[&phi] = phis.count(value) ? phis[value] : value;
    }
    auto* end = block->getFirstNonPHIOrDbg();
    while (isOfNoConsequence(*end)) end = end->getNextNode();
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
      : loop(loop), scev(scev), tree(tree), loops(loops), giveBack(giveBack), ahead(loop, scev) {}

  bool run() {
    bool changed = indices();
    changed |= overflows();
    if (changed) scev.forgetLoop(&loop);
    for (auto* block : loop.blocks()) {
      if (loops.getLoopFor(block) == &loop && tree.dominates(block, loop.getLoopLatch())) changed |= guardsOf(block);
    }
    ahead.place(tree, loops, [&] { return giveBack.block(); });
    if (changed) scev.forgetTopmostLoop(&loop);
    return changed;
  }

 private:
  Loop& loop;
  ScalarEvolution& scev;
  DominatorTree& tree;
  LoopInfo& loops;
  GiveBack& giveBack;
  BeforeLoop ahead;

  // True if `predicate(left, right)` holds in every iteration, or will because a check before the loop says so.
  bool settle(CmpInst::Predicate predicate, Value* left, Value* right, Instruction* at) {
    if (settleOne(predicate, left, right, at)) return true;
    auto sources = sourcesOf(left);
    auto known = ahead.checked();
    for (auto* source : sources) {
      if (settleOne(predicate, source, right, at)) continue;
      ahead.uncheck(known);
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
      if (auto* phi = inside ? dyn_cast<PHINode>(instruction) : nullptr; phi && !ahead.even(scev.getSCEV(phi))) {
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
    if (ahead.isInvariant(a) && ahead.isInvariant(b)) {
      if (!ahead.canExpand(a) || !ahead.canExpand(b)) return false;
      auto *x = ahead.expand(a), *y = ahead.expand(b);
      ahead.check(IRBuilder<>(ahead.end()).CreateICmp(predicate, x, y));
      return true;
    }
    if (ahead.isInvariant(a)) {
      std::swap(a, b);
      predicate = CmpInst::getSwappedPredicate(predicate);
    }
    auto* run = ahead.even(a);
    if (!run || !ahead.isInvariant(b) || !ahead.canExpand(b) || !CmpInst::isRelational(predicate)) return false;
    bool isSigned = CmpInst::isSigned(predicate);
    auto ends = ahead.endsOf(run);
    auto* limit = ahead.expand(b);
    IRBuilder<> ir(ahead.end());
    limit = isSigned ? ir.CreateSExt(limit, ir.getInt128Ty()) : ir.CreateZExt(limit, ir.getInt128Ty());
    auto* zero = ConstantInt::get(ir.getInt128Ty(), 0);
    auto wide = ICmpInst::getSignedPredicate(predicate);
    for (auto* end : {ends.first, ends.last}) {
      if (!isSigned) ahead.check(ir.CreateICmpSGE(end, zero));
      ahead.check(ir.CreateICmp(wide, end, limit));
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
    return runsWithin(kind, left, right) || isCounter(operation) || fitsByRange(operation);
  }
  // Of one that runs evenly and one that does not change.
  bool runsWithin(Instruction::BinaryOps kind, const SCEV* left, const SCEV* right) {
    bool swapped = ahead.isInvariant(left);
    auto* run = ahead.even(swapped ? right : left);
    auto* other = swapped ? left : right;
    if (!run || !ahead.isInvariant(other) || !ahead.canExpand(other)) return false;
    auto ends = ahead.endsOf(run);
    auto* wide = ahead.widen(ahead.expand(other));
    for (auto* end : {ends.first, ends.last}) {
      IRBuilder<> ir(ahead.end());
      ahead.checkFits(end);
      ahead.checkFits(swapped ? ir.CreateBinOp(kind, wide, end) : ir.CreateBinOp(kind, end, wide));
    }
    return true;
  }
  // `i * (i + j) // 2 + j`: worth the work before the loop where the loop is one that may be vectorised.
  bool fitsByRange(WithOverflowInst* operation) {
    if (!loop.isInnermost()) return false;
    auto known = ahead.checked();
    auto range = ahead.rangeOf(operation->getBinaryOp(), operation->getLHS(), operation->getRHS());
    if (!range) {
      ahead.uncheck(known);
      return false;
    }
    ahead.checkFits(range->low);
    ahead.checkFits(range->high);
    return true;
  }
  // `count += 1` in some iterations: never beyond its start and the trip count together. Of a loop without a trip count, never in
  // this machine's lifetime.
  bool isCounter(WithOverflowInst* operation) {
    auto* variable = dyn_cast<PHINode>(operation->getLHS());
    auto* step = dyn_cast<ConstantInt>(operation->getRHS());
    if (!variable || variable->getParent() != loop.getHeader() || !step || operation->getBinaryOp() != Instruction::Add)
      return false;
    bool counted = ahead.backEdges();
    if (step->getValue().abs().ugt(counted ? STEP_MAX : COUNTER_STEP_MAX)) return false;
    auto* start = variable->getIncomingValueForBlock(ahead.end()->getParent());
    for (auto* source : sourcesOf(variable)) {
      auto* part = dyn_cast<ExtractValueInst>(source);
      if (source != start && !(part && part->getAggregateOperand() == operation)) return false;
    }
    if (!counted) {
      IRBuilder<> ir(ahead.end());
      ahead.check(ir.CreateICmpULT(ir.CreateAdd(start, ConstantInt::getSigned(start->getType(), COUNTER_START_MAX)),
                                   ir.getInt64(uint64_t(2) * COUNTER_START_MAX)));
      return true;
    }
    auto* first = ahead.widen(start);
    auto* last = ahead.stepsFrom(first, step->getSExtValue(), ahead.expand(ahead.backEdges()));
    ahead.checkFits(
        IRBuilder<>(ahead.end()).CreateAdd(last, ConstantInt::getSigned(first->getType(), step->getSExtValue())));
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
        if (loop.isLoopInvariant(index) && loop.isLoopInvariant(point->getArgOperand(1))) point->moveBefore(ahead.end());
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
    if (ahead.isInvariant(value) || !tree.dominates(point->getParent(), loop.getLoopLatch())) return false;
    return settle(CmpInst::ICMP_SGE, index, zero, point);
  }
};

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

}  // namespace epochly::jit
