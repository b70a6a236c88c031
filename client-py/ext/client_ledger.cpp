#include "ext/client_ledger.h"

namespace epochly::client {

namespace {

// Results ended under one lock: a submitting thread waits for at most this many, some 5 us.
constexpr size_t ENDED_PER_LOCK = 32;

Outcome failed(const Failure& failure) {
  Outcome outcome;
  outcome.ending = failure.code == ErrorCode::CANCELLED ? Ending::CANCELLED : Ending::FAILURE;
  outcome.failure = failure.clone();
  return outcome;
}

}  // namespace

uint64_t nowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Ledger::Clock::now().time_since_epoch()).count();
}

Ledger::Ledger(WindowBounds bounds) : bounds(bounds) {}

// ---- Python's threads ----------------------------------------------------------------------------------------------

Admission Ledger::enqueue(TaskSpec& spec, bool& wake) {
  size_t bytes = spec.bytes();
  std::lock_guard lock(mutex);
  if (why.code != ErrorCode::NONE) return Admission::CLOSED;
  if (!hasRoomLocked()) return Admission::FULL;
  auto& entry = *spec.entry;
  entry.seq = ++lastSeq;
  table.emplace(entry.seq, spec.entry);
  unacceptedTasks++;
  unacceptedBytes += bytes;
  queue.push_back(kj::mv(spec));
  wake = wakeLocked();
  return Admission::TAKEN;
}

bool Ledger::awaitRoom(Clock::time_point until) {
  std::unique_lock lock(mutex);
  return roomWake.wait_until(lock, until, [this] { return hasRoomLocked() || why.code != ErrorCode::NONE; });
}

bool Ledger::await(Entry& entry, Clock::time_point until) {
  if (entry.done()) return true;
  std::unique_lock lock(mutex);
  auto waiter = std::make_shared<Waiter>();
  waiter->next = entry.waiters;
  entry.waiters = waiter;
  bool done = waiter->wake.wait_until(lock, until, [&entry] { return entry.done(); });
  for (auto link = &entry.waiters; *link != nullptr; link = &(*link)->next) {
    if (*link != waiter) continue;
    *link = waiter->next;
    break;
  }
  return done;
}

bool Ledger::cancel(Entry& entry, bool& wake) {
  Wakes wakes(*this);
  std::lock_guard lock(mutex);
  auto found = table.find(entry.seq);
  if (found == table.end()) return false;
  if (entry.sent) cancelled.push_back(entry.seq);  // else takeQueued() leaves it out
  wake = wakeLocked();
  endLocked(found->second, failed(Failure::of(ErrorCode::CANCELLED, kj::str("the task was cancelled by its client"))),
            wakes);
  return true;
}

bool Ledger::observe(std::shared_ptr<Entry> entry) {
  std::lock_guard lock(mutex);
  if (entry->done()) return false;
  entry->observed = true;
  return true;
}

void Ledger::watch(Entry& entry, std::shared_ptr<Completions> completions, size_t index) {
  std::lock_guard lock(mutex);
  if (entry.done()) {
    completions->ready.push_back(index);
  } else {
    entry.completions.emplace_back(kj::mv(completions), index);
  }
}

std::vector<size_t> Ledger::awaitCompletions(Completions& completions, Clock::time_point until) {
  std::unique_lock lock(mutex);
  completions.wake.wait_until(lock, until, [&] { return !completions.ready.empty(); });
  return std::exchange(completions.ready, {});
}

std::vector<std::shared_ptr<Entry>> Ledger::awaitEnded(Clock::time_point until) {
  std::unique_lock lock(mutex);
  endedWake.wait_until(lock, until, [this] { return !ended.empty(); });
  std::vector<std::shared_ptr<Entry>> taken(ended.begin(), ended.end());
  ended.clear();
  return taken;
}

bool Ledger::awaitIdle(Clock::time_point until) {
  std::unique_lock lock(mutex);
  return idleWake.wait_until(lock, until, [this] { return table.empty(); });
}

uint64_t Ledger::pending() const {
  std::lock_guard lock(mutex);
  return table.size();
}

uint64_t Ledger::submitted() const {
  std::lock_guard lock(mutex);
  return lastSeq;
}

Failure Ledger::closedWhy() const {
  std::lock_guard lock(mutex);
  return why.clone();
}

// ---- the loop's thread ---------------------------------------------------------------------------------------------

