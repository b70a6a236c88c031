// Operations on integers and floats, comparisons, conversions.
#include "levels/jit/lowering.h"

#include <llvm/IR/Intrinsics.h>

#include <optional>

#include "levels/jit/points.h"
#include "levels/jit/power_calls.h"
#include "levels/jit/powers.h"

namespace epochly::jit {

using program::Compare;
using program::DType;
using program::Instruction;
using program::Op;
using program::Prim;

namespace {

// A quotient beyond this is not exact enough for one fma() to give the remainder.
constexpr double FMOD_QUOTIENT_MAX = 4503599627370496.0;  // 2**52
constexpr double FMOD_DIVISOR_MIN = 1e-290;

// numpy keeps the lowest bits of a result that its type cannot hold.
llvm::Value* wrapTo(llvm::IRBuilder<>& ir, llvm::Value* value, DType dtype) {
  auto* narrow = ir.CreateTrunc(value, ir.getIntNTy(8 * program::bytesOf(dtype)));
  bool isUnsigned = dtype >= DType::U8 && dtype <= DType::U64;
  return isUnsigned ? ir.CreateZExt(narrow, ir.getInt64Ty()) : ir.CreateSExt(narrow, ir.getInt64Ty());
}

llvm::CmpInst::Predicate intPredicate(int64_t compare) {
  static const llvm::CmpInst::Predicate ALL[] = {llvm::CmpInst::ICMP_EQ,  llvm::CmpInst::ICMP_NE,  llvm::CmpInst::ICMP_SLT,
                                                 llvm::CmpInst::ICMP_SLE, llvm::CmpInst::ICMP_SGT, llvm::CmpInst::ICMP_SGE};
  return ALL[compare];
}

llvm::CmpInst::Predicate realPredicate(int64_t compare) {
  static const llvm::CmpInst::Predicate ALL[] = {llvm::CmpInst::FCMP_OEQ, llvm::CmpInst::FCMP_UNE, llvm::CmpInst::FCMP_OLT,
                                                 llvm::CmpInst::FCMP_OLE, llvm::CmpInst::FCMP_OGT, llvm::CmpInst::FCMP_OGE};
  return ALL[compare];
}

// The exponent, if it is a constant 2**n.
std::optional<unsigned> log2Of(llvm::Value* value) {
  auto* number = llvm::dyn_cast<llvm::ConstantInt>(value);
  if (!number || !number->getValue().isStrictlyPositive() || !number->getValue().isPowerOf2()) return {};
  return number->getValue().logBase2();
}

}  // namespace

llvm::Value* FunctionLowering::fabs(llvm::Value* x) { return ir.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x); }

llvm::Value* FunctionLowering::fma(llvm::Value* a, llvm::Value* b, llvm::Value* c) {
  return ir.CreateIntrinsic(llvm::Intrinsic::fma, {f64}, {a, b, c});
}

llvm::Value* FunctionLowering::within(llvm::Value* x, double low, double high) {
  return ir.CreateAnd(ir.CreateFCmpOGT(x, realConst(low)), ir.CreateFCmpOLT(x, realConst(high)));
}

llvm::Value* FunctionLowering::powCall(llvm::Value* x, llvm::Value* y, uint32_t which) {
  auto* out = slot(f64);
  auto* failed = call("epochly_pow", i32, {x, y, out});
  lateGuard(ir.CreateICmpEQ(failed, ir.getInt32(0)), which);
  return ir.CreateLoad(f64, out);
}

llvm::Value* FunctionLowering::power(llvm::Value* x, llvm::Value* y, uint32_t which) {
  auto* exponent = llvm::dyn_cast<llvm::ConstantFP>(y);
  auto isExponent = [&](double n) { return exponent && exponent->isExactlyValue(n); };
  if (!isExponent(2.0) && !isExponent(0.5)) return powCall(x, y, which);
  if (options.fastmath) return relaxedPower(x, isExponent(2.0), which);
  llvm::FastMathFlags none, before = ir.getFastMathFlags();
  ir.setFastMathFlags(none);
  llvm::Value* result;
  if (options.careful) {
    auto guess = isExponent(2.0) ? guessSquare(ir, x) : guessRoot(ir, x);
    result = either(guess.usual, guess.result, [&] { return powCall(x, y, which); });
  } else {
    result = callPure(isExponent(2.0) ? powers::SQUARE : powers::ROOT, {x});
    lateGuard(ir.CreateFCmpUNE(result, realConst(__builtin_inf())), which);
  }
  ir.setFastMathFlags(before);
  return result;
}

