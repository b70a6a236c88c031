// Variables, paths, loops, calls.
#include "levels/jit/lowering.h"

#include <llvm/IR/MDBuilder.h>

#include "levels/jit/points.h"

namespace epochly::jit {

using program::Block;
using program::Instruction;
using program::Op;

namespace {

// What fast code returns with results that are to be thrown away: a guard failed that the caller need not look at before it looks at
// its own. So a loop that calls a function, once that is inlined, has no more branches than what it computes.
constexpr int32_t NOTED = -1;

bool isOfReals(llvm::Value* condition) {
  if (llvm::isa<llvm::FCmpInst>(condition)) return true;
  auto* both = llvm::dyn_cast<llvm::BinaryOperator>(condition);
  return both && isOfReals(both->getOperand(0)) && isOfReals(both->getOperand(1));
}

}  // namespace

void FunctionLowering::loadTicks() { ir.CreateStore(tagged(ir.CreateLoad(i32, contextArg()), Memory::CALL), ticks); }

void FunctionLowering::storeTicks() { tagged(ir.CreateStore(ir.CreateLoad(i32, ticks), contextArg()), Memory::CALL); }

// LLVM makes a trip count of this wherever there is one.
void FunctionLowering::countIteration() {
  if (!iterations) {
    llvm::IRBuilder<> first(allocas, allocas->begin());
    iterations = first.CreateAlloca(i64);
    first.CreateStore(intConst(0), iterations);
  }
  ir.CreateStore(ir.CreateAdd(ir.CreateLoad(i64, iterations), intConst(1)), iterations);
}

void FunctionLowering::storeIterations() {
  if (!iterations) return;
  auto* all = at(contextArg(), intConst(16));
  auto* before = tagged(ir.CreateLoad(i64, all), Memory::CALL);
  tagged(ir.CreateStore(ir.CreateAdd(before, ir.CreateLoad(i64, iterations)), all), Memory::CALL);
}

void FunctionLowering::poll(uint32_t which) {
  auto* type = llvm::FunctionType::get(ir.getVoidTy(), {ptr, ir.getInt1Ty(), i32}, false);
  auto point = module.getOrInsertFunction(POLL_POINT, type);
  auto* declared = llvm::cast<llvm::Function>(point.getCallee());
  declared->addFnAttr(llvm::Attribute::NoUnwind);
  declared->addFnAttr(llvm::Attribute::WillReturn);
  declared->setOnlyAccessesArgMemory();
  ir.CreateCall(point, {ticks, ir.CreateLoad(ir.getInt1Ty(), bad), ir.getInt32(which)});
}

void FunctionLowering::callInstance(const Instruction& one) {
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
  auto* returned = ir.CreateICmpEQ(failed, ir.getInt32(0));
  if (mayNote(callee)) {
    auto* noted = ir.CreateICmpEQ(failed, ir.getInt32(NOTED));
    ir.CreateStore(ir.CreateOr(ir.CreateLoad(ir.getInt1Ty(), bad), noted), bad);
    returned = ir.CreateOr(returned, noted);
  }
  ir.CreateCondBr(returned, ok, fails, llvm::MDBuilder(context).createBranchWeights(1 << 20, 1));
  ir.SetInsertPoint(fails);
  ir.CreateStore(failed, status);
  if (!options.careful) {
    auto* spoiledAt = at(contextArg(), intConst(8));
    auto* spoiled = ir.CreateOr(tagged(ir.CreateLoad(i32, spoiledAt), Memory::CALL),
                                ir.CreateZExt(ir.CreateLoad(ir.getInt1Ty(), bad), i32));
    tagged(ir.CreateStore(spoiled, spoiledAt), Memory::CALL);
  }
  ir.CreateBr(failure);
  ir.SetInsertPoint(ok);
  for (uint32_t i = 0; i < one.results; i++) {
    values[one.result + i] = loadLeaf(at(results, intConst(8 * i)), instance.values[one.result + i], Memory::CALL);
  }
}

// Ends in a jump or a return.
void FunctionLowering::lowerPath(llvm::BasicBlock* from, const Block& path) {
  ir.SetInsertPoint(from);
  lower(path);
  if (!terminated()) ir.CreateUnreachable();
}

void FunctionLowering::returnLeaves(const Instruction& one) {
  bool looks = !options.careful && !mayNote(instance);
  if (looks) guard(ir.CreateNot(ir.CreateLoad(ir.getInt1Ty(), bad)), 0);
  for (size_t i = 0; i < one.args.size(); i++)
    storeLeaf(values[one.args[i]], at(resultsArg(), intConst(8 * i)), Memory::CALL);
  storeTicks();
  storeIterations();
  auto* returned = ir.getInt32(0);
  ir.CreateRet(mayNote(instance) ? ir.CreateSelect(ir.CreateLoad(ir.getInt1Ty(), bad), ir.getInt32(NOTED), returned)
                                 : returned);
}

llvm::Value* FunctionLowering::lowerVariable(const Instruction& one) {
  auto arg = [&](size_t i) { return values[one.args[i]]; };
  switch (one.op) {
    case Op::CONST_B: return ir.getInt1(one.imm != 0);
    case Op::CONST_I: return intConst(one.imm);
    case Op::CONST_F: return realConst(one.fimm);
    case Op::NULL_P: return llvm::ConstantPointerNull::get(ir.getPtrTy());
    case Op::ARG: return function.getArg(1 + one.imm);
    case Op::LOAD: return ir.CreateLoad(typeOf(one.prim), slots[one.imm]);
    case Op::STORE: ir.CreateStore(arg(0), slots[one.imm]); return nullptr;
    default: return nullptr;  // of another family
  }
}

llvm::Value* FunctionLowering::lowerControl(const Instruction& one) {
  auto arg = [&](size_t i) { return values[one.args[i]]; };
  switch (one.op) {
    case Op::GUARD: isOfReals(arg(0)) ? lateGuard(arg(0), one.guard) : guard(arg(0), one.guard); return nullptr;
    case Op::GUARD_WARNING: {
      if (options.fastmath && one.imm == 0) return nullptr;
      std::vector<llvm::Value*> operations;
      for (size_t i = 1; i < one.args.size(); i++) operations.push_back(arg(i));
      guardWarnings(arg(0), operations, one.guard);
      return nullptr;
    }
    case Op::FAIL: giveBack(one.guard); return nullptr;
    case Op::IF: {
      auto *then = newBlock("then"), *otherwise = newBlock("else");
      ir.CreateCondBr(arg(0), then, otherwise);
      lowerPath(then, *one.bodies[0]);
      lowerPath(otherwise, *one.bodies[1]);
      return nullptr;
    }
    case Op::BLOCK: {
      auto* end = labels[one.imm] = newBlock("end");
      lowerPath(ir.GetInsertBlock(), *one.bodies[0]);
      ir.SetInsertPoint(end);
      return nullptr;
    }
    case Op::LOOP: {
      auto* head = labels[one.imm] = newBlock("loop");
      ir.CreateBr(head);
      lowerPath(head, *one.bodies[0]);
      return nullptr;
    }
    case Op::JUMP:
      lower(*one.bodies[0]);
      ir.CreateBr(labels.at(one.imm));
      return nullptr;
    case Op::COUNT: countIteration(); return nullptr;
    case Op::POLL: poll(one.guard); return nullptr;
    case Op::CALL: callInstance(one); return nullptr;
    case Op::RETURN: returnLeaves(one); return nullptr;
    default: return nullptr;  // of another family
  }
}

}  // namespace epochly::jit
