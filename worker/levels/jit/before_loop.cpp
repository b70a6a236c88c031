#include "levels/jit/before_loop.h"

#include <llvm/IR/MDBuilder.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/PatternMatch.h>
#include <llvm/Transforms/Utils/BasicBlockUtils.h>

namespace epochly::jit {

using namespace llvm;

namespace {

// Operations between a value and the loop's counter: an index is computed with few, and each doubles the work before the loop.
constexpr unsigned DEPTH_MAX = 6;

}  // namespace

BeforeLoop::BeforeLoop(Loop& loop, ScalarEvolution& scev)
    : loop(loop),
      scev(scev),
      expander(scev, loop.getHeader()->getModule()->getDataLayout(), "before"),
      before(loop.getLoopPreheader()->getTerminator()) {
  auto* latch = loop.getLoopLatch();
  if (!loop.isLoopExiting(latch)) return;
  auto* count = scev.getExitCount(&loop, latch);
  if (!isa<SCEVCouldNotCompute>(count) && count->getType()->isIntegerTy(64) && canExpand(count)) taken = count;
}

Value* BeforeLoop::widen(Value* value) {
  return IRBuilder<>(before).CreateSExt(value, Type::getInt128Ty(value->getContext()));
}

Value* BeforeLoop::stepsFrom(Value* first, int64_t step, Value* count) {
  IRBuilder<> ir(before);
  auto* way =
      ir.CreateMul(ir.CreateZExt(count, first->getType()), ConstantInt::getSigned(first->getType(), step), "", false, true);
  return ir.CreateAdd(first, way, "", false, true);
}

const SCEVAddRecExpr* BeforeLoop::even(const SCEV* value) {
  auto* run = dyn_cast<SCEVAddRecExpr>(value);
  if (!run || run->getLoop() != &loop || !run->isAffine() || !taken || !run->getType()->isIntegerTy(64)) return nullptr;
  auto* step = dyn_cast<SCEVConstant>(run->getStepRecurrence(scev));
  if (!step || step->getAPInt().abs().ugt(STEP_MAX)) return nullptr;
  return isInvariant(run->getStart()) && canExpand(run->getStart()) ? run : nullptr;
}

BeforeLoop::Ends BeforeLoop::endsOf(const SCEVAddRecExpr* run) {
  auto step = cast<SCEVConstant>(run->getStepRecurrence(scev))->getAPInt().getSExtValue();
  auto* first = widen(expand(run->getStart()));
  return {first, stepsFrom(first, step, expand(taken))};
}

void BeforeLoop::checkFits(Value* wide) {
  IRBuilder<> ir(before);
  check(ir.CreateICmpEQ(ir.CreateSExt(ir.CreateTrunc(wide, ir.getInt64Ty()), wide->getType()), wide));
}

Value* BeforeLoop::least(ArrayRef<Value*> values, Intrinsic::ID which) {
  IRBuilder<> ir(before);
  auto* result = values[0];
  for (auto* value : values.drop_front()) {
    if (value != result) result = ir.CreateBinaryIntrinsic(which, result, value);
  }
  return result;
}

std::optional<BeforeLoop::Range> BeforeLoop::rangeOf(Instruction::BinaryOps operation, Value* left, Value* right,
                                                     unsigned depth) {
  auto a = rangeOf(left, depth + 1), b = a ? rangeOf(right, depth + 1) : std::nullopt;
  if (!b) return {};
  IRBuilder<> ir(before);
  switch (operation) {
    case Instruction::Add: return Range{ir.CreateAdd(a->low, b->low), ir.CreateAdd(a->high, b->high)};
    case Instruction::Sub: return Range{ir.CreateSub(a->low, b->high), ir.CreateSub(a->high, b->low)};
    case Instruction::Mul: {
      SmallVector<Value*> corners;
      for (auto* x : {a->low, a->high}) {
        for (auto* y : {b->low, b->high}) corners.push_back(ir.CreateMul(x, y, "", false, true));
      }
      return Range{least(corners, Intrinsic::smin), least(corners, Intrinsic::smax)};
    }
    default: return {};
  }
}

std::optional<BeforeLoop::Range> BeforeLoop::rangeOf(Value* value, unsigned depth) {
  using namespace PatternMatch;
  if (depth > DEPTH_MAX || !value->getType()->isIntegerTy(64)) return {};
  auto* known = scev.getSCEV(value);
  if (isInvariant(known)) {
    if (!canExpand(known)) return {};
    auto* wide = widen(expand(known));
    return Range{wide, wide};
  }
  if (auto* run = even(known)) {
    auto [first, last] = endsOf(run);
    checkFits(first);
    checkFits(last);
    bool grows = !cast<SCEVConstant>(run->getStepRecurrence(scev))->getAPInt().isNegative();
    return grows ? Range{first, last} : Range{last, first};
  }
  ConstantInt* places;
  Value* shifted;
  if (match(value, m_AShr(m_Value(shifted), m_ConstantInt(places)))) {
    auto range = rangeOf(shifted, depth + 1);
    if (!range) return {};
    IRBuilder<> ir(before);
    auto* by = ConstantInt::get(range->low->getType(), places->getZExtValue());
    return Range{ir.CreateAShr(range->low, by), ir.CreateAShr(range->high, by)};
  }
  auto* operation = dyn_cast<OverflowingBinaryOperator>(value);
  if (!operation || !operation->hasNoSignedWrap()) return {};
  auto range = rangeOf(static_cast<Instruction::BinaryOps>(operation->getOpcode()), operation->getOperand(0),
                       operation->getOperand(1), depth);
  if (!range) return {};
  checkFits(range->low);
  checkFits(range->high);
  return range;
}

void BeforeLoop::place(DominatorTree& tree, LoopInfo& loops, function_ref<BasicBlock*()> otherwise) {
  if (checks.empty()) return;
  IRBuilder<> ir(before);
  auto* head = before->getParent();
  // A check that a path not taken would have computed from nothing may fail or hold, but does not make the others hold.
  for (auto*& one : checks) one = ir.CreateFreeze(one);
  auto* holds = ir.CreateAnd(checks);
  auto* rest = SplitBlock(head, before, &tree, &loops);
  head->getTerminator()->eraseFromParent();
  auto* exit = otherwise();
  IRBuilder<>(head).CreateCondBr(holds, rest, exit, MDBuilder(head->getContext()).createBranchWeights(1 << 20, 1));
  tree.insertEdge(head, exit);
}

}  // namespace epochly::jit