void Ledger::takeQueued(std::vector<TaskSpec>& batch, uint tasksMax, size_t bytesTarget) {
  size_t bytes = 0;
  for (auto& spec : batch) bytes += spec.bytes();
  std::lock_guard lock(mutex);
  while (!queue.empty() && batch.size() < tasksMax && bytes < bytesTarget) {
    auto& next = queue.front();
    size_t size = next.bytes();
    if (next.entry->done()) {  // cancelled before it was sent
      unacceptedTasks--;
      unacceptedBytes -= size;
    } else {
      next.entry->sent = true;
      bytes += size;
      batch.push_back(kj::mv(next));
    }
    queue.pop_front();
  }
  loopSleeps = batch.empty();
  roomWake.notify_all();
}

void Ledger::accepted(uint64_t tasks, size_t bytes) {
  std::lock_guard lock(mutex);
  unacceptedTasks -= tasks;
  unacceptedBytes -= bytes;
  roomWake.notify_all();
}

std::vector<uint64_t> Ledger::takeCancelled() {
  std::lock_guard lock(mutex);
  return std::exchange(cancelled, {});
}

void Ledger::end(std::vector<Arrival> arrivals) {
  for (size_t begin = 0; begin < arrivals.size(); begin += ENDED_PER_LOCK) {
    size_t count = kj::min(ENDED_PER_LOCK, arrivals.size() - begin);
    Wakes wakes(*this);
    std::lock_guard lock(mutex);
    for (auto& arrival : kj::arrayPtr(arrivals.data() + begin, count)) {
      auto found = table.find(arrival.seq);
      if (found != table.end()) endLocked(found->second, kj::mv(arrival.outcome), wakes);
    }
  }
}

void Ledger::endAll(const Failure& failure, bool sentOnly) {
  Wakes wakes(*this);
  std::lock_guard lock(mutex);
  std::vector<std::shared_ptr<Entry>> ending;
  for (auto& [seq, entry] : table) {
    if (entry->sent || !sentOnly) ending.push_back(entry);
  }
  for (auto& entry : ending) endLocked(entry, failed(failure), wakes);
  cancelled.clear();
  if (sentOnly) return;
  for (auto& spec : queue) {
    unacceptedTasks--;
    unacceptedBytes -= spec.bytes();
  }
  queue.clear();
  roomWake.notify_all();
}

void Ledger::endOne(uint64_t seq, Failure failure) {
  Wakes wakes(*this);
  std::lock_guard lock(mutex);
  auto found = table.find(seq);
  if (found != table.end()) endLocked(found->second, failed(failure), wakes);
}

void Ledger::close(Failure reason) {
  std::lock_guard lock(mutex);
  why = kj::mv(reason);
  roomWake.notify_all();
  endedWake.notify_all();
}

void Ledger::reopen() {
  std::lock_guard lock(mutex);
  why = Failure();
}

// `entry` by value: it keeps the task alive while its place in the table goes.
void Ledger::endLocked(std::shared_ptr<Entry> entry, Outcome outcome, Wakes& wakes) {
  if (outcome.timings.total == Timings::NONE) outcome.timings.total = nowNs() - entry->submittedNs;
  entry->outcome = kj::mv(outcome);
  entry->keepsake.reset();
  entry->ending.store(entry->outcome.ending, std::memory_order_release);
  table.erase(entry->seq);
  if (entry->waiters != nullptr) wakes.waiters.push_back(kj::mv(entry->waiters));
  for (auto& [completions, index] : entry->completions) {
    completions->ready.push_back(index);
    if (wakes.completions.empty() || wakes.completions.back() != completions) wakes.completions.push_back(completions);
  }
  entry->completions.clear();
  if (entry->observed) {
    ended.push_back(kj::mv(entry));
    wakes.isObserved = true;
  }
  if (table.empty()) wakes.isIdle = true;
}

Ledger::Wakes::~Wakes() {
  for (auto& list : waiters) {
    for (auto waiter = list; waiter != nullptr; waiter = waiter->next) waiter->wake.notify_one();
  }
  for (auto& each : completions) each->wake.notify_one();
  if (isObserved) ledger.endedWake.notify_one();
  if (isIdle) ledger.idleWake.notify_all();
}

bool Ledger::wakeLocked() { return std::exchange(loopSleeps, false); }

}  // namespace epochly::client
