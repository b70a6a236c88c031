#include "levels/jit/real_bits.h"

#include <llvm/ADT/SetVector.h>
#include <llvm/ADT/SmallPtrSet.h>
#include <llvm/IR/Instructions.h>
#include <llvm/IR/PatternMatch.h>

namespace epochly::jit {

using namespace llvm;
using namespace PatternMatch;

namespace {

bool isChoice(Value* value) { return (isa<PHINode>(value) || isa<SelectInst>(value)) && value->getType()->isIntegerTy(64); }

void forSources(Instruction* choice, function_ref<void(Use&)> each) {
  if (auto* phi = dyn_cast<PHINode>(choice)) {
    for (auto& use : phi->incoming_values()) each(use);
    return;
  }
  each(choice->getOperandUse(1));
  each(choice->getOperandUse(2));
}

// Phis and selections that pass their values among one another.
class Web {
 public:
  explicit Web(Instruction* first) {
    add(first);
    for (size_t i = 0; i < choices.size(); i++) explore(choices[i]);
  }
  bool isOfReals() const { return fromReals && toReals && !others; }
  ArrayRef<Instruction*> members() const { return choices.getArrayRef(); }

  void make() {
    auto* real = Type::getDoubleTy(choices[0]->getContext());
    DenseMap<Value*, Instruction*> made;
    for (auto* choice : choices) {
      if (auto* phi = dyn_cast<PHINode>(choice)) {
        made[phi] = PHINode::Create(real, phi->getNumIncomingValues(), phi->getName() + ".real", phi->getIterator());
      } else {
        auto* zero = ConstantFP::get(real, 0.0);
        made[choice] =
            SelectInst::Create(choice->getOperand(0), zero, zero, choice->getName() + ".real", choice->getIterator());
      }
    }
    auto realOf = [&](Value* source) -> Value* {
      Value* value;
      if (match(source, m_BitCast(m_Value(value)))) return value;
      if (auto* number = dyn_cast<ConstantInt>(source))
        return ConstantFP::get(real, APFloat(APFloat::IEEEdouble(), number->getValue()));
      if (isa<PoisonValue>(source)) return PoisonValue::get(real);
      return isa<UndefValue>(source) ? UndefValue::get(real) : static_cast<Value*>(made.at(source));
    };
    for (auto* choice : choices) {
      auto* replacement = made[choice];
      if (auto* phi = dyn_cast<PHINode>(choice)) {
        for (unsigned i = 0; i < phi->getNumIncomingValues(); i++)
          cast<PHINode>(replacement)->addIncoming(realOf(phi->getIncomingValue(i)), phi->getIncomingBlock(i));
      } else {
        replacement->setOperand(1, realOf(choice->getOperand(1)));
        replacement->setOperand(2, realOf(choice->getOperand(2)));
      }
    }
    for (auto* choice : choices) replaceUses(choice, made[choice]);
    for (auto* choice : choices) choice->dropAllReferences();
    for (auto* choice : choices) choice->eraseFromParent();
  }

 private:
  SmallSetVector<Instruction*, 8> choices;
  bool fromReals = false, toReals = false, others = false;

  void add(Instruction* choice) { choices.insert(choice); }
  void explore(Instruction* choice) {
    forSources(choice, [&](Use& use) {
      auto* source = use.get();
      Value* value;
      if (isChoice(source)) return add(cast<Instruction>(source));
      if (match(source, m_BitCast(m_Value(value))) && value->getType()->isDoubleTy()) {
        fromReals = true;
      } else if (!isa<ConstantInt>(source) && !isa<UndefValue>(source)) {
        others = true;
      }
    });
    for (auto* user : choice->users()) {
      if (isChoice(user)) {
        add(cast<Instruction>(user));
      } else {
        toReals |= isa<BitCastInst>(user) && user->getType()->isDoubleTy();
      }
    }
  }
  // Who wants a float takes it; for the others its bits.
  void replaceUses(Instruction* choice, Instruction* replacement) {
    Value* bits = nullptr;
    for (auto* user : SmallVector<User*>(choice->users())) {
      if (isChoice(user) && choices.contains(cast<Instruction>(user))) continue;
      if (isa<BitCastInst>(user) && user->getType()->isDoubleTy()) {
        user->replaceAllUsesWith(replacement);
        cast<Instruction>(user)->eraseFromParent();
        continue;
      }
      if (!bits) {
        auto after = isa<PHINode>(choice) ? choice->getParent()->getFirstInsertionPt() : std::next(choice->getIterator());
        bits = new BitCastInst(replacement, choice->getType(), "", after);
      }
      user->replaceUsesOfWith(choice, bits);
    }
  }
};

}  // namespace

PreservedAnalyses RealBitsPass::run(Function& function, FunctionAnalysisManager&) {
  SmallPtrSet<Value*, 16> seen;
  SmallVector<Web, 4> webs;
  for (auto& block : function) {
    for (auto& one : block) {
      if (!isChoice(&one) || seen.contains(&one)) continue;
      Web web(&one);
      seen.insert(web.members().begin(), web.members().end());
      if (web.isOfReals()) webs.push_back(std::move(web));
    }
  }
  for (auto& web : webs) web.make();
  if (webs.empty()) return PreservedAnalyses::all();
  PreservedAnalyses kept;
  kept.preserveSet<CFGAnalyses>();
  return kept;
}

}  // namespace epochly::jit
