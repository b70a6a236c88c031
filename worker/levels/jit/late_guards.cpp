#include "levels/jit/late_guards.h"

#include <llvm/Analysis/LoopInfo.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/PatternMatch.h>
#include <llvm/Transforms/Utils/LoopUtils.h>

#include "levels/jit/notes.h"
#include "levels/jit/powers.h"

namespace epochly::jit {

using namespace llvm;
using namespace PatternMatch;

namespace {

// Operations between a value and one that is finite only if it is: longer chains are rare and would take long to walk.
constexpr unsigned CHAIN_MAX = 12;

// What `condition` says is not finite; null: it says something else.
Value* notFinite(Value* condition) {
  FCmpInst::Predicate predicate;
  Value* value;
  if (!match(condition, m_FCmp(predicate, m_FAbs(m_Value(value)), m_Inf()))) return nullptr;
  return predicate == FCmpInst::FCMP_UEQ && value->getType()->isDoubleTy() ? value : nullptr;
}

// The same of a check that may look at it on some paths only.
Value* notFiniteIf(Value* check) {
  Value *a, *b;
  if (!match(check, m_LogicalAnd(m_Value(a), m_Value(b)))) return notFinite(check);
  auto* value = notFinite(a);
  return value ? value : notFinite(b);
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
  if (auto* either = dyn_cast<SelectInst>(to)) return through(either->getTrueValue()) && through(either->getFalseValue());
  auto* operation = carrier(to);
  return operation && (through(operation->getOperand(0)) || through(operation->getOperand(1)));
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
    auto *power = infinitePower(check), *value = power ? power : notFiniteIf(check);
    if (!value) continue;
    bool isAlways = !power && notFinite(check);
    bool implied = any_of(note.checks, [&](Value* other) {
      auto* later = other != check ? notFinite(other) : nullptr;
      return later && (!isAlways || later != value) && carries(value, later, loop.getHeader());
    });
    // (A sum of powers may be NaN where none of them is infinite.)
    auto* stays = implied || !isAlways ? nullptr : accumulator(value, loop);
    if (implied || stays) gone.insert(check);
    if (stays) atEnd.emplace_back(value, stays);
  }
  if (gone.empty()) return false;
  note.rewrite(gone, [&](Note::Read read, Instruction* where) {
    IRBuilder<> ir(where);
    Value* bad = nullptr;
    for (auto [value, before] : atEnd) {
      auto* one = isNotFinite(ir, read == Note::Read::AFTER ? value : before);
      bad = bad ? ir.CreateOr(bad, one) : one;
    }
    return bad;
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
  note.rewrite(gone, [&](Note::Read read, Instruction* where) {
    auto* seen = read == Note::Read::AFTER ? next : sum;
    return IRBuilder<>(where).CreateFCmpUNO(seen, seen);
  });
  return true;
}

bool hasFma(Function& function) { return function.getFnAttribute("target-features").getValueAsString().contains("+fma,"); }

}  // namespace

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
