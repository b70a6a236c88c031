// A module of a program: its functions, their entry, and what all operations share.
#include "levels/jit/lower.h"

#include <llvm/IR/Verifier.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Transforms/Utils/Cloning.h>

#include "levels/jit/lowering.h"
#include "levels/program/decline.h"

namespace epochly::jit {

using program::Block;
using program::Instance;
using program::Instruction;
using program::OpFamily;
using program::Prim;
using program::Unit;

namespace {

llvm::FastMathFlags relaxed() {
  llvm::FastMathFlags flags;
  flags.setFast(true);
  flags.setNoNaNs(false);  // guards look at NaN and infinities
  flags.setNoInfs(false);
  return flags;
}

}  // namespace

FunctionLowering::FunctionLowering(llvm::Module& module, Unit& unit, Instance& instance, llvm::Function& function,
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
      ptr(ir.getPtrTy()),
      values(instance.values.size()),
      makers(instance.values.size()) {}

void FunctionLowering::run() {
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

llvm::Type* FunctionLowering::typeOf(Prim prim) {
  switch (prim) {
    case Prim::B: return ir.getInt1Ty();
    case Prim::I: return i64;
    case Prim::F: return f64;
    default: return ptr;
  }
}

llvm::CallInst* FunctionLowering::call(const char* name, llvm::Type* result, std::vector<llvm::Value*> args) {
  std::vector<llvm::Type*> types;
  for (auto* arg : args) types.push_back(arg->getType());
  auto target = module.getOrInsertFunction(name, llvm::FunctionType::get(result, types, false));
  llvm::cast<llvm::Function>(target.getCallee())->addFnAttr(llvm::Attribute::NoUnwind);
  return ir.CreateCall(target, args);
}

llvm::Value* FunctionLowering::callPure(const std::string& name, std::vector<llvm::Value*> args) {
  auto* made = call(name.c_str(), f64, std::move(args));
  made->getCalledFunction()->setDoesNotAccessMemory();
  made->getCalledFunction()->addFnAttr(llvm::Attribute::WillReturn);
  return made;
}

llvm::Value* FunctionLowering::slot(llvm::Type* type) {
  llvm::IRBuilder<> first(allocas, allocas->begin());
  return first.CreateAlloca(type);
}

void FunctionLowering::lower(const Block& block) {
  for (auto* one : block.code) {
    if (terminated()) return;
    if (one->results) makers[one->result] = one;
    if (auto* value = lower(*one)) values[one->result] = value;
  }
}

llvm::Value* FunctionLowering::lower(const Instruction& one) {
  switch (program::familyOf(one.op)) {
    case OpFamily::VARIABLE: return lowerVariable(one);
    case OpFamily::INTEGER: return lowerInteger(one);
    case OpFamily::FLOAT: return lowerFloat(one);
    case OpFamily::TEST: return lowerTest(one);
    case OpFamily::CONVERSION: return lowerConversion(one);
    case OpFamily::CONTROL: return lowerControl(one);
    case OpFamily::LIST: return lowerList(one);
    case OpFamily::ARRAY: return lowerArray(one);
    case OpFamily::CORES: return lowerCores(one);
  }
  return nullptr;
}

namespace {

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
  auto* call = ir.CreateCall(&target, args);
  ir.CreateRet(call);
  if (!target.hasOneUse()) return;
  // It calls itself nowhere: one function instead of two, before a pass has looked at either.
  llvm::InlineFunctionInfo inlining;
  if (llvm::InlineFunction(*call, inlining).isSuccess()) target.eraseFromParent();
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