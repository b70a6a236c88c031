// What workers say, read into the core's terms, and what the core sends them, written. Checks every bound on the way in.
#pragma once

#include "events/events.h"
#include "worker.capnp.h"

namespace epochly::dispatch {

// The probe's facts of one worker: 64 of the longest are 32 KiB.
constexpr uint FACTS_MAX = 64;
// Slots of one level: ten times the I/O threads of the largest machine anyone has.
constexpr uint32_t SLOTS_MAX = 65'536;

// Throws INVALID_ARGUMENT if a capability's level is unknown or a bound is passed. Names and facts are cut.
core::WorkerSpec readWorkerInfo(schema::WorkerInfo::Reader info);
// Throws INVALID_ARGUMENT if there are more than BATCH_TASKS_MAX. A report that makes no sense in itself becomes an INTERNAL
// failure of its attempt, so that the task still ends.
kj::Array<events::AttemptReport> readAttemptResults(schema::AttemptResults::Reader results);
core::Load readLoad(schema::Load::Reader load);

void writeFunction(const core::Function& function, uint32_t id, schema::Function::Builder builder);
void writeAssignment(const core::Task& task, uint32_t function, bool inlineResult, schema::Assignment::Builder builder);

// Words that writeFunction and writeAssignment take, an upper bound: a message built in one piece is never copied to grow.
size_t wordsOf(const core::Function& function);
size_t wordsOf(const core::Task& task);

}  // namespace epochly::dispatch
