// Builders for tests of the client.
#pragma once

#include <cstring>
#include <random>

#include "ext/client_ledger.h"

namespace epochly::client {

inline kj::Array<byte> bytesOf(kj::StringPtr text) { return kj::heapArray<byte>(text.asBytes()); }

inline std::shared_ptr<const Function> functionNamed(kj::StringPtr name, size_t codeBytes = 16) {
  auto function = std::make_shared<Function>();
  function->name = kj::str(name);
  function->hash = {kj::hashCode(name), name.size()};
  function->code = kj::heapArray<byte>(codeBytes);
  memset(function->code.begin(), 7, codeBytes);
  return function;
}

// A task with `text` as its pickle.
inline TaskSpec taskOf(std::shared_ptr<const Function> function, kj::StringPtr text = "x") {
  TaskSpec spec;
  spec.entry = std::make_shared<Entry>();
  spec.function = kj::mv(function);
  spec.arguments.pickle = bytesOf(text);
  return spec;
}

inline TaskSpec largeTask(std::shared_ptr<const Function> function, size_t bytes) {
  auto spec = taskOf(kj::mv(function));
  spec.arguments.pickle = kj::heapArray<byte>(bytes);
  return spec;
}

inline Outcome valueOf(kj::StringPtr text) {
  Outcome outcome;
  outcome.ending = Ending::VALUE;
  outcome.value.pickle = bytesOf(text);
  return outcome;
}

// Far enough for a slow machine; a test that waits so long has failed.
inline Ledger::Clock::time_point soon() { return Ledger::Clock::now() + std::chrono::seconds(30); }
inline Ledger::Clock::time_point atOnce() { return Ledger::Clock::now(); }

}  // namespace epochly::client
