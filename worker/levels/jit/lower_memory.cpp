// Lists and arrays.
#include "levels/jit/lowering.h"

#include <llvm/IR/MDBuilder.h>

namespace epochly::jit {

using program::DType;
using program::Instruction;
using program::Op;
using program::Prim;

llvm::MDNode* FunctionLowering::tagOf(Memory memory) {
  static const char* const NAMES[] = {"header", "elements", "array", "call"};
  llvm::MDBuilder md(context);
  auto* root = md.createTBAARoot("epochly");
  auto* node = md.createTBAAScalarTypeNode(NAMES[static_cast<int>(memory)], root);
  return md.createTBAAStructTagNode(node, node, 0);
}

llvm::Value* FunctionLowering::header(llvm::Value* list, int64_t offset, llvm::Type* type) {
  return tagged(ir.CreateLoad(type, at(list, intConst(offset))), Memory::HEADER);
}

llvm::Value* FunctionLowering::loadLeaf(llvm::Value* where, Prim prim, Memory memory) {
  if (prim != Prim::B) return tagged(ir.CreateLoad(typeOf(prim), where), memory);
  return ir.CreateTrunc(tagged(ir.CreateLoad(i64, where), memory), ir.getInt1Ty());
}

void FunctionLowering::storeLeaf(llvm::Value* value, llvm::Value* where, Memory memory) {
  if (value->getType()->isIntegerTy(1)) value = ir.CreateZExt(value, i64);
  tagged(ir.CreateStore(value, where), memory);
}

llvm::Value* FunctionLowering::elementAddress(llvm::Value* list, llvm::Value* index, int64_t cell) {
  auto stride = cell >> 32, leaf = cell & 0xffffffff;
  auto* data = header(list, 16, ptr);
  auto* position =
      ir.CreateAdd(ir.CreateMul(index, intConst(8 * stride), "", true, true), intConst(8 * leaf), "", true, true);
  return at(data, position);
}

void FunctionLowering::push(const Instruction& one) {
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

llvm::Value* FunctionLowering::loadArray(llvm::Value* where, DType dtype) {
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

void FunctionLowering::storeArray(llvm::Value* value, llvm::Value* where, DType dtype) {
  if (dtype == DType::F32) value = ir.CreateFPTrunc(value, ir.getFloatTy());
  if (dtype == DType::BOOL) value = ir.CreateZExt(value, ir.getInt8Ty());
  if (dtype < DType::F32 && dtype != DType::BOOL) value = ir.CreateTrunc(value, ir.getIntNTy(8 * program::bytesOf(dtype)));
  tagged(ir.CreateStore(value, where), Memory::ARRAY);
}

llvm::Value* FunctionLowering::lowerList(const Instruction& one) {
  auto arg = [&](size_t i) { return values[one.args[i]]; };
  switch (one.op) {
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
    case Op::LIST_SORT:
      guard(ir.CreateICmpEQ(call("epochly_list_sort", i32, {arg(0), intConst(one.imm)}), ir.getInt32(0)), one.guard);
      return nullptr;
    default: return nullptr;  // of another family
  }
}

void FunctionLowering::callMatmul(const Instruction& one) {
  auto* pointers = slot(llvm::ArrayType::get(ptr, 3));
  auto* numbers = slot(llvm::ArrayType::get(i64, 9));
  for (size_t i = 0; i < 3; i++) ir.CreateStore(values[one.args[i]], at(pointers, intConst(8 * i)));
  for (size_t i = 3; i < 12; i++) ir.CreateStore(values[one.args[i]], at(numbers, intConst(8 * (i - 3))));
  auto* failed = call("epochly_matmul", i32, {intConst(one.imm), pointers, numbers});
  guard(ir.CreateICmpEQ(failed, ir.getInt32(0)), one.guard);
}

// Count, then pointers and steps, as numpy's loops take them.
void FunctionLowering::callUfunc(const Instruction& one) {
  size_t operands = (one.args.size() - 1) / 2;
  auto* pointers = slot(llvm::ArrayType::get(ptr, 3));
  auto* numbers = slot(llvm::ArrayType::get(i64, 4));
  ir.CreateStore(values[one.args[0]], numbers);
  for (size_t i = 0; i < operands; i++) {
    ir.CreateStore(values[one.args[1 + 2 * i]], at(pointers, intConst(8 * i)));
    ir.CreateStore(values[one.args[2 + 2 * i]], at(numbers, intConst(8 + 8 * i)));
  }
  auto* failed = call("epochly_ufunc", i32, {intConst(one.imm), pointers, numbers, at(numbers, intConst(8))});
  guard(ir.CreateICmpEQ(failed, ir.getInt32(0)), one.guard);
}

llvm::Value* FunctionLowering::newArray(const Instruction& one) {
  llvm::Value* none = llvm::ConstantPointerNull::get(ir.getPtrTy());
  auto* pool = one.imm < 0 ? none : slots[one.imm];
  auto roots = one.args.size() - 1;
  auto* rootsAt = roots ? slot(llvm::ArrayType::get(ptr, roots)) : none;
  for (size_t i = 0; i < roots; i++) ir.CreateStore(values[one.args[1 + i]], at(rootsAt, intConst(8 * i)));
  auto* made = call("epochly_array_new", ptr, {contextArg(), pool, values[one.args[0]], rootsAt, intConst(roots)});
  made->addRetAttr(llvm::Attribute::NoAlias);
  guard(ir.CreateIsNotNull(made), one.guard);
  return made;
}

llvm::Value* FunctionLowering::lowerArray(const Instruction& one) {
  auto arg = [&](size_t i) { return values[one.args[i]]; };
  switch (one.op) {
    case Op::POINTER_ADD: return at(arg(0), arg(1));
    case Op::ARRAY_LOAD: return loadArray(arg(0), static_cast<DType>(one.imm));
    case Op::ARRAY_STORE: storeArray(arg(1), arg(0), static_cast<DType>(one.imm)); return nullptr;
    case Op::MATMUL: callMatmul(one); return nullptr;
    case Op::ARRAY_NEW: return newArray(one);
    case Op::ARRAY_FREE: call("epochly_array_free", ir.getVoidTy(), {contextArg(), slots[one.imm], arg(0)}); return nullptr;
    case Op::UFUNC: callUfunc(one); return nullptr;
    default: return nullptr;  // of another family
  }
}

}  // namespace epochly::jit
