// llvm::Error and llvm::Expected stop here.
#include "levels/jit/compiler.h"

#include <llvm/ExecutionEngine/Orc/Core.h>
#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Verifier.h>
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

namespace orc = llvm::orc;

template <typename T>
T take(llvm::Expected<T> value) {
  if (!value) throw program::Declined(0, "LLVM: " + llvm::toString(value.takeError()));
  return std::move(*value);
}

void check(llvm::Error error) {
  if (error) throw program::Declined(0, "LLVM: " + llvm::toString(std::move(error)));
}

orc::JITTargetMachineBuilder hostMachine() {
  auto builder = take(orc::JITTargetMachineBuilder::detectHost());
  builder.setCodeGenOptLevel(llvm::CodeGenOptLevel::Default);
  builder.getOptions().AllowFPOpFusion = llvm::FPOpFusion::Strict;
  return builder;
}

// The process's LLVM. Never destroyed: compiled code may run in other threads until the process is gone.
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
    optimise(*module, *machine, options.careful);
    return module;
  }

  const std::unique_ptr<orc::LLJIT> jit;
  const std::unique_ptr<llvm::TargetMachine> machine;  // for optimise() and assembly(); under `mutex`
  std::mutex mutex;

 private:
  Engine()
      : jit((llvm::InitializeNativeTarget(), llvm::InitializeNativeTargetAsmPrinter(),
             take(orc::LLJITBuilder().setJITTargetMachineBuilder(hostMachine()).create()))),
        machine(take(hostMachine().createTargetMachine())) {
    orc::SymbolMap symbols;
    for (auto& symbol : runtimeSymbols()) {
      symbols[jit->mangleAndIntern(symbol.name)] = {orc::ExecutorAddr::fromPtr(symbol.address),
                                                    llvm::JITSymbolFlags::Exported};
    }
    check(jit->getMainJITDylib().define(orc::absoluteSymbols(std::move(symbols))));
  }
};

class OrcCode : public Code {
 public:
  OrcCode(orc::LLJIT& jit, orc::ResourceTrackerSP tracker) : jit(jit), tracker(std::move(tracker)) {}
  ~OrcCode() override { llvm::consumeError(tracker->remove()); }

 private:
  orc::LLJIT& jit;
  const orc::ResourceTrackerSP tracker;
};

int64_t nowNs() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

}  // namespace

std::shared_ptr<Code> compile(program::Unit& unit, const Options& options) {
  auto& engine = Engine::get();
  auto start = nowNs();
  std::lock_guard lock(engine.mutex);
  auto context = std::make_unique<llvm::LLVMContext>();
  auto module = engine.build(*context, unit, options);
  // Each unit's entry has a name of its own.
  static uint64_t count = 0;
  auto name = "epochly_entry_" + std::to_string(++count);
  module->getFunction("epochly_entry")->setName(name);
  auto tracker = engine.jit->getMainJITDylib().createResourceTracker();
  check(engine.jit->addIRModule(tracker, orc::ThreadSafeModule(std::move(module), std::move(context))));
  auto code = std::make_shared<OrcCode>(*engine.jit, tracker);
  code->entry = take(engine.jit->lookup(name)).toPtr<int32_t (*)(Context*, const uint64_t*, uint64_t*)>();
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
  llvm::SmallVector<char> text;
  llvm::raw_svector_ostream stream(text);
  llvm::legacy::PassManager passes;
  if (engine.machine->addPassesToEmitFile(passes, stream, nullptr, llvm::CodeGenFileType::AssemblyFile)) {
    throw program::Declined(0, "LLVM writes no assembly for this machine");
  }
  passes.run(*module);
  return std::string(text.begin(), text.end());
}

}  // namespace epochly::jit
