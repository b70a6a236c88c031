#include "sim/context.h"

#include <kj/vector.h>

namespace epochly::sim {

namespace {

void addCount(kj::Vector<kj::String>& into, const char* name, uint64_t count) {
  if (count > 0) into.add(kj::str(name, " ", count));
}

}  // namespace

const char* faultName(Fault fault) {
  constexpr const char* NAMES[FAULT_COUNT] = {
      "connections cut",    "messages lost",     "reports doubled",      "submissions doubled",    "submissions resent",
      "late messages",      "workers crashed",   "workers frozen",       "workers left",           "workers silent",
      "clients away",       "clients forgotten", "clients vanished",     "clients closed early",   "tasks cancelled",
      "executors died",     "attempts failed",   "attempts timed out",   "attempts not run",       "levels declined",
      "levels not offered", "tasks invalid",     "results repeated",     "submissions overloaded", "functions overloaded",
      "functions evicted",  "workers refused",   "clients refused",      "scheduler stalled",      "scheduler drained",
      "mischief",           "attempts recalled", "tasks that ran alone",
  };
  return NAMES[static_cast<uint>(fault)];
}

Stats& Stats::operator+=(const Stats& other) {
  for (uint i = 0; i < FAULT_COUNT; i++) faults[i] += other.faults[i];
  for (uint i = 0; i < ERROR_CODE_COUNT; i++) failures[i] += other.failures[i];
  tasks += other.tasks;
  attempts += other.attempts;
  succeeded += other.succeeded;
  cancelled += other.cancelled;
  staleReports += other.staleReports;
  steps += other.steps;
  coreEvents += other.coreEvents;
  audits += other.audits;
  return *this;
}

kj::String Stats::describe() const {
  kj::Vector<kj::String> ends, done;
  addCount(ends, "succeeded", succeeded);
  addCount(ends, "cancelled", cancelled);
  for (uint i = 0; i < ERROR_CODE_COUNT; i++) addCount(ends, errorRowAt(i).name, failures[i]);
  for (uint i = 0; i < FAULT_COUNT; i++) addCount(done, faultName(static_cast<Fault>(i)), faults[i]);
  return kj::str("tasks ", tasks, " (", kj::strArray(ends, ", "), "), attempts ", attempts, ", stale reports ", staleReports,
                 ", core events ", coreEvents, ", audits ", audits,
                 "\nfaults: ", done.empty() ? kj::str("none") : kj::strArray(done, ", "));
}

}  // namespace epochly::sim
