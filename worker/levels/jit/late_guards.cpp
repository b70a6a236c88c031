#include "levels/jit/late_guards.h"

#include <llvm/Analysis/LoopInfo.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/PatternMatch.h>
#include <llvm/Transforms/Utils/Local.h>
#include <llvm/Transforms/Utils/LoopUtils.h>

#include <optional>

#include "levels/jit/powers.h"

namespace epochly::jit {

using namespace llvm;
using namespace PatternMatch;

namespace {

// Operations between a value and one that is finite only if it is: longer chains are rare and would take long to walk.
constexpr unsigned CHAIN_MAX = 12;
// Checks of one loop that are looked at in pairs.
constexpr size_t CHECKS_MAX = 64;

// What `condition` says is not finite; null: it says something else.
Value* notFinite(Value* condition) {
  FCmpInst::Predicate predicate;
  Value* value;
  if (!match(condition, m_FCmp(predicate, m_FAbs(m_Value(value)), m_Inf()))) return nullptr;
  return predicate == FCmpInst::FCMP_UEQ && value->getType()->isDoubleTy() ? value : nullptr;
}

// A sum, difference or product: not finite if an operand is not.
BinaryOperator* carrier(Value* value) {
  auto* operation = dyn_cast<BinaryOperator>(value);
  if (!operation) return nullptr;
  auto kind = operation->getOpcode();
  return kind == Instruction::FAdd || kind == Instruction::FSub || kind == Instruction::FMul ? operation : nullptr;
}

// What a power of a constant exponent is computed from; null: it is another value. It is infinite where CPython has to make the call.
Value* baseOf(Value* power) {
  auto* call = dyn_cast<CallInst>(power);
  if (!call || !call->getCalledFunction()) return nullptr;
  auto name = call->getCalledFunction()->getName();
  return name == powers::SQUARE || name == powers::ROOT ? call->getArgOperand(0) : nullptr;
}

// The power that `condition` says is infinite; null: it says something else.
Value* infinitePower(Value* condition) {
  Value* value;
  return match(condition, m_SpecificFCmp(FCmpInst::FCMP_OEQ, m_Value(value), m_Inf())) && baseOf(value) ? value : nullptr;
}

// Whether `to` is not finite whenever `from` is not, in one iteration of a loop with this header.
bool carries(Value* from, Value* to, BasicBlock* header, unsigned steps = CHAIN_MAX) {
  if (from == to) return true;
  if (!steps) return false;
  auto through = [&](Value* operand) { return carries(from, operand, header, steps - 1); };
  if (auto* base = baseOf(to)) return through(base);
  auto* operation = carrier(to);
  return operation && (through(operation->getOperand(0)) || through(operation->getOperand(1)));
}

// A loop's note: a bool that is false before and never false again, and in each iteration takes in what is bad of it.
struct Note {
  BasicBlock* latch;
  PHINode* before;             // in the header: of the iterations before
  Instruction* after;          // this iteration's included
  SmallVector<Value*> checks;  // bad if one of these is true

  // Null: `phi` is none.
  static std::optional<Note> of(PHINode& phi, Loop& loop) {
    if (!phi.getType()->isIntegerTy(1)) return {};
    auto* latch = loop.getLoopLatch();
    Note note(latch, &phi, dyn_cast<Instruction>(phi.getIncomingValueForBlock(latch)));
    if (!note.after || !loop.contains(note.after) || !note.collect(note.after) || !note.sawItself) return {};
    return note;
  }
  // Takes `gone` out of the checks. Who reads the note reads besides it what `instead` adds at that place: of this iteration, or of
  // those before.
  enum class Read { BEFORE, AFTER };
  template <typename Instead>
  void rewrite(const SmallPtrSetImpl<Value*>& gone, Instead instead) {
    auto early = readers(before), late = readers(after);
    IRBuilder<> ir(after);
    Value* rest = before;
    for (auto* check : checks) {
      if (!gone.count(check)) rest = ir.CreateOr(rest, check);
    }
    before->setIncomingValue(before->getBasicBlockIndex(latch), rest);
    replace(early, [&](Instruction* where) { return instead(Read::BEFORE, before, where); });
    replace(late, [&](Instruction* where) { return instead(Read::AFTER, rest, where); });
    RecursivelyDeleteTriviallyDeadInstructions(after);
  }