void FunctionLowering::complexPower(const Instruction& one) {
  auto* out = slot(llvm::ArrayType::get(f64, 2));
  auto part = [&](size_t i) { return values[one.args[i]]; };
  auto* failed = call("epochly_complex_pow", i32, {part(0), part(1), part(2), part(3), out});
  lateGuard(ir.CreateICmpEQ(failed, ir.getInt32(0)), one.guard);
  for (int i = 0; i < 2; i++) values[one.result + i] = ir.CreateLoad(f64, at(out, intConst(8 * i)));
}

llvm::Value* FunctionLowering::relaxedPower(llvm::Value* x, bool isSquare, uint32_t which) {
  if (isSquare) return ir.CreateFMul(x, x);
  lateGuard(ir.CreateNot(ir.CreateFCmpOLT(x, realConst(0))), which);  // complex
  return ir.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, x);
}

llvm::Value* FunctionLowering::remainder(llvm::Value* x, llvm::Value* y) {
  llvm::FastMathFlags none, before = ir.getFastMathFlags();
  ir.setFastMathFlags(none);
  auto *a = fabs(x), *b = fabs(y);
  auto* quotient = ir.CreateFDiv(a, b);
  auto* whole = ir.CreateUnaryIntrinsic(llvm::Intrinsic::trunc, quotient);
  // The rounded quotient is never below the true one's integer part and at most one above it; in both cases the fma is exact.
  auto* rest = fma(ir.CreateFNeg(whole), b, a);
  rest = ir.CreateSelect(ir.CreateFCmpOLT(rest, realConst(0)), ir.CreateFAdd(rest, b), rest);
  auto* fast = ir.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, rest, x);
  auto* usual =
      ir.CreateAnd(ir.CreateFCmpOLT(quotient, realConst(FMOD_QUOTIENT_MAX)), within(b, FMOD_DIVISOR_MIN, __builtin_inf()));
  ir.setFastMathFlags(before);
  return either(usual, fast, [&] { return callPure("epochly_fmod", {x, y}); });
}

std::pair<llvm::Value*, llvm::Value*> FunctionLowering::floatDivmod(llvm::Value* x, llvm::Value* y) {
  llvm::FastMathFlags none, before = ir.getFastMathFlags();
  auto* mod = remainder(x, y);
  ir.setFastMathFlags(none);
  auto* zero = realConst(0);
  auto* div = ir.CreateFDiv(ir.CreateFSub(x, mod), y);
  auto* nonzero = ir.CreateFCmpUNE(mod, zero);
  auto* apart = ir.CreateXor(ir.CreateFCmpOLT(y, zero), ir.CreateFCmpOLT(mod, zero));
  auto* adjust = ir.CreateAnd(nonzero, apart);
  auto* adjusted = ir.CreateSelect(adjust, ir.CreateFAdd(mod, y), mod);
  adjusted = ir.CreateSelect(nonzero, adjusted, ir.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, zero, y));
  div = ir.CreateSelect(adjust, ir.CreateFSub(div, realConst(1)), div);
  llvm::Value* floor = ir.CreateUnaryIntrinsic(llvm::Intrinsic::floor, div);
  auto* up = ir.CreateFCmpOGT(ir.CreateFSub(div, floor), realConst(0.5));
  floor = ir.CreateSelect(up, ir.CreateFAdd(floor, realConst(1)), floor);
  auto* sign = ir.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, zero, ir.CreateFDiv(x, y));
  floor = ir.CreateSelect(ir.CreateFCmpUNE(div, zero), floor, sign);
  ir.setFastMathFlags(before);
  return {floor, adjusted};
}

