#include "levels/jit/frame_constants.h"

#include <llvm/IR/Constants.h>
#include <llvm/IR/Instructions.h>
#include <llvm/IR/Module.h>

#include <map>
#include <optional>

namespace epochly::jit {

using namespace llvm;

namespace {

// Arguments of epochly_parallel() and of a chunk: see lower_cores.cpp.
constexpr unsigned CHUNK_OPERAND = 1, FRAME_OPERAND = 2, FRAME_ARGUMENT = 1;

using Constants = std::map<int64_t, Constant*>;  // by offset in the frame

std::optional<int64_t> offsetFrom(const Value* base, const Value* pointer, const DataLayout& layout) {
  APInt offset(64, 0);
  if (pointer->stripAndAccumulateConstantOffsets(layout, offset, true) != base) return {};
  return offset.getSExtValue();
}

// Every use of `pointer`, or of a place at a fixed distance from it.
void usersOf(Value* pointer, SmallVectorImpl<std::pair<User*, Value*>>& found) {
  for (auto* user : pointer->users()) {
    if (isa<GetElementPtrInst>(user)) {
      usersOf(user, found);
    } else {
      found.emplace_back(user, pointer);
    }
  }
}

// What the call's frame holds besides variables. Nothing is known of a frame that something else than this call sees.
Constants constantsOf(CallInst& call, const DataLayout& layout) {
  Constants known;
  auto* frame = dyn_cast<AllocaInst>(call.getArgOperand(FRAME_OPERAND));
  if (!frame) return known;
  std::map<int64_t, unsigned> stores;
  SmallVector<std::pair<User*, Value*>> users;
  usersOf(frame, users);
  for (auto [user, pointer] : users) {
    if (user == &call || cast<Instruction>(user)->isLifetimeStartOrEnd()) continue;
    auto* store = dyn_cast<StoreInst>(user);
    auto offset = store && store->getPointerOperand() == pointer ? offsetFrom(frame, pointer, layout) : std::nullopt;
    if (!offset) return {};
    if (auto* constant = dyn_cast<ConstantInt>(store->getValueOperand())) known[*offset] = constant;
    stores[*offset]++;
  }
  std::erase_if(known, [&](auto& one) { return stores[one.first] != 1; });
  return known;
}

bool use(const Constants& known, Function& chunk, const DataLayout& layout) {
  auto* frame = chunk.getArg(FRAME_ARGUMENT);
  SmallVector<std::pair<User*, Value*>> users;
  usersOf(frame, users);
  bool changed = false;
  for (auto [user, pointer] : users) {
    auto* load = dyn_cast<LoadInst>(user);
    auto offset = load ? offsetFrom(frame, pointer, layout) : std::nullopt;
    auto found = offset ? known.find(*offset) : known.end();
    if (found == known.end() || found->second->getType() != load->getType()) continue;
    load->replaceAllUsesWith(found->second);
    changed = true;
  }
  return changed;
}

}  // namespace

PreservedAnalyses FrameConstantsPass::run(Module& module, ModuleAnalysisManager&) {
  auto* parallel = module.getFunction("epochly_parallel");
  if (!parallel) return PreservedAnalyses::all();
  bool changed = false;
  for (auto* user : parallel->users()) {
    auto* call = dyn_cast<CallInst>(user);
    auto* chunk = call ? dyn_cast<Function>(call->getArgOperand(CHUNK_OPERAND)) : nullptr;
    if (!chunk || !chunk->hasOneUse()) continue;  // another call may bring another frame
    changed |= use(constantsOf(*call, module.getDataLayout()), *chunk, module.getDataLayout());
  }
  return changed ? PreservedAnalyses::none() : PreservedAnalyses::all();
}

}  // namespace epochly::jit
