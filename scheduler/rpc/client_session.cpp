#include "rpc/client_session.h"

#include <algorithm>

#include <capnp/message.h>

#include "rpc/messages.h"
#include "rt/log.h"
#include "wire/task_spec.h"

namespace epochly::rpc {

ClientSession::ClientSession(Services& services, kj::Own<Peer> peer, ClientLinks::Attachment attachment)
    : services(services), peer(kj::mv(peer)), attachment(attachment) {}

ClientSession::~ClientSession() noexcept(false) {
  KJ_IF_MAYBE(error, kj::runCatchingExceptions([this]() {
                for (auto& [id, hash] : functionsById) services.events.releaseFunction(hash);
                services.clients.detach(attachment);
              })) {
    rt::log::error("the loss of client ", peer->name, " could not be recorded: ", *error);
  }
}

// ---- submitting ----------------------------------------------------------------------------------------------------

kj::Promise<void> ClientSession::submit(SubmitContext context) {
  services.figures.calls++;
  auto batch = context.getParams().getBatch();
  checkSubmission(batch);
  for (auto function : batch.getFunctions()) registerFunction(function);
  for (auto told : batch.getWorkloads()) {
    services.events.onWorkload(functionOf(told.getFunction()), core::Workload::read(told.getWorkload()));
  }
  auto tasks = readTasks(batch);
  context.releaseParams();
  auto receipt = services.events.onSubmit(attachment.space, tasks, services.clock.now());
  // From here on the tasks are ours, whether the client stays to hear it or not. Nobody waits for the receipt as they wait for the
  // worker: it is written behind what goes there.
  return services.committed().then([]() { return kj::evalLast([]() {}); }).then([this, context, receipt]() mutable {
    auto answer = context.getResults().initReceipt();
    answer.setAccepted(receipt.accepted);
    KJ_IF_MAYBE(delay, receipt.retryAfter) {
      answer.setRetryAfterMs(*delay / kj::MILLISECONDS);
    }
    answer.setSharedMemory(sharesMemory(services.core, peer->hostId()));
  });
}

void ClientSession::registerFunction(schema::Function::Reader function) {
  auto told = readFunction(function);
  auto hash = told.hash;
  auto known = functionsById.find(function.getId());
  if (known != functionsById.end() && known->second == hash) return;
  if (known == functionsById.end() && functionsById.size() >= services.core.limits.functionsMax) {
    kj::throwFatalException(makeError(
        ErrorCode::OVERLOADED, kj::str("this connection has named ", functionsById.size(), " functions: use an id again")));
  }
  services.events.onFunction(kj::mv(told));
  if (known != functionsById.end()) services.events.releaseFunction(known->second);
  functionsById[function.getId()] = hash;
}

FunctionHash ClientSession::functionOf(uint32_t id) const {
  auto found = functionsById.find(id);
  if (found != functionsById.end()) return found->second;
  kj::throwFatalException(makeError(ErrorCode::INVALID_ARGUMENT,
                                    kj::str("function ", id, " was not sent on this connection before it was named")));
}

kj::Array<events::NewTask> ClientSession::readTasks(schema::Submission::Reader batch) const {
  auto list = batch.getTasks();
  auto tasks = kj::heapArrayBuilder<events::NewTask>(list.size());
  for (auto task : list) tasks.add(readTask(task, functionOf(task.getFunction())));
  return tasks.finish();
}

kj::Promise<void> ClientSession::cancel(CancelContext context) {
  services.figures.calls++;
  auto list = context.getParams().getSeqs();
  auto seqs = kj::heapArrayBuilder<uint64_t>(list.size());
  for (auto seq : list) seqs.add(seq);
  services.events.onCancel(attachment.space, seqs.finish(), services.clock.now());
  return kj::READY_NOW;
}

kj::Promise<void> ClientSession::close(CloseContext context) {
  services.figures.calls++;
  services.clients.forget(attachment);
  return kj::READY_NOW;
}

// ---- asking --------------------------------------------------------------------------------------------------------

namespace {

// Lists that do not fit one message are paged by REST.
void checkAnswer(size_t words, kj::StringPtr what) {
  if (words * sizeof(capnp::word) <= MESSAGE_BYTES_MAX) return;
  kj::throwFatalException(makeError(
      ErrorCode::PAYLOAD_TOO_LARGE,
      kj::str("the list of ", what, " is over ", MESSAGE_BYTES_MAX, " bytes: read it in pages from /api/v1/", what)));
}

kj::String explainEnded(const core::Epitaph& epitaph) {
  auto level = static_cast<uint>(epitaph.levelRan);
  auto attempt = epitaph.attempt.value;
  switch (epitaph.outcome) {
    case core::Outcome::SUCCEEDED: return kj::str("It succeeded at level ", level, " in attempt ", attempt, ".");
    case core::Outcome::FAILED: return kj::str("It failed (", errorRow(epitaph.error).name, ") in attempt ", attempt, ".");
    case core::Outcome::CANCELLED: return kj::str("It was cancelled.");
  }
  KJ_UNREACHABLE;
}

}  // namespace

kj::Promise<void> ClientSession::workers(WorkersContext context) {
  services.figures.calls++;
  auto& core = services.core;
  size_t words = 0;
  for (auto& [id, worker] : core.workers) words += wordsOf(worker);
  checkAnswer(words, "workers");
  auto list = context.getResults(capnp::MessageSize{words + 16, 0}).initWorkers(core.workers.size());
  auto now = services.clock.now();
  uint i = 0;
  for (auto& [id, worker] : core.workers) writeWorker(worker, core.limits, now, list[i++]);
  return kj::READY_NOW;
}

kj::Promise<void> ClientSession::functions(FunctionsContext context) {
  services.figures.calls++;
  auto& core = services.core;
  kj::Vector<const core::Function*> sorted(core.functions.size());
  for (auto& [hash, function] : core.functions) sorted.add(&function);
  std::sort(sorted.begin(), sorted.end(),
            [](auto a, auto b) { return std::tie(a->name, a->hash) < std::tie(b->name, b->hash); });
  // Name, reason with its figures, and the struct: 1 KiB at most.
  checkAnswer(sorted.size() * 128, "functions");
  auto list = context.getResults().initFunctions(sorted.size());
  bool gpuOffered = core.offered(Level::GPU);
  for (auto i : kj::indices(sorted)) writeFunctionStatus(*sorted[i], gpuOffered, services.thresholds, list[i]);
  return kj::READY_NOW;
}

kj::Promise<void> ClientSession::explain(ExplainContext context) {
  services.figures.calls++;
  auto& core = services.core;
  TaskId id{attachment.space, context.getParams().getSeq()};
  auto live = core.tasks.find(id);
  if (live != core.tasks.end()) {
    context.getResults().setText(route::explain(live->second, core, core.limits, services.clock.now()));
    return kj::READY_NOW;
  }
  auto ended = core.endedById.find(id);
  if (ended == core.endedById.end()) {
    kj::throwFatalException(makeError(
        ErrorCode::NOT_FOUND, kj::str("task ", toString(id), " is not known: it was never submitted, or ended long ago")));
  }
  context.getResults().setText(explainEnded(*ended->second));
  return kj::READY_NOW;
}

kj::Promise<void> ClientSession::totals(TotalsContext context) {
  services.figures.calls++;
  writeTotals(services.core, context.getResults().initTotals());
  return kj::READY_NOW;
}

}  // namespace epochly::rpc