llvm::Value* FunctionLowering::floorDivide(llvm::Value* a, llvm::Value* b, uint32_t which) {
  if (auto bits = log2Of(b)) return ir.CreateAShr(a, *bits);
  auto* overflows = ir.CreateAnd(ir.CreateICmpEQ(a, intConst(INT64_MIN)), ir.CreateICmpEQ(b, intConst(-1)));
  guard(ir.CreateNot(ir.CreateOr(ir.CreateICmpEQ(b, intConst(0)), overflows)), which);
  auto *quotient = ir.CreateSDiv(a, b), *rest = ir.CreateSRem(a, b);
  auto* apart = ir.CreateICmpSLT(ir.CreateXor(rest, b), intConst(0));
  auto* below = ir.CreateAnd(ir.CreateICmpNE(rest, intConst(0)), apart);
  return ir.CreateSub(quotient, ir.CreateZExt(below, i64));
}

llvm::Value* FunctionLowering::floorModulo(llvm::Value* a, llvm::Value* b, uint32_t which) {
  if (auto bits = log2Of(b)) return ir.CreateAnd(a, llvm::APInt::getLowBitsSet(64, *bits));
  guard(ir.CreateICmpNE(b, intConst(0)), which);
  // INT64_MIN % -1 traps on x86; x % -1 is 0.
  auto* divisor = ir.CreateSelect(ir.CreateICmpEQ(b, intConst(-1)), intConst(1), b);
  auto* rest = ir.CreateSRem(a, divisor);
  auto* apart = ir.CreateICmpSLT(ir.CreateXor(rest, b), intConst(0));
  auto* below = ir.CreateAnd(ir.CreateICmpNE(rest, intConst(0)), apart);
  return ir.CreateSelect(below, ir.CreateAdd(rest, b), rest);
}

llvm::Value* FunctionLowering::shiftLeft(llvm::Value* a, llvm::Value* b, uint32_t which) {
  lateGuard(ir.CreateICmpULE(b, intConst(62)), which);
  auto* by = ir.CreateAnd(b, intConst(63));
  auto* result = ir.CreateShl(a, by);
  lateGuard(ir.CreateICmpEQ(ir.CreateAShr(result, by), a), which);
  return result;
}

llvm::Value* FunctionLowering::toInteger(llvm::Value* x, uint32_t which) {
  guard(ir.CreateAnd(ir.CreateFCmpOGE(x, realConst(-0x1p63)), ir.CreateFCmpOLT(x, realConst(0x1p63))), which);
  return ir.CreateFPToSI(x, i64);
}

llvm::Value* FunctionLowering::indexPoint(const Instruction& select) {
  if (options.careful) return nullptr;
  auto *below = makers[select.args[0]], *from = makers[select.args[1]];
  auto index = select.args[2];
  if (!below || !from || below->op != Op::ICMP || from->op != Op::ADD) return nullptr;
  auto* zero = makers[below->args[1]];
  if (below->imm != static_cast<int64_t>(Compare::LT) || below->args[0] != index || from->args[0] != index) return nullptr;
  if (!zero || zero->op != Op::CONST_I || zero->imm != 0) return nullptr;
  auto point = module.getOrInsertFunction(INDEX_POINT, llvm::FunctionType::get(i64, {i64, i64}, false));
  auto* declared = llvm::cast<llvm::Function>(point.getCallee());
  for (auto attribute : {llvm::Attribute::NoUnwind, llvm::Attribute::WillReturn, llvm::Attribute::Speculatable,
                         llvm::Attribute::NoFree, llvm::Attribute::NoSync, llvm::Attribute::NoCallback})
    declared->addFnAttr(attribute);
  declared->setDoesNotAccessMemory();
  return ir.CreateCall(point, {values[index], values[from->args[1]]});
}

