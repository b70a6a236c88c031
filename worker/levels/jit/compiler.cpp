// llvm::Error and llvm::Expected stop here.
#include "levels/jit/compiler.h"

#include <llvm/ExecutionEngine/Orc/JITTargetMachineBuilder.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/Support/ErrorHandling.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>

#include <chrono>
#include <mutex>

#include "levels/jit/lower.h"
#include "levels/jit/pipeline.h"
#include "levels/program/decline.h"

namespace epochly::jit {

namespace {

template <typename T>
T take(llvm::Expected<T> value) {
  if (!value) throw program::Declined(0, "LLVM: " + llvm::toString(value.takeError()));
  return std::move(*value);
}

// Whatever LLVM's own code does when it cannot go on: without this it ends the process.
void throwFatal(void*, const char* reason, bool) { throw program::Declined(0, std::string("LLVM: ") + reason); }

std::unique_ptr<llvm::TargetMachine> hostMachine() {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  llvm::install_fatal_error_handler(throwFatal);
  auto builder = take(llvm::orc::JITTargetMachineBuilder::detectHost());
  builder.setCodeGenOptLevel(llvm::CodeGenOptLevel::Default);
  builder.setRelocationModel(llvm::Reloc::PIC_);
  builder.setCodeModel(llvm::CodeModel::Small);
  builder.getOptions().AllowFPOpFusion = llvm::FPOpFusion::Strict;
  return take(builder.createTargetMachine());
}

// The process's LLVM. Never destroyed: other threads may be in it when the process ends.
class Engine {
 public:
  static Engine& get() {
    static Engine* const engine = new Engine();
    return *engine;
  }

  std::unique_ptr<llvm::Module> build(llvm::LLVMContext& context, program::Unit& unit, const Options& options) {
    auto module = lower(context, unit, options);
    module->setDataLayout(machine->createDataLayout());
    module->setTargetTriple(machine->getTargetTriple().str());
    for (auto& function : *module) {
      function.addFnAttr("target-cpu", machine->getTargetCPU());
      function.addFnAttr("target-features", machine->getTargetFeatureString());
    }
    optimise(*module, *machine, options);
    return module;
  }

  std::string emit(llvm::Module& module, llvm::CodeGenFileType type) {
    llvm::SmallVector<char, 0> text;
    llvm::raw_svector_ostream stream(text);
    llvm::legacy::PassManager passes;
    if (machine->addPassesToEmitFile(passes, stream, nullptr, type))
      throw program::Declined(0, "LLVM writes no such file for this machine");
    passes.run(module);
    return std::string(text.begin(), text.end());
  }

  std::mutex mutex;

 private:
  const std::unique_ptr<llvm::TargetMachine> machine = hostMachine();  // under `mutex`
};

int64_t nowNs() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

}  // namespace

std::string compileObject(program::Unit& unit, const Options& options) {
  auto& engine = Engine::get();
  std::lock_guard lock(engine.mutex);
  llvm::LLVMContext context;
  auto module = engine.build(context, unit, options);
  return engine.emit(*module, llvm::CodeGenFileType::ObjectFile);
}

std::shared_ptr<Code> compile(program::Unit& unit, const Options& options) {
  auto start = nowNs();
  auto code = link(compileObject(unit, options));
  code->compileNs = nowNs() - start;
  return code;
}

std::string intermediate(program::Unit& unit, const Options& options) {
  auto& engine = Engine::get();
  std::lock_guard lock(engine.mutex);
  llvm::LLVMContext context;
  auto module = engine.build(context, unit, options);
  std::string text;
  llvm::raw_string_ostream stream(text);
  module->print(stream, nullptr);
  return stream.str();
}

std::string assembly(program::Unit& unit, const Options& options) {
  auto& engine = Engine::get();
  std::lock_guard lock(engine.mutex);
  llvm::LLVMContext context;
  auto module = engine.build(context, unit, options);
  return engine.emit(*module, llvm::CodeGenFileType::AssemblyFile);
}

}  // namespace epochly::jit
