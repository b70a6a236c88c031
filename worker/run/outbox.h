// Results on their way to the scheduler.
#pragma once

#include <deque>
#include <utility>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/refcount.h>

#include "run/assignment.h"
#include "wire/errors.h"
#include "worker.capnp.h"

namespace epochly::run {

// The memory that results point into: a frame an executor wrote, or an answer of the daemon's own.
class ResultSource : public kj::Refcounted {
 public:
  virtual ~ResultSource() noexcept(false) = default;
};

struct PendingResult {
  kj::Own<ResultSource> source;
  schema::AttemptResult::Reader reader;
  size_t bytes;  // about what it takes in a message
};

// Lives on the daemon's loop. Bounded by what the worker holds: each result answers one assignment.
class Outbox {
 public:
  void add(PendingResult result);
  void addFailure(const AttemptName& name, Level level, const Failure& failure);
  void addNotRun(const AttemptName& name, Level level);

  size_t size() const { return results.size(); }
  // The oldest, as many as one message should carry (BATCH_TASKS_MAX, BATCH_BYTES_TARGET), at least one.
  kj::Array<PendingResult> takeBatch();
  // For a scheduler that is gone.
  std::deque<PendingResult> takeAll() { return std::exchange(results, {}); }

 private:
  std::deque<PendingResult> results;
};

// A frame from an executor, parsed.
class ResultFrame final : public ResultSource {
 public:
  explicit ResultFrame(kj::Array<capnp::word> words);
  schema::FromExecutor::Reader message() { return reader.getRoot<schema::FromExecutor>(); }
  size_t bytes() const { return words.asBytes().size(); }

 private:
  kj::Array<capnp::word> words;
  capnp::FlatArrayMessageReader reader;
};

}  // namespace epochly::run