llvm::Value* FunctionLowering::lowerInteger(const Instruction& one) {
  auto arg = [&](size_t i) { return values[one.args[i]]; };
  using namespace llvm;
  switch (one.op) {
    case Op::ADD_CHECKED: return checked(Intrinsic::sadd_with_overflow, arg(0), arg(1), one.guard);
    case Op::SUB_CHECKED: return checked(Intrinsic::ssub_with_overflow, arg(0), arg(1), one.guard);
    case Op::MUL_CHECKED: return checked(Intrinsic::smul_with_overflow, arg(0), arg(1), one.guard);
    case Op::NEG_CHECKED: return checked(Intrinsic::ssub_with_overflow, intConst(0), arg(0), one.guard);
    case Op::ABS_CHECKED:
      lateGuard(ir.CreateICmpNE(arg(0), intConst(INT64_MIN)), one.guard);
      return ir.CreateBinaryIntrinsic(Intrinsic::abs, arg(0), ir.getFalse());
    case Op::SHL_CHECKED: return shiftLeft(arg(0), arg(1), one.guard);
    case Op::ADD: return ir.CreateAdd(arg(0), arg(1));
    case Op::SUB: return ir.CreateSub(arg(0), arg(1));
    case Op::MUL: return ir.CreateMul(arg(0), arg(1));
    case Op::FLOOR_DIV: return floorDivide(arg(0), arg(1), one.guard);
    case Op::FLOOR_MOD: return floorModulo(arg(0), arg(1), one.guard);
    case Op::SHR: return ir.CreateAShr(arg(0), ir.CreateBinaryIntrinsic(Intrinsic::smin, arg(1), intConst(63)));
    case Op::AND: return ir.CreateAnd(arg(0), arg(1));
    case Op::OR: return ir.CreateOr(arg(0), arg(1));
    case Op::XOR: return ir.CreateXor(arg(0), arg(1));
    case Op::INVERT: return ir.CreateNot(arg(0));
    case Op::POW_INT: {
      auto* out = slot(i64);
      lateGuard(ir.CreateICmpEQ(call("epochly_pow_int", i32, {arg(0), arg(1), out}), ir.getInt32(0)), one.guard);
      return ir.CreateLoad(i64, out);
    }
    case Op::INT_TRUE_DIV: {
      auto small = [&](Value* x) {  // a double exactly
        return ir.CreateICmpULE(ir.CreateAdd(x, intConst(int64_t(1) << 53)), intConst(int64_t(1) << 54));
      };
      auto* quotient = ir.CreateFDiv(ir.CreateSIToFP(arg(0), f64), ir.CreateSIToFP(arg(1), f64));
      return either(ir.CreateAnd(small(arg(0)), small(arg(1))), quotient, [&] {
        return callPure("epochly_true_divide", {arg(0), arg(1)});
      });
    }
    case Op::INT_MATH: {
      auto* out = slot(i64);
      std::vector<llvm::Value*> args{arg(0), one.args.size() > 1 ? arg(1) : intConst(0)};
      if (one.args.size() > 2) args.push_back(arg(2));
      args.push_back(out);
      auto* failed = call(("epochly_" + one.text).c_str(), i32, args);
      guard(ir.CreateICmpEQ(failed, ir.getInt32(0)), one.guard);
      return ir.CreateLoad(i64, out);
    }
    case Op::WRAP: return wrapTo(ir, arg(0), static_cast<DType>(one.imm));
    case Op::UNSIGNED_DIV:
    case Op::UNSIGNED_MOD:
      guard(ir.CreateICmpNE(arg(1), intConst(0)), one.guard);
      return one.op == Op::UNSIGNED_DIV ? ir.CreateUDiv(arg(0), arg(1)) : ir.CreateURem(arg(0), arg(1));
    default: return nullptr;  // of another family
  }
}

