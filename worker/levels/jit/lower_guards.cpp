// Guards: what fails gives the call back, at once or where the code next looks.
#include "levels/jit/lowering.h"

#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/MDBuilder.h>

namespace epochly::jit {

void FunctionLowering::guard(llvm::Value* holds, uint32_t which) {
  auto* fails = newBlock("fails");
  auto* ok = newBlock("ok");
  ir.CreateCondBr(holds, ok, fails, llvm::MDBuilder(context).createBranchWeights(1 << 20, 1));
  ir.SetInsertPoint(fails);
  giveBack(which);
  ir.SetInsertPoint(ok);
}

void FunctionLowering::giveBack(uint32_t which) {
  ir.CreateStore(ir.getInt32(options.careful ? which : 1), status);
  ir.CreateBr(failure);
}

void FunctionLowering::lateGuard(llvm::Value* holds, uint32_t which) {
  if (options.careful) return guard(holds, which);
  ir.CreateStore(ir.CreateOr(ir.CreateLoad(ir.getInt1Ty(), bad), ir.CreateNot(holds)), bad);
}

llvm::Value* FunctionLowering::checked(llvm::Intrinsic::ID id, llvm::Value* a, llvm::Value* b, uint32_t which) {
  auto* both = ir.CreateBinaryIntrinsic(id, a, b);
  lateGuard(ir.CreateNot(ir.CreateExtractValue(both, 1)), which);
  return ir.CreateExtractValue(both, 0);
}

void FunctionLowering::guardWarnings(llvm::Value* last, const std::vector<llvm::Value*>& operations, uint32_t which) {
  auto* infinity = realConst(__builtin_inf());
  auto isNan = [&](llvm::Value* x) { return ir.CreateFCmpUNO(x, x); };
  auto isInf = [&](llvm::Value* x) { return ir.CreateFCmpOEQ(fabs(x), infinity); };
  auto isFinite = [&](llvm::Value* x) { return ir.CreateFCmpOLT(fabs(x), infinity); };
  // Infinities and NaN that were there before make no warning: only careful code tells them apart.
  if (!options.careful) return finiteGuard(last, which);
  auto* ok = either(isFinite(last), ir.getTrue(), [&] {
    llvm::Value* all = ir.getTrue();
    for (size_t i = 0; i < operations.size(); i += 3) {
      auto *result = operations[i], *a = operations[i + 1], *b = operations[i + 2];
      auto* nan = ir.CreateAnd(isNan(result), ir.CreateOr(isNan(a), isNan(b)));
      auto* inf = ir.CreateAnd(isInf(result), ir.CreateOr(isInf(a), isInf(b)));
      all = ir.CreateAnd(all, ir.CreateOr(isFinite(result), ir.CreateOr(nan, inf)));
    }
    return all;
  });
  guard(ok, which);
}

void FunctionLowering::finiteGuard(llvm::Value* value, uint32_t which) {
  auto* finite = ir.CreateFCmpOLT(fabs(value), realConst(__builtin_inf()));
  auto* operation = llvm::dyn_cast<llvm::BinaryOperator>(value);
  using llvm::Instruction;
  if (operation && (operation->getOpcode() == Instruction::FAdd || operation->getOpcode() == Instruction::FSub ||
                    operation->getOpcode() == Instruction::FMul)) {
    // What is not finite makes this no more finite: an operand need not be looked at as well.
    for (auto& operand : operation->operands()) {
      auto seen = finiteGuards.find(operand.get());
      if (seen == finiteGuards.end() || seen->second->getParent() != ir.GetInsertBlock()) continue;
      seen->second->replaceAllUsesWith(ir.getTrue());
      finiteGuards.erase(seen);
    }
  }
  lateGuard(finite, which);
  if (auto* made = llvm::dyn_cast<Instruction>(finite)) finiteGuards[value] = made;
}

llvm::Value* FunctionLowering::either(llvm::Value* usual, llvm::Value* fast, const std::function<llvm::Value*()>& rare) {
  auto* from = ir.GetInsertBlock();
  auto* slow = newBlock("slow");
  auto* done = newBlock("done");
  ir.CreateCondBr(usual, done, slow, llvm::MDBuilder(context).createBranchWeights(1 << 10, 1));
  ir.SetInsertPoint(slow);
  auto* other = rare();
  auto* slowEnd = ir.GetInsertBlock();
  ir.CreateBr(done);
  ir.SetInsertPoint(done);
  auto* phi = ir.CreatePHI(fast->getType(), 2);
  phi->addIncoming(fast, from);
  phi->addIncoming(other, slowEnd);
  return phi;
}

}  // namespace epochly::jit
