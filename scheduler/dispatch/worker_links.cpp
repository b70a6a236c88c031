#include "dispatch/worker_links.h"

#include <algorithm>

#include "dispatch/messages.h"
#include "rt/log.h"
#include "wire/task_spec.h"

namespace epochly::dispatch {

WorkerLinks::WorkerLinks(const core::Core& core, const kj::MonotonicClock& clock) : core(core), clock(clock), tasks(*this) {}

bool WorkerLinks::Batch::isFull() const {
  return tasks.size() >= BATCH_TASKS_MAX || words * sizeof(capnp::word) >= BATCH_BYTES_TARGET;
}

// ---- connections ---------------------------------------------------------------------------------------------------

WorkerId WorkerLinks::join(core::WorkerSpec spec, schema::WorkerSink::Client sink, Close close) {
  // The core may send to it before we know its id: send() has made the link then.
  auto id = events->onJoin(kj::mv(spec), clock.now());
  auto& link = linkOf(id);
  link.sink = kj::mv(sink);
  link.close = kj::mv(close);
  return id;
}

void WorkerLinks::lost(WorkerId worker, kj::StringPtr why) {
  if (links.count(worker) > 0) events->onLost(worker, why, clock.now());
}

void WorkerLinks::results(WorkerId worker, kj::ArrayPtr<events::AttemptReport> reports) {
  events->onResults(worker, reports, clock.now());
}

void WorkerLinks::heartbeat(WorkerId worker, const core::Load& load) { events->onHeartbeat(worker, load, clock.now()); }

void WorkerLinks::leave(WorkerId worker) { events->onWorkerLeaving(worker, clock.now()); }

// ---- notes ---------------------------------------------------------------------------------------------------------

WorkerLinks::Link& WorkerLinks::linkOf(WorkerId worker) {
  auto& link = links[worker];
  if (link.get() == nullptr) link = kj::heap<Link>();
  return *link;
}

void WorkerLinks::send(WorkerId worker, TaskId task, Attempt attempt) {
  auto& link = linkOf(worker);
  link.pending.push_back({task, attempt});
  touch(worker, link);
}

void WorkerLinks::cancel(WorkerId worker, TaskId task, Attempt attempt) { note(worker, &Link::cancels, {task, attempt}); }

void WorkerLinks::recall(WorkerId worker, TaskId task, Attempt attempt) { note(worker, &Link::recalls, {task, attempt}); }

void WorkerLinks::discard(WorkerId worker, TaskId task, Attempt attempt) { note(worker, &Link::discards, {task, attempt}); }

void WorkerLinks::note(WorkerId worker, kj::Vector<AttemptName> Link::*list, AttemptName name) {
  auto found = links.find(worker);
  if (found == links.end()) return;
  (found->second.get()->*list).add(name);
  touch(worker, *found->second);
}

void WorkerLinks::drop(WorkerId worker, kj::StringPtr why) {
  auto found = links.find(worker);
  if (found == links.end()) return;
  KJ_IF_MAYBE(close, found->second->close) {
    (*close)(why);
  }
  dropped.add(kj::mv(found->second));
  links.erase(found);
}

void WorkerLinks::touch(WorkerId worker, Link& link) {
  if (!link.isDirty) {
    link.isDirty = true;
    dirty.add(worker);
  }
  if (isFlushScheduled) return;
  isFlushScheduled = true;
  tasks.add(kj::evalLast([this]() { flush(); }));  // after all else of this turn: then it is one batch
}

// ---- writing -------------------------------------------------------------------------------------------------------

void WorkerLinks::flush() {
  isFlushScheduled = false;
  dropped.clear();
  auto workers = kj::mv(dirty);
  for (auto worker : workers) {
    auto found = links.find(worker);
    if (found == links.end()) continue;
    found->second->isDirty = false;
    write(worker, *found->second);
  }
}

void WorkerLinks::write(WorkerId worker, Link& link) {
  KJ_IF_MAYBE(sink, link.sink) {
    while (!link.pending.empty() && link.bytesInFlight < LINK_BYTES_IN_FLIGHT_MAX) {
      fillBatch(worker, link);
      bool hasContent = !batch.tasks.empty() || !batch.functions.empty();  // else all that was pending is no longer current
      if (hasContent) sendBatch(worker, link, *sink);
      if (link.isSpent) {
        lost(worker, "its connection has named as many functions as it may: it starts anew");
        return;
      }
    }
    // In order: neither overtakes its assignment.
    if (link.pending.empty() && !link.cancels.empty()) sendCancels(worker, link, *sink);
    if (link.pending.empty() && !link.recalls.empty()) sendRecalls(worker, link, *sink);
    if (!link.discards.empty()) sendDiscards(worker, link, *sink);
  }
}

const core::Task* WorkerLinks::current(WorkerId worker, const AttemptName& name) const {
  auto found = core.tasks.find(name.task);
  if (found == core.tasks.end()) return nullptr;
  auto& task = found->second;
  bool isCurrent = task.state == core::TaskState::ASSIGNED && task.worker == worker && task.attempt == name.attempt;
  return isCurrent ? &task : nullptr;
}

bool WorkerLinks::includeFunction(WorkerId worker, Link& link, const core::Function& function) {
  if (link.functionIds.count(function.hash) > 0) return true;
  link.isSpent = link.functionIds.size() == LINK_FUNCTIONS_MAX;
  if (link.isSpent) return false;
  link.functionIds.emplace(function.hash, static_cast<uint32_t>(link.functionIds.size()));
  batch.functions.add(&function);
  batch.words += wordsOf(function);
  events->onFunctionSent(worker, function.hash);
  return !batch.isFull();  // a large function travels alone, so that no message passes MESSAGE_BYTES_MAX
}

void WorkerLinks::fillBatch(WorkerId worker, Link& link) {
  batch.tasks.clear();
  batch.functions.clear();
  batch.words = 0;
  while (!link.pending.empty() && !batch.isFull()) {
    if (auto task = current(worker, link.pending.front())) {
      if (!includeFunction(worker, link, *task->function)) return;
      batch.tasks.add(task);
      batch.words += wordsOf(*task);
    }
    link.pending.pop_front();
  }
}

void WorkerLinks::sendBatch(WorkerId worker, Link& link, schema::WorkerSink::Client& sink) {
  // Both lists, their tags, and the call around them.
  constexpr size_t FRAME_WORDS = 64;
  auto request = sink.runRequest(capnp::MessageSize{batch.words + FRAME_WORDS, 0});
  auto message = request.initBatch();
  if (!batch.functions.empty()) {
    auto functions = message.initFunctions(batch.functions.size());
    for (auto i : kj::indices(batch.functions)) {
      auto& function = *batch.functions[i];
      writeFunction(function, link.functionIds.at(function.hash), functions[i]);
    }
  }
  auto assignments = message.initAssignments(batch.tasks.size());
  auto& joined = core.workers.at(worker);
  // Neighbours mostly share theirs.
  const core::Function* function = nullptr;
  uint32_t id = 0;
  SpaceId client;
  bool inlineResult = !core.sharesMemory(client, joined);
  for (auto i : kj::indices(batch.tasks)) {
    auto& task = *batch.tasks[i];
    if (task.function != function) id = link.functionIds.at(task.function->hash);
    function = task.function;
    if (task.id.space != client) inlineResult = !core.sharesMemory(task.id.space, joined);
    client = task.id.space;
    writeAssignment(task, id, inlineResult, assignments[i]);
  }
  size_t bytes = batch.words * sizeof(capnp::word);
  link.bytesInFlight += bytes;
  tasks.add(request.send().then(
      [this, worker, bytes](auto&&) {
        auto found = links.find(worker);
        if (found == links.end()) return;
        found->second->bytesInFlight -= bytes;
        write(worker, *found->second);
      },
      [this, worker](kj::Exception&& error) { onCallFailed(worker, kj::mv(error)); }));
}

template <typename NewRequest>
void WorkerLinks::sendNames(WorkerId worker, kj::ArrayPtr<const AttemptName> names, NewRequest&& newRequest) {
  while (names.size() > 0) {
    auto count = std::min<size_t>(names.size(), BATCH_TASKS_MAX);
    auto request = newRequest();
    auto list = request.initAttempts(count);
    for (size_t i = 0; i < count; i++) {
      writeTaskId(names[i].task, list[i].initTask());
      list[i].setAttempt(names[i].attempt.value);
    }
    tasks.add(
        request.send().then([](auto&&) {}, [this, worker](kj::Exception&& error) { onCallFailed(worker, kj::mv(error)); }));
    names = names.slice(count, names.size());
  }
}

void WorkerLinks::sendCancels(WorkerId worker, Link& link, schema::WorkerSink::Client& sink) {
  sendNames(worker, link.cancels, [&]() { return sink.cancelRequest(); });
  link.cancels.clear();
}

void WorkerLinks::sendRecalls(WorkerId worker, Link& link, schema::WorkerSink::Client& sink) {
  sendNames(worker, link.recalls, [&]() { return sink.recallRequest(); });
  link.recalls.clear();
}

void WorkerLinks::sendDiscards(WorkerId worker, Link& link, schema::WorkerSink::Client& sink) {
  sendNames(worker, link.discards, [&]() { return sink.discardRequest(); });
  link.discards.clear();
}

void WorkerLinks::onCallFailed(WorkerId worker, kj::Exception&& error) {
  if (error.getType() == kj::Exception::Type::DISCONNECTED) {
    lost(worker, "connection lost");
  } else {
    lost(worker, kj::str("it refused a call: ", messageOf(error)));
  }
}

void WorkerLinks::taskFailed(kj::Exception&& exception) { rt::log::error("a worker's link failed: ", exception); }

}  // namespace epochly::dispatch