llvm::Value* FunctionLowering::lowerFloat(const Instruction& one) {
  auto arg = [&](size_t i) { return values[one.args[i]]; };
  using namespace llvm;
  switch (one.op) {
    case Op::FADD: return ir.CreateFAdd(arg(0), arg(1));
    case Op::FSUB: return ir.CreateFSub(arg(0), arg(1));
    case Op::FMUL: return ir.CreateFMul(arg(0), arg(1));
    case Op::FDIV: return ir.CreateFDiv(arg(0), arg(1));
    case Op::FNEG: return ir.CreateFNeg(arg(0));
    case Op::FABS: return fabs(arg(0));
    case Op::FSQRT: return ir.CreateUnaryIntrinsic(Intrinsic::sqrt, arg(0));
    case Op::FFLOOR: return ir.CreateUnaryIntrinsic(Intrinsic::floor, arg(0));
    case Op::FCEIL: return ir.CreateUnaryIntrinsic(Intrinsic::ceil, arg(0));
    case Op::FTRUNC: return ir.CreateUnaryIntrinsic(Intrinsic::trunc, arg(0));
    case Op::FROUND_EVEN: return ir.CreateUnaryIntrinsic(Intrinsic::roundeven, arg(0));
    case Op::FMOD_PY: return floatDivmod(arg(0), arg(1)).second;
    case Op::FFLOOR_DIV_PY: return floatDivmod(arg(0), arg(1)).first;
    case Op::FPOW_PY: return power(arg(0), arg(1), one.guard);
    case Op::CPOW_PY: complexPower(one); return nullptr;
    case Op::MATH1: return callPure("epochly_math_" + one.text, {arg(0)});
    case Op::MATH2: return callPure("epochly_math_" + one.text, {arg(0), arg(1)});
    case Op::FLOAT_MATH: return floatMath(one);
    case Op::ROUND_DIGITS: {
      auto* out = slot(f64);
      auto* failed = call("epochly_round", i32, {arg(0), arg(1), out});
      guard(ir.CreateICmpEQ(failed, ir.getInt32(0)), one.guard);
      return ir.CreateLoad(f64, out);
    }
    case Op::ROUND_F32: return ir.CreateFPExt(ir.CreateFPTrunc(arg(0), ir.getFloatTy()), f64);
    default: return nullptr;  // of another family
  }
}

// The function takes as many doubles as lie one after the other.
llvm::Value* FunctionLowering::floatMath(const Instruction& one) {
  auto* out = slot(f64);
  llvm::Value *first, *count;
  if (instance.values[one.args[0]] == Prim::P) {
    auto* list = values[one.args[0]];
    first = header(list, 16, ptr);
    count = header(list, 0, i64);
  } else {
    first = slot(llvm::ArrayType::get(f64, one.args.size()));
    count = intConst(one.args.size());
    for (size_t i = 0; i < one.args.size(); i++)
      tagged(ir.CreateStore(values[one.args[i]], at(first, intConst(8 * i))), Memory::CALL);
  }
  auto* failed = call(("epochly_" + one.text).c_str(), i32, {first, count, out});
  guard(ir.CreateICmpEQ(failed, ir.getInt32(0)), one.guard);
  return ir.CreateLoad(f64, out);
}

llvm::Value* FunctionLowering::lowerTest(const Instruction& one) {
  auto arg = [&](size_t i) { return values[one.args[i]]; };
  switch (one.op) {
    case Op::ICMP: return ir.CreateICmp(intPredicate(one.imm), arg(0), arg(1));
    case Op::FCMP: return ir.CreateFCmp(realPredicate(one.imm), arg(0), arg(1));
    case Op::BAND: return ir.CreateAnd(arg(0), arg(1));
    case Op::BOR: return ir.CreateOr(arg(0), arg(1));
    case Op::BXOR: return ir.CreateXor(arg(0), arg(1));
    case Op::BNOT: return ir.CreateNot(arg(0));
    case Op::SELECT:
      if (auto* index = indexPoint(one)) return index;
      return ir.CreateSelect(arg(0), arg(1), arg(2));
    default: return nullptr;  // of another family
  }
}

llvm::Value* FunctionLowering::lowerConversion(const Instruction& one) {
  auto arg = [&](size_t i) { return values[one.args[i]]; };
  switch (one.op) {
    case Op::B_TO_I: return ir.CreateZExt(arg(0), i64);
    case Op::I_TO_F: return ir.CreateSIToFP(arg(0), f64);
    case Op::F_TO_I: return toInteger(arg(0), one.guard);
    case Op::TO_BITS: {
      auto* value = arg(0);
      if (value->getType()->isIntegerTy(1)) return ir.CreateZExt(value, i64);
      if (value->getType()->isPointerTy()) return ir.CreatePtrToInt(value, i64);
      return ir.CreateBitCast(value, i64);
    }
    case Op::FROM_BITS:
      if (one.prim == Prim::B) return ir.CreateTrunc(arg(0), ir.getInt1Ty());
      if (one.prim == Prim::P) return ir.CreateIntToPtr(arg(0), ptr);
      return ir.CreateBitCast(arg(0), typeOf(one.prim));
    case Op::U_TO_F: return ir.CreateUIToFP(arg(0), f64);
    default: return nullptr;  // of another family
  }
}

}  // namespace epochly::jit
