#include "levels/jit/wide_notes.h"

#include <llvm/Analysis/LoopInfo.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/PatternMatch.h>
#include <llvm/Transforms/Utils/Local.h>

namespace epochly::jit {

using namespace llvm;
using namespace PatternMatch;

namespace {

// The conditions that `value` adds to `note`. False: it is not made of the note and conditions alone.
bool collect(Value* value, PHINode* note, SmallVectorImpl<Value*>& conditions, SmallPtrSetImpl<User*>& chain) {
  if (value == note) return true;
  Value *left, *right;
  if (!match(value, m_Or(m_Value(left), m_Value(right)))) return false;
  chain.insert(cast<User>(value));
  for (auto [own, other] : {std::pair(left, right), std::pair(right, left)}) {
    if (!collect(own, note, conditions, chain)) continue;
    conditions.push_back(other);
    return true;
  }
  return false;
}

bool touchesMemory(const Loop& loop) {
  return any_of(loop.blocks(),
                [](auto* block) { return any_of(*block, [](auto& one) { return one.mayReadOrWriteMemory(); }); });
}

bool widen(PHINode* note, Loop& loop, BasicBlock* exit) {
  auto* latch = loop.getLoopLatch();
  auto* before = loop.getLoopPreheader();
  auto* after = dyn_cast<Instruction>(note->getIncomingValueForBlock(latch));
  SmallVector<Value*> conditions;
  SmallPtrSet<User*, 8> chain;
  if (!after || !collect(after, note, conditions, chain) || conditions.empty()) return false;
  auto staysInside = [&](User* user) { return chain.contains(user) || user == note; };
  if (!all_of(note->users(), staysInside)) return false;
  for (auto* user : after->users()) {
    if (!staysInside(user) && loop.contains(cast<Instruction>(user))) return false;
  }
  auto* i64 = Type::getInt64Ty(note->getContext());
  auto* wide = PHINode::Create(i64, 2, "note", note->getIterator());
  wide->addIncoming(IRBuilder<>(before->getTerminator()).CreateZExt(note->getIncomingValueForBlock(before), i64), before);
  IRBuilder<> ir(after);
  Value* rest = wide;
  for (auto* condition : conditions) rest = ir.CreateOr(rest, ir.CreateZExt(condition, i64));
  wide->addIncoming(rest, latch);
  auto* last = PHINode::Create(i64, 1, "note.last", exit->begin());
  last->addIncoming(rest, latch);
  ir.SetInsertPoint(exit, exit->getFirstInsertionPt());
  auto* narrow = ir.CreateTrunc(last, note->getType());
  for (auto& phi : make_early_inc_range(exit->phis())) {
    if (phi.getIncomingValue(0) != after) continue;
    phi.replaceAllUsesWith(narrow);
    phi.eraseFromParent();
  }
  after->replaceUsesWithIf(narrow, [&](Use& use) { return !staysInside(use.getUser()); });
  RecursivelyDeleteDeadPHINode(note);
  return true;
}

}  // namespace

PreservedAnalyses WideNotesPass::run(Function& function, FunctionAnalysisManager& analyses) {
  bool changed = false;
  for (auto* loop : analyses.getResult<LoopAnalysis>(function).getLoopsInPreorder()) {
    auto* exit = loop->getExitBlock();
    if (!loop->isInnermost() || !loop->getLoopPreheader() || !exit || exit->getSinglePredecessor() != loop->getLoopLatch())
      continue;
    if (touchesMemory(*loop)) continue;
    for (auto& phi : make_early_inc_range(loop->getHeader()->phis())) {
      if (phi.getType()->isIntegerTy(1)) changed |= widen(&phi, *loop, exit);
    }
  }
  return changed ? PreservedAnalyses::none() : PreservedAnalyses::all();
}

}  // namespace epochly::jit
