#include "levels/jit/power_calls.h"

#include <llvm/Analysis/LoopInfo.h>
#include <llvm/IR/Dominators.h>
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/MDBuilder.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/PatternMatch.h>
#include <llvm/Transforms/Utils/BasicBlockUtils.h>
#include <llvm/Transforms/Utils/LoopUtils.h>

#include "levels/jit/powers.h"
#include "levels/jit/vector_calls.h"

namespace epochly::jit {

using namespace llvm;
using namespace PatternMatch;

namespace {

Constant* real(Value* like, double value) { return ConstantFP::get(like->getType(), value); }

Value* fma(IRBuilder<>& ir, Value* a, Value* b, Value* c) {
  return ir.CreateIntrinsic(Intrinsic::fma, {a->getType()}, {a, b, c});
}

// Of one number or of several.
bool isSquare(const CallInst& call) { return call.getCalledFunction()->getName().starts_with(powers::SQUARE); }

bool isPower(const Instruction& one) {
  auto* call = dyn_cast<CallInst>(&one);
  if (!call || !call->getCalledFunction()) return false;
  return isSquare(*call) || call->getCalledFunction()->getName().starts_with(powers::ROOT);
}

SmallVector<CallInst*> powersIn(Function& function) {
  SmallVector<CallInst*> found;
  for (auto& block : function) {
    for (auto& one : block) {
      if (isPower(one)) found.push_back(cast<CallInst>(&one));
    }
  }
  return found;
}

// `is it infinite`, which asks whether CPython has to make the call.
bool asksForFailure(User* user) { return match(user, m_SpecificFCmp(FCmpInst::FCMP_OEQ, m_Value(), m_Inf())); }

void expand(CallInst* call) {
  IRBuilder<> ir(call);
  auto* x = call->getArgOperand(0);
  auto guess = isSquare(*call) ? guessSquare(ir, x) : guessRoot(ir, x);
  auto* usual = x->getType()->isVectorTy() ? ir.CreateAndReduce(guess.usual) : guess.usual;
  auto* from = call->getParent();
  MDBuilder md(call->getContext());
  auto* slow = SplitBlockAndInsertIfThen(ir.CreateNot(usual), call, false, md.createBranchWeights(1, 1 << 6));
  auto* done = call->getParent();
  call->moveBefore(slow);
  ir.SetInsertPoint(slow);
  SmallVector<User*> asking;
  copy_if(call->users(), std::back_inserter(asking), asksForFailure);
  auto* fails = asking.empty() ? nullptr : ir.CreateFCmpOEQ(call, ConstantFP::getInfinity(call->getType()));
  ir.SetInsertPoint(done, done->begin());
  if (fails) {
    auto* failed = ir.CreatePHI(fails->getType(), 2);
    failed->addIncoming(Constant::getNullValue(fails->getType()), from);
    failed->addIncoming(fails, slow->getParent());
    for (auto* user : asking) user->replaceAllUsesWith(failed);
  }
  auto* result = ir.CreatePHI(call->getType(), 2);
  call->replaceUsesWithIf(result, [&](Use& use) { return use.getUser() != fails; });
  result->addIncoming(guess.result, from);
  result->addIncoming(call, slow->getParent());
}

}  // namespace

PowerGuess guessSquare(IRBuilder<>& ir, Value* x) {
  // The error as large as it may be makes half a unit, which rounding takes away. Infinity and NaN end in NaN.
  auto* result = ir.CreateFMul(x, x);
  auto* error = fma(ir, x, x, ir.CreateFNeg(result));
  auto* off = fma(ir, error, real(x, 0.5 / powers::SAFE_ULP), result);
  return {result, ir.CreateAnd(ir.CreateFCmpOEQ(off, result), ir.CreateFCmpOGT(result, real(x, powers::SQUARE_MIN)))};
}

PowerGuess guessRoot(IRBuilder<>& ir, Value* x) {
  // The root's own error is (x - s*s) / 2s; 2**-52 times what is left of s without its mantissa is a unit in its last place.
  auto* result = ir.CreateUnaryIntrinsic(Intrinsic::sqrt, x);
  auto* error = ir.CreateUnaryIntrinsic(Intrinsic::fabs, fma(ir, ir.CreateFNeg(result), result, x));
  auto* bits = x->getType()->getWithNewType(ir.getInt64Ty());
  auto* exponent = ir.CreateAnd(ir.CreateBitCast(result, bits), ConstantInt::get(bits, 0x7ff0000000000000));
  auto* scale = ir.CreateBitCast(exponent, x->getType());
  auto* bound = ir.CreateFMul(result, ir.CreateFMul(scale, real(x, 2 * powers::SAFE_ULP * 0x1p-52)));
  auto* inRange =
      ir.CreateAnd(ir.CreateFCmpOGT(x, real(x, powers::SQUARE_MIN)), ir.CreateFCmpOLT(x, real(x, powers::SQUARE_MAX)));
  return {result, ir.CreateAnd(inRange, ir.CreateFCmpOLT(error, bound))};
}

PreservedAnalyses OfferVectorPowersPass::run(Function& function, FunctionAnalysisManager& analyses) {
  auto& loops = analyses.getResult<LoopAnalysis>(function);
  for (auto* call : powersIn(function)) {
    offerVectorCalls(*call, {4, 8});
    // Several vectors at a time gain nothing where each is a call, and leave more iterations over.
    if (auto* loop = loops.getLoopFor(call->getParent())) addStringMetadataToLoop(loop, "llvm.loop.interleave.count", 1);
  }
  return PreservedAnalyses::all();
}

PreservedAnalyses ExpandPowersPass::run(Function& function, FunctionAnalysisManager&) {
  auto calls = powersIn(function);
  for (auto* call : calls) expand(call);
  return calls.empty() ? PreservedAnalyses::all() : PreservedAnalyses::none();
}

}  // namespace epochly::jit
