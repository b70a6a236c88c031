// Addresses as users write them: unix:PATH or tcp://HOST:PORT.
#pragma once

#include <cstdint>

#include <kj/common.h>
#include <kj/string.h>

namespace epochly::rt {

// Who can reach a listener there. Anything wider than this machine needs a token.
enum class Reach : uint8_t { UNIX_SOCKET, LOOPBACK, NETWORK };

struct Address {
  Reach reach;
  kj::String path;    // UNIX_SOCKET
  kj::String host;    // others; IPv6 without brackets
  uint16_t port = 0;  // others; 0 lets the system choose when listening

  kj::String toString() const;  // as users write it
  kj::String forKj() const;     // for kj::Network::parseAddress
};

// None: not an address; say "unix:PATH or tcp://HOST:PORT" to the user. A host name other than localhost counts as NETWORK.
kj::Maybe<Address> parseAddress(kj::StringPtr text);
// HOST:PORT, [IPV6]:PORT or :PORT (loopback), as --http takes it.
kj::Maybe<Address> parseHostPort(kj::StringPtr text);

}  // namespace epochly::rt
