#include "rt/address.h"

#include <charconv>

namespace epochly::rt {

namespace {

constexpr kj::StringPtr UNIX_PREFIX = "unix:"_kj;
constexpr kj::StringPtr TCP_PREFIX = "tcp://"_kj;
// sockaddr_un.sun_path with its terminating zero.
constexpr size_t UNIX_PATH_BYTES_MAX = 107;

bool isLoopback(kj::StringPtr host) { return host == "localhost" || host == "::1" || host.startsWith("127."); }

kj::Maybe<uint16_t> parsePort(kj::StringPtr text) {
  uint16_t port = 0;
  auto [rest, error] = std::from_chars(text.begin(), text.end(), port);
  if (text.size() == 0 || error != std::errc() || rest != text.end()) return nullptr;
  return port;
}

}  // namespace

kj::String Address::toString() const {
  if (reach == Reach::UNIX_SOCKET) return kj::str(UNIX_PREFIX, path);
  return kj::str(TCP_PREFIX, forKj());
}

kj::String Address::forKj() const {
  if (reach == Reach::UNIX_SOCKET) return kj::str(UNIX_PREFIX, path);
  if (host.findFirst(':') != nullptr) return kj::str('[', host, "]:", port);
  return kj::str(host, ':', port);
}

kj::Maybe<Address> parseHostPort(kj::StringPtr text) {
  KJ_IF_MAYBE(colon, text.findLast(':')) {
    auto host = kj::str(text.slice(0, *colon));
    if (host.startsWith("[") && host.endsWith("]"))
      host = kj::str(host.slice(1, host.size() - 1));
    else if (host.findFirst(':') != nullptr)
      return nullptr;  // IPv6 without brackets: where the port starts is a guess
    if (host.size() == 0) host = kj::str("127.0.0.1");
    KJ_IF_MAYBE(port, parsePort(text.slice(*colon + 1))) {
      auto reach = isLoopback(host) ? Reach::LOOPBACK : Reach::NETWORK;
      return Address{reach, kj::String(), kj::mv(host), *port};
    }
  }
  return nullptr;
}

kj::Maybe<Address> parseAddress(kj::StringPtr text) {
  if (text.startsWith(UNIX_PREFIX)) {
    auto path = text.slice(UNIX_PREFIX.size());
    if (path.size() == 0 || path.size() > UNIX_PATH_BYTES_MAX) return nullptr;
    return Address{Reach::UNIX_SOCKET, kj::str(path), kj::String(), 0};
  }
  if (text.startsWith(TCP_PREFIX)) return parseHostPort(text.slice(TCP_PREFIX.size()));
  return nullptr;
}

}  // namespace epochly::rt
