// One instance of typed code to one LLVM function. lower.cpp, lower_guards.cpp, lower_numbers.cpp, lower_memory.cpp, lower_control.cpp,
// lower_cores.cpp.
#pragma once

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "levels/jit/compiler.h"
#include "levels/program/code.h"

namespace epochly::jit {

class FunctionLowering {
 public:
  FunctionLowering(llvm::Module& module, program::Unit& unit, program::Instance& instance, llvm::Function& function,
                   const std::vector<llvm::Function*>& functions, const Options& options);
  void run();

 private:
  llvm::Module& module;
  const Options& options;
  program::Unit& unit;
  program::Instance& instance;
  llvm::Function& function;
  const std::vector<llvm::Function*>& functions;  // by instance
  llvm::LLVMContext& context;
  llvm::IRBuilder<> ir;
  llvm::Type* const i64;
  llvm::Type* const i32;
  llvm::Type* const f64;
  llvm::Type* const ptr;
  llvm::BasicBlock* failure = nullptr;  // gives the call back
  llvm::BasicBlock* allocas = nullptr;
  llvm::Value* status = nullptr;      // the guard that failed
  llvm::Value* iterations = nullptr;  // of Python loops so far; null: there is none
  llvm::Value* ticks = nullptr;       // back edges since the last look at the clock
  llvm::Value* bad = nullptr;         // a guard failed that need not be looked at before the next poll or return
  std::vector<llvm::Value*> values;
  std::vector<const program::Instruction*> makers;  // of `values`
  std::vector<llvm::Value*> slots;
  std::map<int64_t, llvm::BasicBlock*> labels;
  std::map<llvm::Value*, llvm::Instruction*> finiteGuards;  // by what they look at

  // ---- what all operations share: lower.cpp --------------------------------------------------------------------------------
  void lower(const program::Block& block);
  llvm::Value* lower(const program::Instruction& one);  // the value of an instruction that has exactly one, else null
  llvm::Type* typeOf(program::Prim prim);
  llvm::Value* contextArg() { return function.getArg(0); }
  llvm::Value* resultsArg() { return function.getArg(function.arg_size() - 1); }
  llvm::Constant* intConst(int64_t value) { return llvm::ConstantInt::get(i64, value, true); }
  llvm::Constant* realConst(double value) { return llvm::ConstantFP::get(f64, value); }
  bool terminated() { return ir.GetInsertBlock()->getTerminator() != nullptr; }
  llvm::BasicBlock* newBlock(const char* name) { return llvm::BasicBlock::Create(context, name, &function); }
  llvm::Value* slot(llvm::Type* type);
  llvm::CallInst* call(const char* name, llvm::Type* result, std::vector<llvm::Value*> args);
  // A libm function: depends on its arguments only. (errno is nobody's here.)
  llvm::Value* callPure(const std::string& name, std::vector<llvm::Value*> args);

  // ---- guards: lower_guards.cpp ---------------------------------------------------------------------------------------------
  void guard(llvm::Value* holds, uint32_t which);
  void giveBack(uint32_t which);
  // A guard that keeps memory safe and loops finite may not wait. Others do, unless the code is careful: a branch less each.
  void lateGuard(llvm::Value* holds, uint32_t which);
  llvm::Value* checked(llvm::Intrinsic::ID id, llvm::Value* a, llvm::Value* b, uint32_t which);
  // `operations`: result and operands of each, the last result first among `values`. A warning comes of a result that is infinite or
  // NaN while no operand is.
  void guardWarnings(llvm::Value* last, const std::vector<llvm::Value*>& operations, uint32_t which);
  void finiteGuard(llvm::Value* value, uint32_t which);
  // The value of one of two paths; `rare` is out of line.
  llvm::Value* either(llvm::Value* usual, llvm::Value* fast, const std::function<llvm::Value*()>& rare);

