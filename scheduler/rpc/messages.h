// What clients say, read into events' terms, and what they are told, written. Checks every bound on the way in.
#pragma once

#include "events/events.h"
#include "scheduler.capnp.h"

namespace epochly::rpc {

// Each throws INVALID_ARGUMENT, naming the bound, for what no honest client sends.
events::NewFunction readFunction(schema::Function::Reader function);
void checkSubmission(schema::Submission::Reader batch);
events::NewTask readTask(schema::Task::Reader task, FunctionHash function);

void writeTaskResult(const core::Result& result, uint32_t placement, schema::TaskResult::Builder builder);
void writePlacement(const core::Placement& placement, schema::Placement::Builder builder);
// Words that they take, an upper bound.
size_t wordsOf(const core::Result& result);
size_t wordsOf(const core::Placement& placement);

void writeWorker(const core::Worker& worker, const core::Limits& limits, kj::TimePoint now,
                 schema::WorkerStatus::Builder builder);
size_t wordsOf(const core::Worker& worker);
void writeFunctionStatus(const core::Function& function, bool gpuOffered, const classify::Thresholds& thresholds,
                         schema::FunctionStatus::Builder builder);
void writeTotals(const core::Core& core, schema::Totals::Builder builder);

}  // namespace epochly::rpc
