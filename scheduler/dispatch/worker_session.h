// The scheduler's side of one joined worker's connection.
#pragma once

#include "dispatch/worker_links.h"
#include "worker.capnp.h"

namespace epochly::dispatch {

// Lives on the scheduler's kj loop, owned by the connection: its end is the worker's loss.
class WorkerSession final : public schema::WorkerSession::Server {
 public:
  WorkerSession(WorkerLinks& links, WorkerId worker) : links(links), worker(worker) {}
  ~WorkerSession() noexcept(false);

 protected:
  kj::Promise<void> results(ResultsContext context) override;
  kj::Promise<void> heartbeat(HeartbeatContext context) override;
  kj::Promise<void> leave(LeaveContext context) override;

 private:
  WorkerLinks& links;
  const WorkerId worker;
  bool hasLeft = false;
};

struct JoinedWorker {
  WorkerId id;
  schema::WorkerSession::Client session;
};
// Takes a worker in. Throws INVALID_ARGUMENT for what it tells of itself, or what Events::onJoin throws.
JoinedWorker joinWorker(WorkerLinks& links, schema::WorkerInfo::Reader info, schema::WorkerSink::Client sink,
                        WorkerLinks::Close close);

}  // namespace epochly::dispatch