  // ---- numbers: lower_numbers.cpp -------------------------------------------------------------------------------------------
  llvm::Value* lowerInteger(const program::Instruction& one);
  llvm::Value* lowerFloat(const program::Instruction& one);
  llvm::Value* floatMath(const program::Instruction& one);
  llvm::Value* lowerTest(const program::Instruction& one);
  llvm::Value* lowerConversion(const program::Instruction& one);
  llvm::Value* fabs(llvm::Value* x);
  llvm::Value* fma(llvm::Value* a, llvm::Value* b, llvm::Value* c);
  llvm::Value* within(llvm::Value* x, double low, double high);
  llvm::Value* powCall(llvm::Value* x, llvm::Value* y, uint32_t which);
  llvm::Value* power(llvm::Value* x, llvm::Value* y, uint32_t which);
  void complexPower(const program::Instruction& one);
  llvm::Value* relaxedPower(llvm::Value* x, bool isSquare, uint32_t which);
  // C's fmod(x, y), y not zero.
  llvm::Value* remainder(llvm::Value* x, llvm::Value* y);
  // CPython's float_floor_div and float_rem, after the check for a zero divisor.
  std::pair<llvm::Value*, llvm::Value*> floatDivmod(llvm::Value* x, llvm::Value* y);
  llvm::Value* floorDivide(llvm::Value* a, llvm::Value* b, uint32_t which);
  llvm::Value* floorModulo(llvm::Value* a, llvm::Value* b, uint32_t which);
  llvm::Value* shiftLeft(llvm::Value* a, llvm::Value* b, uint32_t which);
  llvm::Value* toInteger(llvm::Value* x, uint32_t which);
  // Python's index of a negative number, which the front end has written as a selection; null: this one is another.
  llvm::Value* indexPoint(const program::Instruction& select);

  // ---- lists and arrays: lower_memory.cpp -----------------------------------------------------------------------------------
  llvm::Value* lowerList(const program::Instruction& one);
  llvm::Value* lowerArray(const program::Instruction& one);
  // Memory that does not alias: list headers, list elements, arrays, the call's own.
  enum class Memory { HEADER, ELEMENTS, ARRAY, CALL };
  template <typename I>
  I* tagged(I* instruction, Memory memory) {
    instruction->setMetadata(llvm::LLVMContext::MD_tbaa, tagOf(memory));
    return instruction;
  }
  llvm::MDNode* tagOf(Memory memory);
  llvm::Value* at(llvm::Value* base, llvm::Value* bytes) { return ir.CreateGEP(ir.getInt8Ty(), base, bytes); }
  llvm::Value* header(llvm::Value* list, int64_t offset, llvm::Type* type);
  // A leaf in memory: 8 bytes, a bool as an integer.
  llvm::Value* loadLeaf(llvm::Value* where, program::Prim prim, Memory memory);
  void storeLeaf(llvm::Value* value, llvm::Value* where, Memory memory);
  llvm::Value* elementAddress(llvm::Value* list, llvm::Value* index, int64_t cell);
  void push(const program::Instruction& one);
  llvm::Value* loadArray(llvm::Value* where, program::DType dtype);
  void storeArray(llvm::Value* value, llvm::Value* where, program::DType dtype);
  llvm::Value* newArray(const program::Instruction& one);
  void callUfunc(const program::Instruction& one);
  void callMatmul(const program::Instruction& one);

  // ---- paths, loops, calls: lower_control.cpp -------------------------------------------------------------------------------
  llvm::Value* lowerVariable(const program::Instruction& one);
  llvm::Value* lowerControl(const program::Instruction& one);
  void lowerPath(llvm::BasicBlock* from, const program::Block& path);
  void loadTicks();
  void storeTicks();
  void countIteration();
  void storeIterations();
  void poll(uint32_t which);
  // Whether its fast code can return NOTED. What the host calls looks itself: the host is no caller that looks later.
  bool mayNote(const program::Instance& one) const { return !options.careful && &one != &unit.instances[0]; }
  void callInstance(const program::Instruction& one);
  void returnLeaves(const program::Instruction& one);

  // ---- parallel loops: lower_cores.cpp ---------------------------------------------------------------------------------------
  llvm::Value* lowerCores(const program::Instruction& one);
  llvm::Value* worthSplitting(const program::Instruction& one);
  llvm::Value* parallel(const program::Instruction& one);
  llvm::Function* chunkEntry(llvm::Function& target);
};

}  // namespace epochly::jit