 private:
  bool sawItself = false;
  SmallPtrSet<Value*, 16> chain;  // the operations that make `after`

  // Outside of the note itself.
  SmallVector<Use*> readers(Value* value) {
    SmallVector<Use*> uses;
    for (auto& use : value->uses()) {
      if (use.getUser() != before && !chain.contains(use.getUser())) uses.push_back(&use);
    }
    return uses;
  }
  template <typename Make>
  static void replace(ArrayRef<Use*> uses, Make make) {
    SmallDenseMap<BasicBlock*, Value*> made;  // a block's edges into one phi have one value
    for (auto* use : uses) {
      auto* user = cast<Instruction>(use->getUser());
      auto* phi = dyn_cast<PHINode>(user);
      if (!phi) {
        use->set(make(user));
        continue;
      }
      auto*& value = made[phi->getIncomingBlock(*use)];
      if (!value) value = make(phi->getIncomingBlock(*use)->getTerminator());
      use->set(value);
    }
  }
  bool collect(Value* value) {
    if (value == before) return sawItself = true;
    if (checks.size() >= CHECKS_MAX) return false;
    Value *a, *b;
    if (match(value, m_Or(m_Value(a), m_Value(b))) && (value == after || value->hasOneUse()))
      return collect(a) && collect(b);
    checks.push_back(value);
    return true;
  }

