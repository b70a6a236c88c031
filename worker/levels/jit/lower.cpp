#include "levels/jit/lower.h"

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/MDBuilder.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Support/raw_ostream.h>

#include <map>

#include "levels/jit/speculate.h"
#include "levels/program/decline.h"

namespace epochly::jit {

using program::Block;
using program::Compare;
using program::DType;
using program::Instance;
using program::Instruction;
using program::Op;
using program::Prim;
using program::Unit;

namespace {

// Where |error| of a double product or root is below this many units in the last place, it is libm's pow() bit for bit: 60 million
// doubles tried, the first that differ are at 0.4915 (see DESIGN.md).
constexpr double POW_SAFE_ULP = 0.49;
// Outside of these the error term of fma() may underflow or the result overflow.
constexpr double SQUARE_MIN = 1e-270, SQUARE_MAX = 1e300;
// A quotient beyond this is not exact enough for one fma() to give the remainder.
constexpr double FMOD_QUOTIENT_MAX = 4503599627370496.0;  // 2**52
constexpr double FMOD_DIVISOR_MIN = 1e-290;

// numpy keeps the lowest bits of a result that its type cannot hold.
llvm::Value* wrapTo(llvm::IRBuilder<>& ir, llvm::Value* value, DType dtype) {
  auto* narrow = ir.CreateTrunc(value, ir.getIntNTy(8 * program::bytesOf(dtype)));
  bool isUnsigned = dtype >= DType::U8 && dtype <= DType::U64;
  return isUnsigned ? ir.CreateZExt(narrow, ir.getInt64Ty()) : ir.CreateSExt(narrow, ir.getInt64Ty());
}

class FunctionLowering {
 public:
  FunctionLowering(llvm::Module& module, Unit& unit, Instance& instance, llvm::Function& function,
                   const std::vector<llvm::Function*>& functions, const Options& options)
      : module(module),
        options(options),
        unit(unit),
        instance(instance),
        function(function),
        functions(functions),
        context(module.getContext()),
        ir(context),
        i64(ir.getInt64Ty()),
        i32(ir.getInt32Ty()),
        f64(ir.getDoubleTy()),
        ptr(ir.getPtrTy()) {
    values.resize(instance.values.size());
    makers.resize(instance.values.size());
  }

  void run() {
    auto* entry = llvm::BasicBlock::Create(context, "entry", &function);
    failure = llvm::BasicBlock::Create(context, "failure", &function);
    ir.SetInsertPoint(entry);
    if (options.fastmath) ir.setFastMathFlags(relaxed());
    status = ir.CreateAlloca(i32, nullptr, "status");
    ticks = ir.CreateAlloca(i32, nullptr, "ticks");
    bad = ir.CreateAlloca(ir.getInt1Ty(), nullptr, "bad");
    ir.CreateStore(ir.getFalse(), bad);
    loadTicks();
    for (auto prim : instance.slots) slots.push_back(ir.CreateAlloca(typeOf(prim)));
    allocas = entry;
    lower(*instance.body);
    if (!terminated()) ir.CreateUnreachable();
    ir.SetInsertPoint(failure);
    ir.CreateRet(ir.CreateLoad(i32, status));
  }

 private:
  llvm::Module& module;
  const Options& options;
  Unit& unit;
  Instance& instance;
  llvm::Function& function;
  const std::vector<llvm::Function*>& functions;
  llvm::LLVMContext& context;
  llvm::IRBuilder<> ir;
  llvm::Type* const i64;
  llvm::Type* const i32;
  llvm::Type* const f64;
  llvm::Type* const ptr;
  llvm::BasicBlock* failure = nullptr;  // gives the call back
  llvm::BasicBlock* allocas = nullptr;
  llvm::Value* status = nullptr;  // the guard that failed
  llvm::Value* ticks = nullptr;   // back edges since the last look at the clock
  llvm::Value* bad = nullptr;     // a guard failed that need not be looked at before the next poll or return
  std::vector<llvm::Value*> values;
  std::vector<const Instruction*> makers;  // of `values`
  std::vector<llvm::Value*> slots;
  std::map<int64_t, llvm::BasicBlock*> labels;
  std::map<llvm::Value*, llvm::Instruction*> finiteGuards;  // by what they look at

