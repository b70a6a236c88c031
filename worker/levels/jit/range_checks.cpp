#include "levels/jit/range_checks.h"

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/PatternMatch.h>
#include <llvm/Transforms/Utils/LoopUtils.h>

#include <optional>

#include "levels/jit/notes.h"

namespace epochly::jit {

using namespace llvm;
using namespace PatternMatch;

namespace {

Value* part(Instruction* both, unsigned which) {
  for (auto* user : both->users()) {
    if (auto* value = dyn_cast<ExtractValueInst>(user); value && value->getIndices()[0] == which) return value;
  }
  return nullptr;
}

// The sums `x * factor + term` of a product, as long as all of their overflows are noted.
struct Scaled {
  WithOverflowInst* product;
  APInt factor;
  SmallVector<WithOverflowInst*> sums;  // with constants

  static std::optional<Scaled> of(Instruction& one) {
    auto* product = dyn_cast<WithOverflowInst>(&one);
    if (!product || product->getIntrinsicID() != Intrinsic::smul_with_overflow) return {};
    auto* factor = dyn_cast<ConstantInt>(product->getRHS());
    if (!factor || !factor->getType()->isIntegerTy(64) || factor->getValue().sle(1) || !onlyParts(product)) return {};
    Scaled result{product, factor->getValue(), {}};
    auto* value = part(product, 0);
    if (!value) return result;
    for (auto* user : value->users()) {
      auto* sum = dyn_cast<WithOverflowInst>(user);
      if (sum && sum->getIntrinsicID() == Intrinsic::sadd_with_overflow && isa<ConstantInt>(sum->getRHS()) && onlyParts(sum))
        result.sums.push_back(sum);
    }
    return result;
  }
  void make() {
    auto least = APInt::getSignedMinValue(64), most = APInt::getSignedMaxValue(64);
    auto low = least.sdiv(factor), high = most.sdiv(factor);
    for (auto* sum : sums) {
      auto term = cast<ConstantInt>(sum->getRHS())->getValue();
      // Towards zero is inwards on both sides, as the factor is positive and 0 is in range.
      if (term.isNonNegative()) high = APIntOps::smin(high, (most - term).sdiv(factor));
      if (term.isNegative()) low = APIntOps::smax(low, (least - term).sdiv(factor));
    }
    IRBuilder<> ir(product);
    auto* x = product->getLHS();
    auto* offset = ir.CreateSub(x, ConstantInt::get(x->getType(), low));
    replace(product, ir.CreateICmpUGT(offset, ConstantInt::get(x->getType(), high - low)));
    for (auto* sum : sums) replace(sum, ConstantInt::getFalse(sum->getContext()));
  }

 private:
  static bool onlyParts(Instruction* both) {
    return all_of(both->users(), [](User* user) { return isa<ExtractValueInst>(user); });
  }
  // Plain arithmetic: what wraps around is thrown away when the note is looked at.
  static void replace(WithOverflowInst* both, Value* overflow) {
    IRBuilder<> ir(both);
    auto* plain = ir.CreateBinOp(both->getBinaryOp(), both->getLHS(), both->getRHS());
    for (auto* user : make_early_inc_range(both->users())) {
      auto* value = cast<ExtractValueInst>(user);
      value->replaceAllUsesWith(value->getIndices()[0] == 0 ? plain : overflow);
      value->eraseFromParent();
    }
    both->eraseFromParent();
  }
};

// A check whose bits can be collected instead: `value` is too large if it has more than `bits` bits.
struct Bounded {
  // Of what has fewer, half a range less would be missed: sizes of data come near.
  static constexpr unsigned BITS_MIN = 40;

  Value* value;
  unsigned bits;

  static std::optional<Bounded> of(Value* check, Loop& loop) {
    Value *condition, *range;
    if (match(check, m_LogicalAnd(m_Value(condition), m_Value(range)))) {
      if (auto one = simple(range, loop)) return isOfSize(condition, one->value) ? std::nullopt : one;
      if (auto one = simple(condition, loop)) return isOfSize(range, one->value) ? std::nullopt : one;
      return {};
    }
    return simple(check, loop);
  }

 private:
  static std::optional<Bounded> simple(Value* check, Loop& loop) {
    Value* value;
    const APInt* most;
    if (!match(check, m_SpecificICmp(ICmpInst::ICMP_UGT, m_Value(value), m_APInt(most))) || most->getBitWidth() != 64)
      return {};
    auto bits = (*most + 1).logBase2();
    auto* instruction = dyn_cast<Instruction>(value);
    if (bits < BITS_MIN || most->isAllOnes() || !instruction || !loop.contains(instruction)) return {};
    return Bounded{value, bits};
  }
  // `if x < LIMIT: x = 3 * x`: there it does matter when the product is not computed.
  static bool isOfSize(Value* condition, Value* value) {
    auto* compare = dyn_cast<ICmpInst>(condition);
    return !compare ? !isa<TruncInst>(condition)
                    : !compare->isEquality() && (compare->getOperand(0) == value || compare->getOperand(1) == value);
  }
};

bool collectBits(Loop& loop, Note& note) {
  if (findOptionMDForLoop(&loop, "llvm.loop.isvectorized")) return false;
  SmallPtrSet<Value*, 16> gone;
  SmallVector<Value*> values;
  unsigned bits = 64;
  for (auto* check : note.checks) {
    auto bounded = Bounded::of(check, loop);
    if (!bounded || !gone.insert(check).second) continue;
    bits = std::min(bits, bounded->bits);
    if (!is_contained(values, bounded->value)) values.push_back(bounded->value);
  }
  if (gone.empty()) return false;
  auto* header = loop.getHeader();
  auto* i64 = Type::getInt64Ty(header->getContext());
  auto* before = PHINode::Create(i64, 2, "bits", header->begin());
  IRBuilder<> ir(note.after);
  Value* after = before;
  for (auto* value : values) after = ir.CreateOr(after, value);
  for (auto* block : predecessors(header))
    before->addIncoming(block == loop.getLoopLatch() ? after : static_cast<Value*>(ConstantInt::get(i64, 0)), block);
  note.rewrite(gone, [&](Note::Read read, Instruction* where) {
    auto* seen = read == Note::Read::AFTER ? after : before;
    return IRBuilder<>(where).CreateICmpUGT(seen, ConstantInt::get(i64, APInt::getLowBitsSet(64, bits)));
  });
  return true;
}

}  // namespace

PreservedAnalyses RangeChecksPass::run(Function& function, FunctionAnalysisManager&) {
  SmallVector<Scaled> all;
  for (auto& block : function) {
    for (auto& one : block) {
      if (auto scaled = Scaled::of(one)) all.push_back(std::move(*scaled));
    }
  }
  for (auto& one : all) one.make();
  return all.empty() ? PreservedAnalyses::all() : PreservedAnalyses::none();
}

PreservedAnalyses RangeNotePass::run(Function& function, FunctionAnalysisManager& analyses) {
  return forNotes(function, analyses, collectBits);
}

}  // namespace epochly::jit
