// Who may ask: by which name they came, and with which token.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rest/reply.h"
#include "rt/address.h"
#include "wire/token.h"

namespace epochly::rest {

// What of a request decides on access. Views into the request.
struct Caller {
  std::optional<std::string_view> host, origin, authorization;
};

// Immutable; used on the REST thread.
class Access {
 public:
  // `token`: none, or outlives this.
  Access(const rt::Address& listen, std::vector<std::string> allowedHosts, kj::Maybe<const Token&> token);

  // A page in a browser can reach loopback under a name of its own (DNS rebinding). So the Host header, and the Origin header
  // if there is one, must name this service: a loopback name, the address we listen on, or a name that was allowed. None: it may.
  std::optional<Reply> refuseName(const Caller& caller) const;
  // "Authorization: Bearer TOKEN", if a token is needed.
  std::optional<Reply> refuseToken(const Caller& caller) const;

 private:
  std::vector<std::string> allowed;  // lower case
  bool anyLiteral;                   // listening on every address: which one a caller used is as good as any
  kj::Maybe<const Token&> token;

  bool isAllowed(std::string_view authority) const;
};

}  // namespace epochly::rest
