// A loop's note: what fast code collects in a bool ("bad") and looks at now and then, as the passes see it that make it cheap.
#pragma once

#include <llvm/ADT/STLFunctionalExtras.h>
#include <llvm/ADT/SmallPtrSet.h>
#include <llvm/ADT/SmallVector.h>
#include <llvm/Analysis/LoopInfo.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/PassManager.h>

#include <optional>

namespace epochly::jit {

// A bool that is false before and never false again, and in each iteration takes in what is bad of it. It may be as wide as a word
// (wide_notes.h).
struct Note {
  llvm::BasicBlock* latch;
  llvm::PHINode* before;                   // in the header: of the iterations before
  llvm::Instruction* after;                // this iteration's included
  llvm::SmallVector<llvm::Value*> checks;  // bad if one of these is true

  // Null: `phi` is none.
  static std::optional<Note> of(llvm::PHINode& phi, llvm::Loop& loop);

  enum class Read { BEFORE, AFTER };
  // What is looked at in place of the checks that are gone, by a reader at `where` of the note of this iteration, or of those before;
  // null: nothing.
  using Instead = llvm::function_ref<llvm::Value*(Read read, llvm::Instruction* where)>;
  // Takes `gone` out of the checks.
  void rewrite(const llvm::SmallPtrSetImpl<llvm::Value*>& gone, Instead instead);

 private:
  bool sawItself = false;
  llvm::SmallPtrSet<llvm::User*, 16> chain;  // the operations that make `after`

  Note(llvm::BasicBlock* latch, llvm::PHINode* before, llvm::Instruction* after)
      : latch(latch), before(before), after(after) {}
  bool collect(llvm::Value* value);
  llvm::Value* add(llvm::IRBuilder<>& ir, llvm::Value* note, llvm::Value* bad);
  // Outside of the note itself.
  llvm::SmallVector<llvm::Use*> readers(llvm::Value* value);
};

// Every note of every loop that has one latch. each: whether it has changed the note.
llvm::PreservedAnalyses forNotes(llvm::Function& function, llvm::FunctionAnalysisManager& analyses,
                                 llvm::function_ref<bool(llvm::Loop& loop, Note& note)> each);

// `phi(X, X or a)`, as a check on one of two paths leaves it, to `X or phi(false, a)`: the note is one chain again.
bool splitMerges(llvm::Function& function, llvm::LoopInfo& loops);

}  // namespace epochly::jit
