// Loops whose iterations run on several cores: what levels/multicore has cut out of a function.
#include "levels/jit/lowering.h"

namespace epochly::jit {

using program::Instruction;
using program::Op;

llvm::Value* FunctionLowering::lowerCores(const Instruction& one) {
  switch (one.op) {
    case Op::PARALLEL: return parallel(one);
    case Op::COUNTERS_NEW: {
      auto* name = one.imm ? "epochly_list_counters_new" : "epochly_counters_new";
      auto* counters = call(name, ptr, {contextArg(), values[one.args[0]]});
      guard(ir.CreateIsNotNull(counters), one.guard);
      return counters;
    }
    default: return worthSplitting(one);
  }
}

// Careful code runs every loop as it stands, so that the guard that fails first is the one that CPython would meet.
llvm::Value* FunctionLowering::worthSplitting(const Instruction& one) {
  if (options.careful) return ir.getFalse();
  auto* worth = call("epochly_worth_splitting", i32, {contextArg(), intConst(one.imm), values[one.args[0]]});
  return ir.CreateICmpNE(worth, ir.getInt32(0));
}

llvm::Value* FunctionLowering::parallel(const Instruction& one) {
  if (options.careful) {  // never reached
    for (uint32_t i = 1; i < one.results; i++) values[one.result + i] = realConst(0);
    return llvm::ConstantPointerNull::get(ir.getPtrTy());
  }
  auto chunk = static_cast<size_t>(one.imm & 0xffffffff);
  auto& folds = unit.instances[chunk].folds;
  auto captured = one.args.size() - program::FOLD_LEAVES * folds.size();
  auto* frame = slot(llvm::ArrayType::get(i64, std::max<size_t>(captured - 1, 1)));
  for (size_t i = 1; i < captured; i++) storeLeaf(values[one.args[i]], at(frame, intConst(8 * (i - 1))), Memory::CALL);
  auto* targets = slot(llvm::ArrayType::get(i64, std::max<size_t>(sizeof(Fold) / 8 * folds.size(), 1)));
  for (size_t i = 0; i < folds.size(); i++) {
    auto* fold = at(targets, intConst(sizeof(Fold) * i));
    for (size_t leaf = 0; leaf < program::FOLD_LEAVES; leaf++)
      storeLeaf(values[one.args[captured + program::FOLD_LEAVES * i + leaf]], at(fold, intConst(8 * leaf)), Memory::CALL);
    storeLeaf(intConst(static_cast<int64_t>(folds[i])), at(fold, intConst(offsetof(Fold, kind))), Memory::CALL);
  }
  storeTicks();
  auto* parts = call("epochly_parallel", ptr,
                     {contextArg(), chunkEntry(*functions[chunk]), frame, values[one.args[0]], intConst(one.imm >> 32),
                      intConst(unit.instances[chunk].resultLeaves), targets, intConst(folds.size())});
  loadTicks();
  guard(ir.CreateIsNotNull(parts), one.guard);
  for (size_t i = 0; i + 1 < one.results; i++)
    values[one.result + 1 + i] = loadLeaf(at(targets, intConst(sizeof(Fold) * i)), program::Prim::F, Memory::CALL);
  return parts;
}

// As levels/jit's Chunk: unpacks the frame for the chunk's instance, whose arguments are the first and the last iteration and what it
// captures.
llvm::Function* FunctionLowering::chunkEntry(llvm::Function& target) {
  auto* type = llvm::FunctionType::get(i32, {ptr, ptr, i64, i64, ptr}, false);
  auto* made = llvm::Function::Create(type, llvm::Function::InternalLinkage, "chunk." + target.getName(), module);
  made->addFnAttr(llvm::Attribute::NoUnwind);
  for (unsigned i : {0, 1, 4}) made->addParamAttr(i, llvm::Attribute::NoAlias);
  llvm::IRBuilder<> inside(llvm::BasicBlock::Create(context, "entry", made));
  std::vector<llvm::Value*> args{made->getArg(0), made->getArg(2), made->getArg(3)};
  for (unsigned i = 3; i + 1 < target.arg_size(); i++) {
    auto* where = inside.CreateConstGEP1_64(i64, made->getArg(1), i - 3);
    auto* wanted = target.getArg(i)->getType();
    args.push_back(wanted->isIntegerTy(1) ? inside.CreateTrunc(inside.CreateLoad(i64, where), wanted)
                                          : static_cast<llvm::Value*>(inside.CreateLoad(wanted, where)));
  }
  args.push_back(made->getArg(4));
  inside.CreateRet(inside.CreateCall(&target, args));
  return made;
}

}  // namespace epochly::jit
