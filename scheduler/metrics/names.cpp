#include "metrics/names.h"

namespace epochly::metrics {

namespace {

constexpr Row TABLE[NAME_COUNT] = {
    {Name::BUILD_INFO, "epochly_build_info", Kind::GAUGE, "version", "Always 1; the version is in the label."},
    {Name::TASKS, "epochly_tasks", Kind::GAUGE, "state", "Accepted tasks that have not ended, by state."},
    {Name::TASKS_PENDING, "epochly_tasks_pending", Kind::GAUGE, "reason", "Tasks not at a worker, by what they wait for."},
    {Name::OLDEST_PENDING_AGE, "epochly_oldest_pending_task_age_seconds", Kind::GAUGE, "",
     "How long ago the oldest queued task was accepted; 0 if none is queued."},
    {Name::TASKS_SUBMITTED, "epochly_tasks_submitted_total", Kind::COUNTER, "level", "Tasks accepted, by the level chosen."},
    {Name::TASKS_FINISHED, "epochly_tasks_finished_total", Kind::COUNTER, "outcome, level, function_group",
     "Tasks ended, by outcome, level that ran and function; functions beyond the first 50 are counted as other."},
    {Name::TASKS_FAILED, "epochly_tasks_failed_total", Kind::COUNTER, "error", "Tasks that ended in failure, by error."},
    {Name::ATTEMPTS, "epochly_task_attempts_total", Kind::COUNTER, "end, level",
     "Attempts ended, by how and at which level."},
    {Name::RETRIES, "epochly_task_retries_total", Kind::COUNTER, "", "Attempts that failed and will be tried again."},
    {Name::SUBMISSIONS_REFUSED, "epochly_submissions_refused_total", Kind::COUNTER, "reason",
     "Tasks refused at submission because a bound was met or the scheduler drains; the client still has them."},
    {Name::SUBMISSIONS_DUPLICATE, "epochly_submissions_duplicate_total", Kind::COUNTER, "",
     "Tasks submitted again after a reconnection and recognised."},
    {Name::STALE_RESULTS, "epochly_stale_results_rejected_total", Kind::COUNTER, "",
     "Results of attempts that were no longer current, dropped."},
    {Name::LEVELS_DECLINED, "epochly_levels_declined_total", Kind::COUNTER, "level",
     "Times a level was tried for a task and declined, with the reason in the task's result."},
    {Name::PHASE_SECONDS, "epochly_task_phase_seconds", Kind::HISTOGRAM, "phase, level",
     "Time tasks spent in each phase: queue, transfer, compile, run; by the level that ran. Phases not measured are left "
     "out."},
    {Name::END_TO_END_SECONDS, "epochly_task_end_to_end_seconds", Kind::HISTOGRAM, "level",
     "Time from acceptance to the end, retries included, by the level that ran."},
    {Name::CPU_SECONDS, "epochly_task_cpu_seconds_total", Kind::COUNTER, "level",
     "CPU time in user code of the tasks where it was measured, by the level that ran."},
    {Name::WORKERS, "epochly_workers", Kind::GAUGE, "state", "Joined workers, by state."},
    {Name::WORKERS_OFFERING, "epochly_workers_offering", Kind::GAUGE, "capability",
     "Ready workers that offer a capability; a worker counts once for each that it offers."},
    {Name::SLOTS, "epochly_worker_slots", Kind::GAUGE, "pool", "Attempts that ready workers can run at once, by pool."},
    {Name::INFLIGHT, "epochly_worker_attempts_inflight", Kind::GAUGE, "pool",
     "Attempts at workers, queued there or running."},
    {Name::WORKERS_JOINED, "epochly_workers_joined_total", Kind::COUNTER, "", "Workers that joined."},
    {Name::WORKERS_GONE, "epochly_workers_gone_total", Kind::COUNTER, "reason",
     "Workers that left or were lost, by reason."},
    {Name::CLIENTS, "epochly_clients", Kind::GAUGE, "state", "Client namespaces, connected or awaited."},
    {Name::FUNCTIONS, "epochly_functions", Kind::GAUGE, "", "Functions in the table."},
    {Name::STATE_BYTES, "epochly_state_bytes", Kind::GAUGE, "class",
     "Bytes of users' data held: arguments of tasks, code of functions, results not yet acknowledged."},
    {Name::LOOP_LAG, "epochly_event_loop_lag_seconds", Kind::HISTOGRAM, "",
     "How late a timer of the scheduler's loop fires, tried once a second. The kernel's share is up to 1 ms."},
    {Name::RPC_CONNECTIONS, "epochly_rpc_connections", Kind::GAUGE, "", "RPC connections open."},
    {Name::RPC_CONNECTIONS_FAILED, "epochly_rpc_connections_failed_total", Kind::COUNTER, "reason",
     "RPC connections turned away: a bound was met, the hello was refused, or what they sent was malformed."},
    {Name::RPC_CALLS, "epochly_rpc_calls_total", Kind::COUNTER, "",
     "Calls that clients and joining workers made; each is a batch."},
    {Name::DRAINING, "epochly_draining", Kind::GAUGE, "",
     "1 while the scheduler finishes what it has and takes nothing new."},
    {Name::PROCESS_RESIDENT_BYTES, "process_resident_memory_bytes", Kind::GAUGE, "", "Resident memory of the scheduler."},
    {Name::PROCESS_CPU_SECONDS, "process_cpu_seconds_total", Kind::COUNTER, "",
     "User and system CPU time of the scheduler."},
    {Name::PROCESS_OPEN_FDS, "process_open_fds", Kind::GAUGE, "", "Open file descriptors of the scheduler."},
    {Name::PROCESS_START_TIME, "process_start_time_seconds", Kind::GAUGE, "",
     "When the scheduler started, seconds since 1970."},
};

constexpr bool tableIsInOrder() {
  for (unsigned i = 0; i < NAME_COUNT; i++) {
    if (static_cast<unsigned>(TABLE[i].id) != i) return false;
  }
  return true;
}
static_assert(tableIsInOrder(), "TABLE is indexed by name");

}  // namespace

const char* kindName(Kind kind) {
  constexpr const char* NAMES[] = {"counter", "gauge", "histogram"};
  return NAMES[static_cast<unsigned>(kind)];
}

const Row& row(Name name) { return TABLE[static_cast<unsigned>(name)]; }

}  // namespace epochly::metrics
