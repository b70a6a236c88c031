// The scheduler's side of one client's connection.
#pragma once

#include <unordered_map>

#include "rpc/client_links.h"
#include "rpc/peer.h"
#include "rpc/services.h"

namespace epochly::rpc {

// Lives on the scheduler's kj loop, owned by the connection: its end is the client's loss.
class ClientSession final : public schema::ClientSession::Server {
 public:
  ClientSession(Services& services, kj::Own<Peer> peer, ClientLinks::Attachment attachment);
  ~ClientSession() noexcept(false);

 protected:
  kj::Promise<void> submit(SubmitContext context) override;
  kj::Promise<void> cancel(CancelContext context) override;
  kj::Promise<void> workers(WorkersContext context) override;
  kj::Promise<void> functions(FunctionsContext context) override;
  kj::Promise<void> explain(ExplainContext context) override;
  kj::Promise<void> close(CloseContext context) override;
  kj::Promise<void> totals(TotalsContext context) override;

 private:
  Services& services;
  kj::Own<Peer> peer;
  const ClientLinks::Attachment attachment;
  // What the client's function ids mean. Each hash is pinned in the core once per id that names it.
  std::unordered_map<uint32_t, FunctionHash> functionsById;

  void registerFunction(schema::Function::Reader function);
  FunctionHash functionOf(uint32_t id) const;  // throws INVALID_ARGUMENT
  kj::Array<events::NewTask> readTasks(schema::Submission::Reader batch) const;
};

}  // namespace epochly::rpc