  llvm::Type* typeOf(Prim prim) {
    switch (prim) {
      case Prim::B: return ir.getInt1Ty();
      case Prim::I: return i64;
      case Prim::F: return f64;
      default: return ptr;
    }
  }
  llvm::Value* contextArg() { return function.getArg(0); }
  llvm::Value* resultsArg() { return function.getArg(function.arg_size() - 1); }
  llvm::Constant* intConst(int64_t value) { return llvm::ConstantInt::get(i64, value, true); }
  llvm::Constant* realConst(double value) { return llvm::ConstantFP::get(f64, value); }
  bool terminated() { return ir.GetInsertBlock()->getTerminator() != nullptr; }
  llvm::BasicBlock* newBlock(const char* name) { return llvm::BasicBlock::Create(context, name, &function); }

  // ---- memory that does not alias: list headers, list elements, arrays, the call's own ---------------------------------------
  enum class Memory { HEADER, ELEMENTS, ARRAY, CALL };
  template <typename I>
  I* tagged(I* instruction, Memory memory) {
    static const char* const NAMES[] = {"header", "elements", "array", "call"};
    llvm::MDBuilder md(context);
    auto* root = md.createTBAARoot("epochly");
    auto* node = md.createTBAAScalarTypeNode(NAMES[static_cast<int>(memory)], root);
    instruction->setMetadata(llvm::LLVMContext::MD_tbaa, md.createTBAAStructTagNode(node, node, 0));
    return instruction;
  }
  llvm::Value* at(llvm::Value* base, llvm::Value* bytes) { return ir.CreateGEP(ir.getInt8Ty(), base, bytes); }
  llvm::Value* header(llvm::Value* list, int64_t offset, llvm::Type* type) {
    return tagged(ir.CreateLoad(type, at(list, intConst(offset))), Memory::HEADER);
  }
  // A leaf in memory: 8 bytes, a bool as an integer.
  llvm::Value* loadLeaf(llvm::Value* where, Prim prim, Memory memory) {
    if (prim != Prim::B) return tagged(ir.CreateLoad(typeOf(prim), where), memory);
    return ir.CreateTrunc(tagged(ir.CreateLoad(i64, where), memory), ir.getInt1Ty());
  }
  void storeLeaf(llvm::Value* value, llvm::Value* where, Memory memory) {
    if (value->getType()->isIntegerTy(1)) value = ir.CreateZExt(value, i64);
    tagged(ir.CreateStore(value, where), memory);
  }
  void loadTicks() { ir.CreateStore(tagged(ir.CreateLoad(i32, contextArg()), Memory::CALL), ticks); }
  void storeTicks() { tagged(ir.CreateStore(ir.CreateLoad(i32, ticks), contextArg()), Memory::CALL); }

  // ---- guards --------------------------------------------------------------------------------------------------------------
  void guard(llvm::Value* holds, uint32_t which) {
    auto* fails = newBlock("fails");
    auto* ok = newBlock("ok");
    ir.CreateCondBr(holds, ok, fails, llvm::MDBuilder(context).createBranchWeights(1 << 20, 1));
    ir.SetInsertPoint(fails);
    giveBack(which);
    ir.SetInsertPoint(ok);
  }
  void giveBack(uint32_t which) {
    ir.CreateStore(ir.getInt32(options.careful ? which : 1), status);
    ir.CreateBr(failure);
  }
  // A guard that keeps memory safe and loops finite may not wait. Others do, unless the code is careful: a branch less each.
  void lateGuard(llvm::Value* holds, uint32_t which) {
    if (options.careful) return guard(holds, which);
    ir.CreateStore(ir.CreateOr(ir.CreateLoad(ir.getInt1Ty(), bad), ir.CreateNot(holds)), bad);
  }
  static bool isOfReals(llvm::Value* condition) {
    if (llvm::isa<llvm::FCmpInst>(condition)) return true;
    auto* both = llvm::dyn_cast<llvm::BinaryOperator>(condition);
    return both && isOfReals(both->getOperand(0)) && isOfReals(both->getOperand(1));
  }
  static llvm::FastMathFlags relaxed() {
    llvm::FastMathFlags flags;
    flags.setFast(true);
    flags.setNoNaNs(false);  // guards look at NaN and infinities
    flags.setNoInfs(false);
    return flags;
  }
  llvm::Value* checked(llvm::Intrinsic::ID id, llvm::Value* a, llvm::Value* b, uint32_t which) {
    auto* both = ir.CreateBinaryIntrinsic(id, a, b);
    lateGuard(ir.CreateNot(ir.CreateExtractValue(both, 1)), which);
    return ir.CreateExtractValue(both, 0);
  }
  llvm::CallInst* call(const char* name, llvm::Type* result, std::vector<llvm::Value*> args) {
    std::vector<llvm::Type*> types;
    for (auto* arg : args) types.push_back(arg->getType());
    auto target = module.getOrInsertFunction(name, llvm::FunctionType::get(result, types, false));
    llvm::cast<llvm::Function>(target.getCallee())->addFnAttr(llvm::Attribute::NoUnwind);
    return ir.CreateCall(target, args);
  }
  // A libm function: depends on its arguments only. (errno is nobody's here.)
  llvm::Value* callPure(const std::string& name, std::vector<llvm::Value*> args) {
    auto* made = call(name.c_str(), f64, std::move(args));
    made->getCalledFunction()->setDoesNotAccessMemory();
    made->getCalledFunction()->addFnAttr(llvm::Attribute::WillReturn);
    return made;
  }
  llvm::Value* slot(llvm::Type* type) {
    llvm::IRBuilder<> first(allocas, allocas->begin());
    return first.CreateAlloca(type);
  }
  // The value of one of two paths; `rare` is out of line.
  llvm::Value* either(llvm::Value* usual, llvm::Value* fast, const std::function<llvm::Value*()>& rare) {
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

  // ---- operations ------------------------------------------------------------------------------------------------------------
  llvm::Value* fabs(llvm::Value* x) { return ir.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x); }
  llvm::Value* fma(llvm::Value* a, llvm::Value* b, llvm::Value* c) {
    return ir.CreateIntrinsic(llvm::Intrinsic::fma, {f64}, {a, b, c});
  }
  // 2 to the exponent of x: one unit in the last place of x is this times 2**-52.
  llvm::Value* scaleOf(llvm::Value* x) {
    auto* bits = ir.CreateAnd(ir.CreateBitCast(x, i64), intConst(0x7ff0000000000000));
    return ir.CreateBitCast(bits, f64);
  }
  llvm::Value* within(llvm::Value* x, double low, double high) {
    return ir.CreateAnd(ir.CreateFCmpOGT(x, realConst(low)), ir.CreateFCmpOLT(x, realConst(high)));
  }