  Note(BasicBlock* latch, PHINode* before, Instruction* after) : latch(latch), before(before), after(after) {}
};

// `phi(X, X or a)`, as a check on one of two paths leaves it, to `X or phi(false, a)`: the note is one chain again.
bool splitMerge(PHINode& phi) {
  auto without = [](Value* all, Value* part) -> Value* {
    Value *a, *b;
    if (!match(all, m_OneUse(m_Or(m_Value(a), m_Value(b))))) return nullptr;
    return a == part ? b : b == part ? a : nullptr;
  };
  auto* no = ConstantInt::getFalse(phi.getContext());
  for (Value* base : phi.incoming_values()) {
    if (isa<Constant>(base) || !all_of(phi.incoming_values(), [&](Value* one) { return one == base || without(one, base); }))
      continue;
    auto* rest = PHINode::Create(phi.getType(), phi.getNumIncomingValues(), "rest", phi.getIterator());
    for (unsigned i = 0; i < phi.getNumIncomingValues(); i++) {
      auto* value = phi.getIncomingValue(i);
      rest->addIncoming(value == base ? no : without(value, base), phi.getIncomingBlock(i));
    }
    IRBuilder<> ir(phi.getParent(), phi.getParent()->getFirstInsertionPt());
    phi.replaceAllUsesWith(ir.CreateOr(base, rest));
    RecursivelyDeleteTriviallyDeadInstructions(&phi);
    return true;
  }
  return false;
}

bool splitMerges(Function& function, LoopInfo& loops) {
  SmallVector<PHINode*> all;
  for (auto& block : function) {
    if (loops.isLoopHeader(&block)) continue;
    for (auto& phi : block.phis()) {
      if (phi.getType()->isIntegerTy(1)) all.push_back(&phi);
    }
  }
  bool changed = false;
  for (auto* phi : all) changed |= splitMerge(*phi);
  return changed;
}

Value* isNotFinite(IRBuilder<>& ir, Value* value) {
  auto* size = ir.CreateUnaryIntrinsic(Intrinsic::fabs, value);
  return ir.CreateFCmpUEQ(size, ConstantFP::getInfinity(value->getType()));
}

// The variable that is not finite in every iteration after one in which `value` is not; null: there is none.
PHINode* accumulator(Value* value, Loop& loop) {
  auto* header = loop.getHeader();
  for (auto& phi : header->phis()) {
    if (!phi.getType()->isDoubleTy()) continue;
    if (carries(&phi, value, header) && carries(value, phi.getIncomingValueForBlock(loop.getLoopLatch()), header))
      return &phi;
  }
  return nullptr;
}

bool dropImplied(Loop& loop, Note& note) {
  SmallPtrSet<Value*, 16> gone;
  SmallVector<std::pair<Value*, PHINode*>> atEnd;
  for (auto* check : note.checks) {
    auto *power = infinitePower(check), *value = power ? power : notFinite(check);
    if (!value) continue;
    bool implied = any_of(note.checks, [&](Value* other) {
      auto* later = other != check ? notFinite(other) : nullptr;
      return later && (power || later != value) && carries(value, later, loop.getHeader());
    });
    // (A sum of powers may be NaN where none of them is infinite.)
    auto* stays = implied || power ? nullptr : accumulator(value, loop);
    if (implied || stays) gone.insert(check);
    if (stays) atEnd.emplace_back(value, stays);
  }
  if (gone.empty()) return false;
  note.rewrite(gone, [&](Note::Read read, Value* rest, Instruction* where) {
    IRBuilder<> ir(where);
    for (auto [value, before] : atEnd) rest = ir.CreateOr(rest, isNotFinite(ir, read == Note::Read::AFTER ? value : before));
    return rest;
  });
  return true;
}

bool sumUp(Loop& loop, Note& note) {
  if (findOptionMDForLoop(&loop, "llvm.loop.isvectorized")) return false;
  SmallPtrSet<Value*, 16> gone;
  SmallVector<Instruction*> checks;
  for (auto* check : note.checks) {
    auto* instruction = dyn_cast<Instruction>(check);
    if (!notFinite(check) || !loop.contains(instruction) || !gone.insert(check).second) continue;
    checks.push_back(instruction);
  }
  if (checks.empty()) return false;
  auto* header = loop.getHeader();
  auto* real = Type::getDoubleTy(header->getContext());
  auto* zero = ConstantFP::get(real, 0.0);
  auto* sum = PHINode::Create(real, 2, "finite", header->begin());
  IRBuilder<> ir(note.after);
  Value* own = nullptr;  // of this iteration, in a chain of its own: it does not wait for the iteration before
  for (auto* check : ArrayRef(checks).drop_back()) {
    auto* value = notFinite(check);
    own = own ? static_cast<Value*>(ir.CreateIntrinsic(Intrinsic::fma, {real}, {value, zero, own}))
              : ir.CreateFMul(value, zero);
  }
  Value* base = own ? ir.CreateFAdd(sum, own) : sum;
  Value* next = ir.CreateIntrinsic(Intrinsic::fma, {real}, {notFinite(checks.back()), zero, base});
  for (auto* block : predecessors(header))
    sum->addIncoming(block == loop.getLoopLatch() ? next : static_cast<Value*>(zero), block);
  note.rewrite(gone, [&](Note::Read read, Value* rest, Instruction* where) {
    IRBuilder<> ir(where);
    auto* seen = read == Note::Read::AFTER ? next : sum;
    return ir.CreateOr(rest, ir.CreateFCmpUNO(seen, seen));
  });
  return true;
}

// ---- integers --------------------------------------------------------------------------------------------------------------

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

bool hasFma(Function& function) { return function.getFnAttribute("target-features").getValueAsString().contains("+fma,"); }

template <typename Each>
PreservedAnalyses forNotes(Function& function, FunctionAnalysisManager& analyses, Each each) {
  auto& loops = analyses.getResult<LoopAnalysis>(function);
  bool changed = false;
  for (auto* loop : loops.getLoopsInPreorder()) {
    if (!loop->getLoopLatch()) continue;
    SmallVector<PHINode*> phis;
    for (auto& phi : loop->getHeader()->phis()) phis.push_back(&phi);
    for (auto* phi : phis) {
      if (auto note = Note::of(*phi, *loop)) changed |= each(*loop, *note);
    }
  }
  if (!changed) return PreservedAnalyses::all();
  PreservedAnalyses kept;
  kept.preserveSet<CFGAnalyses>();
  return kept;
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

PreservedAnalyses ImpliedChecksPass::run(Function& function, FunctionAnalysisManager& analyses) {
  bool changed = splitMerges(function, analyses.getResult<LoopAnalysis>(function));
  auto kept = forNotes(function, analyses, [](Loop& loop, Note& note) { return dropImplied(loop, note); });
  if (!changed) return kept;
  PreservedAnalyses structure;
  structure.preserveSet<CFGAnalyses>();
  return structure;
}

PreservedAnalyses NotANumberNotePass::run(Function& function, FunctionAnalysisManager& analyses) {
  if (!hasFma(function)) return PreservedAnalyses::all();
  return forNotes(function, analyses, [](Loop& loop, Note& note) { return sumUp(loop, note); });
}

}  // namespace epochly::jit
