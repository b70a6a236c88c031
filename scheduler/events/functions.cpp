// The function table: registered by hash, pinned while anyone may name them, evicted oldest use first.
#include <cstring>

#include "events/events.h"
#include "wire/task_spec.h"

namespace epochly::events {

namespace {

bool sameCode(const core::Function& known, const NewFunction& told) { return known.code.asPtr() == told.code.asPtr(); }

void checkSize(const NewFunction& function) {
  if (function.code.size() > FUNCTION_BYTES_MAX) {
    kj::throwFatalException(
        makeError(ErrorCode::PAYLOAD_TOO_LARGE,
                  kj::str("function ", function.name, " pickles to ", function.code.size(), " bytes, over the limit of ",
                          FUNCTION_BYTES_MAX, ": pass the data it closes over as arguments")));
  }
}

}  // namespace

void Events::onFunction(NewFunction told) {
  auto found = core.functions.find(told.hash);
  if (found == core.functions.end()) {
    checkSize(told);
    evictFunctions(told.code.size());
    KJ_IF_MAYBE(why, admission::refuseFunction(core, told.code.size())) {
      observer.refused(ErrorCode::OVERLOADED, 0);
      kj::throwFatalException(makeError(ErrorCode::OVERLOADED, *why));
    }
    found = core.functions.try_emplace(told.hash).first;
    auto& function = found->second;
    function.hash = told.hash;
    function.name = kj::mv(told.name);
    function.code = kj::mv(told.code);
    function.pythonVersion = told.pythonVersion;
    function.module = kj::mv(told.module);
    function.hints = told.hints;
    core.functionBytes += function.code.size();
  } else if (!sameCode(found->second, told)) {
    kj::throwFatalException(
        makeError(ErrorCode::INVALID_ARGUMENT, kj::str("function ", told.name, " has the hash ", toString(told.hash),
                                                       " of another function: a hash is BLAKE2b-128 of the code")));
  }
  found->second.references++;
  found->second.lastUse = core.eventCount;
}

void Events::releaseFunction(FunctionHash hash) {
  auto found = core.functions.find(hash);
  if (found != core.functions.end()) found->second.references--;
}

void Events::onWorkload(FunctionHash hash, const core::Workload& workload) {
  auto found = core.functions.find(hash);
  if (found != core.functions.end()) found->second.reported = workload;
}

// Keeps one place and `bytesWanted` bytes free if unused functions can make that room.
void Events::evictFunctions(size_t bytesWanted) {
  auto& limits = core.limits;
  while (core.functions.size() >= limits.functionsMax || core.functionBytes + bytesWanted > limits.functionBytesMax) {
    auto oldest = core.functions.end();
    for (auto it = core.functions.begin(); it != core.functions.end(); ++it) {
      if (it->second.references > 0) continue;
      if (oldest == core.functions.end() || it->second.lastUse < oldest->second.lastUse) oldest = it;
    }
    if (oldest == core.functions.end()) return;
    core.functionBytes -= oldest->second.code.size();
    core.functions.erase(oldest);
  }
}

}  // namespace epochly::events
