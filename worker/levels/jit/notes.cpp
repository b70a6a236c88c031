#include "levels/jit/notes.h"

#include <llvm/IR/PatternMatch.h>
#include <llvm/Transforms/Utils/Local.h>

namespace epochly::jit {

using namespace llvm;
using namespace PatternMatch;

namespace {

// Checks of one loop that are looked at in pairs.
constexpr size_t CHECKS_MAX = 64;

void replace(ArrayRef<Use*> uses, function_ref<Value*(Instruction* where)> make) {
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

}  // namespace

std::optional<Note> Note::of(PHINode& phi, Loop& loop) {
  if (!phi.getType()->isIntegerTy(1) && !phi.getType()->isIntegerTy(64)) return {};
  auto* latch = loop.getLoopLatch();
  Note note(latch, &phi, dyn_cast<Instruction>(phi.getIncomingValueForBlock(latch)));
  if (!note.after || !loop.contains(note.after) || !note.collect(note.after) || !note.sawItself) return {};
  return note;
}

void Note::rewrite(const SmallPtrSetImpl<Value*>& gone, Instead instead) {
  auto early = readers(before), late = readers(after);
  IRBuilder<> ir(after);
  Value* rest = before;
  for (auto* check : checks) {
    if (!gone.count(check)) rest = add(ir, rest, check);
  }
  before->setIncomingValue(before->getBasicBlockIndex(latch), rest);
  auto readAt = [&](Read read, Value* note, Instruction* where) {
    auto* bad = instead(read, where);
    IRBuilder<> here(where);
    return bad ? add(here, note, bad) : note;
  };
  replace(early, [&](Instruction* where) { return readAt(Read::BEFORE, before, where); });
  replace(late, [&](Instruction* where) { return readAt(Read::AFTER, rest, where); });
  RecursivelyDeleteTriviallyDeadInstructions(after);
}

Value* Note::add(IRBuilder<>& ir, Value* note, Value* bad) { return ir.CreateOr(note, ir.CreateZExt(bad, note->getType())); }

SmallVector<Use*> Note::readers(Value* value) {
  SmallVector<Use*> uses;
  for (auto& use : value->uses()) {
    if (use.getUser() != before && !chain.contains(use.getUser())) uses.push_back(&use);
  }
  return uses;
}

bool Note::collect(Value* value) {
  if (value == before) return sawItself = true;
  if (checks.size() >= CHECKS_MAX) return false;
  Value *a, *b;
  if (match(value, m_Or(m_Value(a), m_Value(b))) && (value == after || value->hasOneUse())) {
    chain.insert(cast<User>(value));
    return collect(a) && collect(b);
  }
  if (!value->getType()->isIntegerTy(1)) {
    auto* wide = dyn_cast<ZExtInst>(value);
    if (!wide || !wide->getSrcTy()->isIntegerTy(1)) return false;
    value = wide->getOperand(0);
  }
  checks.push_back(value);
  return true;
}

PreservedAnalyses forNotes(Function& function, FunctionAnalysisManager& analyses, function_ref<bool(Loop&, Note&)> each) {
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

}  // namespace epochly::jit
