// What the worker counts of itself. The scheduler's page has the figures of tasks; these are of one machine's executors.
#pragma once

#include <string>

#include <kj/memory.h>
#include <kj/string.h>

#include "run/observer.h"

namespace epochly::metrics {

// Updated on the daemon's loop; read by the HTTP server's thread. Costs a few atomic additions per attempt.
class WorkerMetrics final : public run::Observer {
 public:
  WorkerMetrics();
  ~WorkerMetrics() noexcept;
  KJ_DISALLOW_COPY(WorkerMetrics);

  // Serves them at http://HOST:PORT/metrics until destroyed. Port 0 lets the system choose. Returns the port. Throws
  // INVALID_ARGUMENT if it cannot listen there. Call once.
  uint16_t expose(kj::StringPtr hostPort);
  std::string page() const;  // in Prometheus's text format

  // ---- told by main ----
  void setPython(kj::StringPtr version);  // "3.11"; once
  void setAttempts(size_t queued, size_t running);
  void setResidentBytes(uint64_t bytes);
  void onJoined();
  void onConnectionLost();
  void onSwept(uint objects, uint64_t bytes);

  // run::Observer
  void onExecutorStarted(run::Role role, bool replacement) override;
  void onExecutorReady(run::Role role) override;
  void onExecutorGone(run::Role role, bool wasReady) override;
  void onAttemptTaken(Level level) override;
  void onAttemptEnded(Level level, run::Outcome outcome) override;
  void onAttemptRan(Level level, kj::Duration run) override;
  void onAttemptsRecalled(uint count) override;
  void onAttemptsSuspected(uint count) override;
  void onResultDropped() override;

 private:
  struct Families;
  kj::Own<Families> families;
};

}  // namespace epochly::metrics
