#include "run/functions.h"

namespace epochly::run {

void Function::learn(kj::Duration sample) {
  KJ_IF_MAYBE(known, runTime) {
    auto old = *known;
    runTime = sample > old ? old + (sample - old) / 2 : old - (old - sample) / 8;
  } else {
    runTime = sample;
  }
}

void Functions::add(schema::Function::Reader definition) {
  FunctionHash hash{definition.getHashHigh(), definition.getHashLow()};
  auto found = byHash.find(hash);
  if (found == byHash.end()) {
    auto function = kj::heap<Function>(Function{++lastId, Owned<schema::Function>(definition)});
    bytes += function->definition.bytes();
    found = byHash.emplace(hash, kj::mv(function)).first;
  }
  byConnectionId[definition.getId()] = found->second;
}

Function* Functions::find(uint32_t connectionId) const {
  auto found = byConnectionId.find(connectionId);
  return found == byConnectionId.end() ? nullptr : found->second;
}

void Functions::forgetConnection() { byConnectionId.clear(); }

void Functions::clear() {
  byConnectionId.clear();
  byHash.clear();
  bytes = 0;
}

}  // namespace epochly::run