  llvm::Value* powCall(llvm::Value* x, llvm::Value* y, uint32_t which) {
    auto* out = slot(f64);
    auto* failed = call("epochly_pow", i32, {x, y, out});
    lateGuard(ir.CreateICmpEQ(failed, ir.getInt32(0)), which);
    return ir.CreateLoad(f64, out);
  }
  llvm::Value* power(llvm::Value* x, llvm::Value* y, uint32_t which) {
    auto* exponent = llvm::dyn_cast<llvm::ConstantFP>(y);
    auto isExponent = [&](double n) { return exponent && exponent->isExactlyValue(n); };
    if (!isExponent(2.0) && !isExponent(0.5)) return powCall(x, y, which);
    if (options.fastmath) return relaxedPower(x, isExponent(2.0), which);
    llvm::FastMathFlags none, before = ir.getFastMathFlags();
    ir.setFastMathFlags(none);
    llvm::Value *result, *usual;
    if (isExponent(2.0)) {
      // The error as large as it may be makes half a unit, which rounding takes away. Infinity and NaN end in NaN.
      result = ir.CreateFMul(x, x);
      auto* error = fma(x, x, ir.CreateFNeg(result));
      auto* off = fma(error, realConst(0.5 / POW_SAFE_ULP), result);
      usual = ir.CreateAnd(ir.CreateFCmpOEQ(off, result), ir.CreateFCmpOGT(result, realConst(SQUARE_MIN)));
    } else {
      // The root's own error is (x - s*s) / 2s.
      result = ir.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, x);
      auto* error = fabs(fma(ir.CreateFNeg(result), result, x));
      auto* bound = ir.CreateFMul(result, ir.CreateFMul(scaleOf(result), realConst(2 * POW_SAFE_ULP * 0x1p-52)));
      usual = ir.CreateAnd(within(x, SQUARE_MIN, SQUARE_MAX), ir.CreateFCmpOLT(error, bound));
    }
    ir.setFastMathFlags(before);
    return either(usual, result, [&] { return powCall(x, y, which); });
  }
  llvm::Value* relaxedPower(llvm::Value* x, bool isSquare, uint32_t which) {
    if (isSquare) return ir.CreateFMul(x, x);
    lateGuard(ir.CreateNot(ir.CreateFCmpOLT(x, realConst(0))), which);  // complex
    return ir.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, x);
  }
  // C's fmod(x, y), y not zero.
  llvm::Value* remainder(llvm::Value* x, llvm::Value* y) {
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
  // CPython's float_rem and float_floor_div, after the check for a zero divisor.
  std::pair<llvm::Value*, llvm::Value*> floatDivmod(llvm::Value* x, llvm::Value* y) {
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
  llvm::Value* floorDivide(llvm::Value* a, llvm::Value* b, uint32_t which) {
    auto* overflows = ir.CreateAnd(ir.CreateICmpEQ(a, intConst(INT64_MIN)), ir.CreateICmpEQ(b, intConst(-1)));
    guard(ir.CreateNot(ir.CreateOr(ir.CreateICmpEQ(b, intConst(0)), overflows)), which);
    auto *quotient = ir.CreateSDiv(a, b), *rest = ir.CreateSRem(a, b);
    auto* apart = ir.CreateICmpSLT(ir.CreateXor(rest, b), intConst(0));
    auto* below = ir.CreateAnd(ir.CreateICmpNE(rest, intConst(0)), apart);
    return ir.CreateSub(quotient, ir.CreateZExt(below, i64));
  }
  llvm::Value* floorModulo(llvm::Value* a, llvm::Value* b, uint32_t which) {
    guard(ir.CreateICmpNE(b, intConst(0)), which);
    // INT64_MIN % -1 traps on x86; x % -1 is 0.
    auto* divisor = ir.CreateSelect(ir.CreateICmpEQ(b, intConst(-1)), intConst(1), b);
    auto* rest = ir.CreateSRem(a, divisor);
    auto* apart = ir.CreateICmpSLT(ir.CreateXor(rest, b), intConst(0));
    auto* below = ir.CreateAnd(ir.CreateICmpNE(rest, intConst(0)), apart);
    return ir.CreateSelect(below, ir.CreateAdd(rest, b), rest);
  }
  llvm::Value* shiftLeft(llvm::Value* a, llvm::Value* b, uint32_t which) {
    lateGuard(ir.CreateICmpULE(b, intConst(62)), which);
    auto* by = ir.CreateAnd(b, intConst(63));
    auto* result = ir.CreateShl(a, by);
    lateGuard(ir.CreateICmpEQ(ir.CreateAShr(result, by), a), which);
    return result;
  }
  llvm::Value* toInteger(llvm::Value* x, uint32_t which) {
    guard(ir.CreateAnd(ir.CreateFCmpOGE(x, realConst(-0x1p63)), ir.CreateFCmpOLT(x, realConst(0x1p63))), which);
    return ir.CreateFPToSI(x, i64);
  }
  // `operations`: result and operands of each, the last result first among `values`. A warning comes of a result that is infinite or
  // NaN while no operand is.
  void guardWarnings(llvm::Value* last, const std::vector<llvm::Value*>& operations, uint32_t which) {
    auto* infinity = realConst(__builtin_inf());
    auto isNan = [&](llvm::Value* x) { return ir.CreateFCmpUNO(x, x); };
    auto isInf = [&](llvm::Value* x) { return ir.CreateFCmpOEQ(fabs(x), infinity); };
    auto isFinite = [&](llvm::Value* x) { return ir.CreateFCmpOLT(fabs(x), infinity); };
    if (options.fastmath) return;
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

  void finiteGuard(llvm::Value* value, uint32_t which) {
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
  llvm::Value* elementAddress(llvm::Value* list, llvm::Value* index, int64_t cell) {
    auto stride = cell >> 32, leaf = cell & 0xffffffff;
    auto* data = header(list, 16, ptr);
    auto* position =
        ir.CreateAdd(ir.CreateMul(index, intConst(8 * stride), "", true, true), intConst(8 * leaf), "", true, true);
    return at(data, position);
  }
  void push(const Instruction& one) {
    auto* list = values[one.args[0]];
    auto* length = header(list, 0, i64);
    auto* full = newBlock("full");
    auto* room = newBlock("room");
    ir.CreateCondBr(ir.CreateICmpSLT(length, header(list, 8, i64)), room, full,
                    llvm::MDBuilder(context).createBranchWeights(1 << 10, 1));
    ir.SetInsertPoint(full);
    auto* grown = call("epochly_list_grow", i32, {contextArg(), list, intConst(one.imm)});
    guard(ir.CreateICmpNE(grown, ir.getInt32(0)), one.guard);
    ir.CreateBr(room);
    ir.SetInsertPoint(room);
    for (size_t leaf = 1; leaf < one.args.size(); leaf++) {
      storeLeaf(values[one.args[leaf]], elementAddress(list, length, one.imm << 32 | (leaf - 1)), Memory::ELEMENTS);
    }
    tagged(ir.CreateStore(ir.CreateAdd(length, intConst(1)), list), Memory::HEADER);
  }
  llvm::Value* loadArray(llvm::Value* where, DType dtype) {
    auto load = [&](llvm::Type* type) { return tagged(ir.CreateLoad(type, where), Memory::ARRAY); };
    switch (dtype) {
      case DType::F64: return load(f64);
      case DType::F32: return ir.CreateFPExt(load(ir.getFloatTy()), f64);
      case DType::BOOL: return ir.CreateICmpNE(load(ir.getInt8Ty()), ir.getInt8(0));
      case DType::I64:
      case DType::U64: return load(i64);
      case DType::I8:
      case DType::I16:
      case DType::I32: return ir.CreateSExt(load(ir.getIntNTy(8 * program::bytesOf(dtype))), i64);
      default: return ir.CreateZExt(load(ir.getIntNTy(8 * program::bytesOf(dtype))), i64);
    }
  }
  void storeArray(llvm::Value* value, llvm::Value* where, DType dtype) {
    if (dtype == DType::F32) value = ir.CreateFPTrunc(value, ir.getFloatTy());
    if (dtype == DType::BOOL) value = ir.CreateZExt(value, ir.getInt8Ty());
    if (dtype < DType::F32 && dtype != DType::BOOL) value = ir.CreateTrunc(value, ir.getIntNTy(8 * program::bytesOf(dtype)));
    tagged(ir.CreateStore(value, where), Memory::ARRAY);
  }

  void poll(uint32_t which) {
    auto* type = llvm::FunctionType::get(ir.getVoidTy(), {ptr, ir.getInt1Ty(), i32}, false);
    auto point = module.getOrInsertFunction(POLL_POINT, type);
    auto* declared = llvm::cast<llvm::Function>(point.getCallee());
    declared->addFnAttr(llvm::Attribute::NoUnwind);
    declared->addFnAttr(llvm::Attribute::WillReturn);
    declared->setOnlyAccessesArgMemory();
    ir.CreateCall(point, {ticks, ir.CreateLoad(ir.getInt1Ty(), bad), ir.getInt32(which)});
  }
  // Python's index of a negative number, which the front end has written as a selection; null: this one is another.
  llvm::Value* indexPoint(const Instruction& select) {
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
  void callInstance(const Instruction& one) {
    auto& callee = unit.instances[one.imm];
    auto* results = slot(llvm::ArrayType::get(i64, std::max<size_t>(one.results, 1)));
    std::vector<llvm::Value*> args{contextArg()};
    for (auto arg : one.args) args.push_back(values[arg]);
    args.push_back(results);
    auto* depthAt = at(contextArg(), intConst(4));
    llvm::Value* depth = nullptr;
    if (callee.usedEarly) {
      poll(one.guard);
      depth = tagged(ir.CreateLoad(i32, depthAt), Memory::CALL);
      guard(ir.CreateICmpSGT(depth, ir.getInt32(0)), one.guard);
      tagged(ir.CreateStore(ir.CreateSub(depth, ir.getInt32(1)), depthAt), Memory::CALL);
    }
    storeTicks();
    auto* failed = ir.CreateCall(functions[one.imm], args);
    loadTicks();
    if (depth) tagged(ir.CreateStore(depth, depthAt), Memory::CALL);
    auto* fails = newBlock("fails");
    auto* ok = newBlock("ok");
    ir.CreateCondBr(ir.CreateICmpEQ(failed, ir.getInt32(0)), ok, fails,
                    llvm::MDBuilder(context).createBranchWeights(1 << 20, 1));
    ir.SetInsertPoint(fails);
    ir.CreateStore(failed, status);
    ir.CreateBr(failure);
    ir.SetInsertPoint(ok);
    for (uint32_t i = 0; i < one.results; i++) {
      values[one.result + i] = loadLeaf(at(results, intConst(8 * i)), instance.values[one.result + i], Memory::CALL);
    }
  }

  void lower(const Block& block) {
    for (auto* one : block.code) {
      if (terminated()) return;
      if (one->results) makers[one->result] = one;
      if (auto* value = lower(*one)) values[one->result] = value;
    }
  }

  llvm::CmpInst::Predicate intPredicate(int64_t compare) {
    static const llvm::CmpInst::Predicate ALL[] = {llvm::CmpInst::ICMP_EQ,  llvm::CmpInst::ICMP_NE,
                                                   llvm::CmpInst::ICMP_SLT, llvm::CmpInst::ICMP_SLE,
                                                   llvm::CmpInst::ICMP_SGT, llvm::CmpInst::ICMP_SGE};
    return ALL[compare];
  }
  llvm::CmpInst::Predicate realPredicate(int64_t compare) {
    static const llvm::CmpInst::Predicate ALL[] = {llvm::CmpInst::FCMP_OEQ, llvm::CmpInst::FCMP_UNE,
                                                   llvm::CmpInst::FCMP_OLT, llvm::CmpInst::FCMP_OLE,
                                                   llvm::CmpInst::FCMP_OGT, llvm::CmpInst::FCMP_OGE};
    return ALL[compare];
  }

  // The value of an instruction that has exactly one, else null.
  llvm::Value* lower(const Instruction& one) {
    auto arg = [&](size_t i) { return values[one.args[i]]; };
    using namespace llvm;
    switch (one.op) {
      case Op::CONST_B: return ir.getInt1(one.imm != 0);
      case Op::CONST_I: return intConst(one.imm);
      case Op::CONST_F: return realConst(one.fimm);
      case Op::NULL_P: return ConstantPointerNull::get(ir.getPtrTy());
      case Op::ARG: return function.getArg(1 + one.imm);
      case Op::LOAD: return ir.CreateLoad(typeOf(one.prim), slots[one.imm]);
      case Op::STORE: ir.CreateStore(arg(0), slots[one.imm]); return nullptr;

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
      case Op::MATH1: return callPure("epochly_math_" + one.text, {arg(0)});
      case Op::MATH2: return callPure("epochly_math_" + one.text, {arg(0), arg(1)});

      case Op::ICMP: return ir.CreateICmp(intPredicate(one.imm), arg(0), arg(1));
      case Op::FCMP: return ir.CreateFCmp(realPredicate(one.imm), arg(0), arg(1));
      case Op::BAND: return ir.CreateAnd(arg(0), arg(1));
      case Op::BOR: return ir.CreateOr(arg(0), arg(1));
      case Op::BXOR: return ir.CreateXor(arg(0), arg(1));
      case Op::BNOT: return ir.CreateNot(arg(0));
      case Op::SELECT:
        if (auto* index = indexPoint(one)) return index;
        return ir.CreateSelect(arg(0), arg(1), arg(2));

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

      case Op::GUARD: isOfReals(arg(0)) ? lateGuard(arg(0), one.guard) : guard(arg(0), one.guard); return nullptr;
      case Op::GUARD_WARNING: {
        std::vector<Value*> operations;
        for (size_t i = 1; i < one.args.size(); i++) operations.push_back(arg(i));
        guardWarnings(arg(0), operations, one.guard);
        return nullptr;
      }
      case Op::FAIL: giveBack(one.guard); return nullptr;
      case Op::IF: {
        auto *then = newBlock("then"), *otherwise = newBlock("else");
        ir.CreateCondBr(arg(0), then, otherwise);
        ir.SetInsertPoint(then);
        lower(*one.bodies[0]);
        if (!terminated()) ir.CreateUnreachable();
        ir.SetInsertPoint(otherwise);
        lower(*one.bodies[1]);
        if (!terminated()) ir.CreateUnreachable();
        return nullptr;
      }
      case Op::BLOCK: {
        auto* end = newBlock("end");
        labels[one.imm] = end;
        lower(*one.bodies[0]);
        if (!terminated()) ir.CreateUnreachable();
        ir.SetInsertPoint(end);
        return nullptr;
      }
      case Op::LOOP: {
        auto* head = newBlock("loop");
        labels[one.imm] = head;
        ir.CreateBr(head);
        ir.SetInsertPoint(head);
        lower(*one.bodies[0]);
        if (!terminated()) ir.CreateUnreachable();
        return nullptr;
      }
      case Op::JUMP:
        lower(*one.bodies[0]);
        ir.CreateBr(labels.at(one.imm));
        return nullptr;
      case Op::POLL: poll(one.guard); return nullptr;
      case Op::CALL: callInstance(one); return nullptr;
      case Op::RETURN:
        if (!options.careful) guard(ir.CreateNot(ir.CreateLoad(ir.getInt1Ty(), bad)), 0);
        for (size_t i = 0; i < one.args.size(); i++) storeLeaf(arg(i), at(resultsArg(), intConst(8 * i)), Memory::CALL);
        storeTicks();
        ir.CreateRet(ir.getInt32(0));
        return nullptr;

      case Op::LIST_NEW: {
        auto* list = call("epochly_list_new", ptr, {contextArg(), arg(0), intConst(one.imm)});
        guard(ir.CreateIsNotNull(list), one.guard);
        return list;
      }
      case Op::LIST_LENGTH: return header(arg(0), 0, i64);
      case Op::LIST_LOAD: return loadLeaf(elementAddress(arg(0), arg(1), one.imm), one.prim, Memory::ELEMENTS);
      case Op::LIST_STORE: storeLeaf(arg(2), elementAddress(arg(0), arg(1), one.imm), Memory::ELEMENTS); return nullptr;
      case Op::LIST_PUSH: push(one); return nullptr;
      case Op::LIST_POP:
        tagged(ir.CreateStore(ir.CreateSub(header(arg(0), 0, i64), intConst(1)), arg(0)), Memory::HEADER);
        return nullptr;
      case Op::POINTER_ADD: return at(arg(0), arg(1));
      case Op::ARRAY_LOAD: return loadArray(arg(0), static_cast<DType>(one.imm));
      case Op::ARRAY_STORE: storeArray(arg(1), arg(0), static_cast<DType>(one.imm)); return nullptr;
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
        auto* second = one.args.size() > 1 ? arg(1) : intConst(0);
        auto* failed = call(("epochly_" + one.text).c_str(), i32, {arg(0), second, out});
        guard(ir.CreateICmpEQ(failed, ir.getInt32(0)), one.guard);
        return ir.CreateLoad(i64, out);
      }
      case Op::ROUND_DIGITS: {
        auto* out = slot(f64);
        auto* failed = call("epochly_round", i32, {arg(0), arg(1), out});
        guard(ir.CreateICmpEQ(failed, ir.getInt32(0)), one.guard);
        return ir.CreateLoad(f64, out);
      }
      case Op::LIST_SORT:
        guard(ir.CreateICmpEQ(call("epochly_list_sort", i32, {arg(0), intConst(one.imm)}), ir.getInt32(0)), one.guard);
        return nullptr;
      case Op::MATMUL: {
        auto* pointers = slot(ArrayType::get(ptr, 3));
        auto* numbers = slot(ArrayType::get(i64, 9));
        for (size_t i = 0; i < 3; i++) ir.CreateStore(arg(i), at(pointers, intConst(8 * i)));
        for (size_t i = 3; i < 12; i++) ir.CreateStore(arg(i), at(numbers, intConst(8 * (i - 3))));
        auto* failed = call("epochly_matmul", i32, {intConst(one.imm), pointers, numbers});
        guard(ir.CreateICmpEQ(failed, ir.getInt32(0)), one.guard);
        return nullptr;
      }
      case Op::WRAP: return wrapTo(ir, arg(0), static_cast<DType>(one.imm));
      case Op::ROUND_F32: return ir.CreateFPExt(ir.CreateFPTrunc(arg(0), ir.getFloatTy()), f64);
      case Op::UNSIGNED_DIV:
      case Op::UNSIGNED_MOD:
        guard(ir.CreateICmpNE(arg(1), intConst(0)), one.guard);
        return one.op == Op::UNSIGNED_DIV ? ir.CreateUDiv(arg(0), arg(1)) : ir.CreateURem(arg(0), arg(1));
      case Op::U_TO_F: return ir.CreateUIToFP(arg(0), f64);
      case Op::ARRAY_NEW: {
        auto* pool = one.imm < 0 ? static_cast<Value*>(ConstantPointerNull::get(ir.getPtrTy())) : slots[one.imm];
        std::vector<Value*> roots;
        for (size_t i = 1; i < one.args.size(); i++) roots.push_back(arg(i));
        auto* rootsAt = roots.empty() ? static_cast<Value*>(ConstantPointerNull::get(ir.getPtrTy()))
                                      : slot(ArrayType::get(ptr, roots.size()));
        for (size_t i = 0; i < roots.size(); i++) ir.CreateStore(roots[i], at(rootsAt, intConst(8 * i)));
        auto* made = call("epochly_array_new", ptr, {contextArg(), pool, arg(0), rootsAt, intConst(roots.size())});
        made->addRetAttr(Attribute::NoAlias);
        guard(ir.CreateIsNotNull(made), one.guard);
        return made;
      }
      case Op::ARRAY_FREE:
        call("epochly_array_free", ir.getVoidTy(), {contextArg(), slots[one.imm], arg(0)});
        return nullptr;
      case Op::UFUNC: {
        // Count, then pointers and steps, as numpy's loops take them.
        size_t operands = (one.args.size() - 1) / 2;
        auto* pointers = slot(ArrayType::get(ptr, 3));
        auto* numbers = slot(ArrayType::get(i64, 4));
        ir.CreateStore(arg(0), numbers);
        for (size_t i = 0; i < operands; i++) {
          ir.CreateStore(arg(1 + 2 * i), at(pointers, intConst(8 * i)));
          ir.CreateStore(arg(2 + 2 * i), at(numbers, intConst(8 + 8 * i)));
        }
        auto* failed = call("epochly_ufunc", i32, {intConst(one.imm), pointers, numbers, at(numbers, intConst(8))});
        guard(ir.CreateICmpEQ(failed, ir.getInt32(0)), one.guard);
        return nullptr;
      }
    }
    return nullptr;
  }
};

std::vector<llvm::Type*> leafTypes(llvm::LLVMContext& context, program::Types& types,
                                   const std::vector<program::Type>& all) {
  std::vector<llvm::Type*> result;
  for (auto type : all) {
    for (auto prim : types.leaves(type)) {
      result.push_back(prim == Prim::B   ? llvm::Type::getInt1Ty(context)
                       : prim == Prim::I ? llvm::Type::getInt64Ty(context)
                       : prim == Prim::F ? llvm::Type::getDoubleTy(context)
                                         : static_cast<llvm::Type*>(llvm::PointerType::getUnqual(context)));
    }
  }
  return result;
}

llvm::Function* declare(llvm::Module& module, Unit& unit, size_t index) {
  auto& context = module.getContext();
  auto* ptr = llvm::PointerType::getUnqual(context);
  std::vector<llvm::Type*> params{ptr};
  for (auto* type : leafTypes(context, unit.types, unit.instances[index].arguments)) params.push_back(type);
  params.push_back(ptr);
  auto* type = llvm::FunctionType::get(llvm::Type::getInt32Ty(context), params, false);
  auto* made = llvm::Function::Create(type, llvm::Function::InternalLinkage, "f" + std::to_string(index), module);
  made->addFnAttr(llvm::Attribute::NoUnwind);
  made->addParamAttr(0, llvm::Attribute::NoAlias);
  made->addParamAttr(params.size() - 1, llvm::Attribute::NoAlias);
  return made;
}

// Unpacks the leaves for the entry's instance.
void lowerEntry(llvm::Module& module, llvm::Function& target, const Options& options) {
  auto& context = module.getContext();
  llvm::IRBuilder<> ir(context);
  auto* type = llvm::FunctionType::get(ir.getInt32Ty(), {ir.getPtrTy(), ir.getPtrTy(), ir.getPtrTy()}, false);
  auto* entry = llvm::Function::Create(type, llvm::Function::ExternalLinkage, "epochly_entry", module);
  entry->addFnAttr(llvm::Attribute::NoUnwind);
  for (unsigned i = 0; i < 3; i++) entry->addParamAttr(i, llvm::Attribute::NoAlias);
  ir.SetInsertPoint(llvm::BasicBlock::Create(context, "entry", entry));
  std::vector<llvm::Value*> args{entry->getArg(0)};
  for (unsigned i = 1; i + 1 < target.arg_size(); i++) {
    auto* where = ir.CreateConstGEP1_64(ir.getInt64Ty(), entry->getArg(1), i - 1);
    auto* wanted = target.getArg(i)->getType();
    if (auto known = options.constants.find(i - 1); known != options.constants.end()) {
      args.push_back(ir.getInt64(known->second));
      continue;
    }
    args.push_back(wanted->isIntegerTy(1) ? ir.CreateTrunc(ir.CreateLoad(ir.getInt64Ty(), where), wanted)
                                          : static_cast<llvm::Value*>(ir.CreateLoad(wanted, where)));
  }
  args.push_back(entry->getArg(2));
  ir.CreateRet(ir.CreateCall(&target, args));
}

}  // namespace

std::unique_ptr<llvm::Module> lower(llvm::LLVMContext& context, Unit& unit, const Options& options) {
  auto module = std::make_unique<llvm::Module>(unit.instances[0].name, context);
  std::vector<llvm::Function*> functions;
  for (size_t i = 0; i < unit.instances.size(); i++) functions.push_back(declare(*module, unit, i));
  auto last = unit.instances[0].round;
  for (size_t i = 0; i < unit.instances.size(); i++) {
    if (unit.instances[i].round != last) {
      functions[i]->deleteBody();  // of an earlier round; nobody calls it
      continue;
    }
    FunctionLowering(*module, unit, unit.instances[i], *functions[i], functions, options).run();
  }
  for (size_t i = 0; i < functions.size(); i++) {
    if (unit.instances[i].round != last) functions[i]->eraseFromParent();
  }
  lowerEntry(*module, *functions[0], options);
  std::string text;
  llvm::raw_string_ostream stream(text);
  if (llvm::verifyModule(*module, &stream)) throw program::Declined(0, "internal: LLVM refuses the code: " + stream.str());
  return module;
}

}  // namespace epochly::jit
