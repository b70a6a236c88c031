// The REST server: a thread of its own, which reaches the core only through the mailbox.
#pragma once

#include <memory>
#include <string>

#include "rest/connection.h"
#include "rt/address.h"

namespace epochly::rest {

struct ServerOptions {
  rt::Address listen;
  std::vector<std::string> allowedHosts;
  kj::Maybe<const Token&> token;  // outlives the server
  HttpBounds bounds;
};

// Made and destroyed on the scheduler's thread. Destroy it when the mailbox no longer runs, and before the mailbox.
class Server {
 public:
  // Listens at once; throws INVALID_ARGUMENT if the address cannot be had. `look` and `figures` are called on the scheduler's
  // loop, from the mailbox.
  Server(ServerOptions options, const rt::Mailbox& mailbox, std::function<Moment()> look, FigureSource figures);
  ~Server();

  // "http://127.0.0.1:8080", with the real port.
  std::string url() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl;
};

}  // namespace epochly::rest
