// The functions this worker has been sent, by hash: kept over reconnections, numbered by the worker itself.
#pragma once

#include <unordered_map>

#include <kj/map.h>
#include <kj/memory.h>
#include <kj/time.h>

#include "run/message.h"
#include "task.capnp.h"
#include "wire/ids.h"

namespace epochly::run {

// What the scheduler may know at once is 10,000 functions and 512 MiB of them (its Limits); it forgets old ones, and its ids on a
// connection only grow. Past these bounds, which leave room for as many forgotten ones, the worker joins anew with an empty table.
constexpr size_t FUNCTIONS_MAX = 20'000;
constexpr size_t FUNCTION_TABLE_BYTES_MAX = 1ull << 30;

struct Function {
  uint32_t id;                       // this worker's, in frames to executors; never used for another function
  Owned<schema::Function> definition;
  kj::Maybe<kj::Duration> runTime;   // what a call takes an executor, weighted towards the recent and the long; none: never ran

  // A call took `sample`. Rises at once, falls slowly: a wrong guess downwards makes others wait behind a long call.
  void learn(kj::Duration sample);
};

// Lives on the daemon's loop.
class Functions {
 public:
  explicit Functions(size_t countMax = FUNCTIONS_MAX, size_t bytesMax = FUNCTION_TABLE_BYTES_MAX)
      : countMax(countMax), bytesMax(bytesMax) {}

  // Makes `definition.id` of the present connection mean this function.
  void add(schema::Function::Reader definition);
  // Null if the present connection has not named it.
  Function* find(uint32_t connectionId) const;
  // The connection is lost: its ids mean nothing any more. Functions stay, for the next connection is likely to name them.
  void forgetConnection();
  // Forgets them all; only while no assignment refers to one.
  void clear();
  bool full() const { return byHash.size() >= countMax || bytes >= bytesMax; }
  size_t size() const { return byHash.size(); }

 private:
  const size_t countMax;
  const size_t bytesMax;
  std::unordered_map<FunctionHash, kj::Own<Function>> byHash;
  std::unordered_map<uint32_t, Function*> byConnectionId;
  uint32_t lastId = 0;
  size_t bytes = 0;
};

}  // namespace epochly::run
