#include "dispatch/worker_session.h"

#include "dispatch/messages.h"
#include "rt/log.h"

namespace epochly::dispatch {

WorkerSession::~WorkerSession() noexcept(false) {
  KJ_IF_MAYBE(error, kj::runCatchingExceptions([this]() { links.lost(worker, hasLeft ? "left" : "connection lost"); })) {
    rt::log::error("the loss of worker ", worker.value, " could not be recorded: ", *error);
  }
}

kj::Promise<void> WorkerSession::results(ResultsContext context) {
  kj::Array<events::AttemptReport> reports;
  KJ_IF_MAYBE(error, kj::runCatchingExceptions([&]() { reports = readAttemptResults(context.getParams().getBatch()); })) {
    // Its results are lost to us, so its tasks must come back: only a loss does that.
    links.lost(worker, kj::str("its results cannot be read: ", messageOf(*error)));
    return kj::mv(*error);
  }
  context.releaseParams();
  links.results(worker, reports);
  return kj::READY_NOW;
}

kj::Promise<void> WorkerSession::heartbeat(HeartbeatContext context) {
  links.heartbeat(worker, readLoad(context.getParams().getLoad()));
  return kj::READY_NOW;
}

kj::Promise<void> WorkerSession::leave(LeaveContext context) {
  hasLeft = true;
  links.leave(worker);
  return kj::READY_NOW;
}

JoinedWorker joinWorker(WorkerLinks& links, schema::WorkerInfo::Reader info, schema::WorkerSink::Client sink,
                        WorkerLinks::Close close) {
  auto id = links.join(readWorkerInfo(info), kj::mv(sink), kj::mv(close));
  return {id, kj::heap<WorkerSession>(links, id)};
}

}  // namespace epochly::dispatch
