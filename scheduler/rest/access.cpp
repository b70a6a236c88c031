#include "rest/access.h"

#include <algorithm>
#include <cctype>

#include <boost/asio/ip/address.hpp>

namespace epochly::rest {

namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), [](unsigned char c) { return std::tolower(c); });
  return result;
}

bool isPort(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
}

// Of "name:port", "[v6]:port" and either without port; empty if it is none of them.
std::string hostOf(std::string_view authority) {
  if (authority.starts_with('[')) {
    auto end = authority.find(']');
    if (end == authority.npos) return {};
    auto rest = authority.substr(end + 1);
    bool isWell = rest.empty() || (rest.front() == ':' && isPort(rest.substr(1)));
    return isWell ? lower(authority.substr(1, end - 1)) : std::string();
  }
  auto colon = authority.find(':');
  if (colon == authority.npos) return lower(authority);
  return isPort(authority.substr(colon + 1)) ? lower(authority.substr(0, colon)) : std::string();
}

std::optional<boost::asio::ip::address> literal(const std::string& host) {
  boost::system::error_code error;
  auto address = boost::asio::ip::make_address(host, error);
  if (error) return std::nullopt;
  return address;
}

}  // namespace

Access::Access(const rt::Address& listen, std::vector<std::string> allowedHosts, kj::Maybe<const Token&> token)
    : token(token) {
  for (auto& host : allowedHosts) allowed.push_back(lower(host));
  allowed.push_back(lower(listen.host.cStr()));
  auto address = literal(listen.host.cStr());
  anyLiteral = address && address->is_unspecified();
}

bool Access::isAllowed(std::string_view authority) const {
  auto host = hostOf(authority);
  if (host.empty()) return false;
  if (host == "localhost" || std::find(allowed.begin(), allowed.end(), host) != allowed.end()) return true;
  auto address = literal(host);
  return address && (anyLiteral || address->is_loopback());
}

std::optional<Reply> Access::refuseName(const Caller& caller) const {
  if (!caller.host) return problem(ErrorCode::MALFORMED_REQUEST, "the request has no Host header");
  if (!isAllowed(*caller.host)) {
    return problem(
        ErrorCode::FORBIDDEN_HOST,
        "the Host header does not name this service; if it is reached by that name, start it with --http-allow-host");
  }
  if (!caller.origin) return std::nullopt;
  auto scheme = caller.origin->find("://");
  if (scheme == caller.origin->npos || !isAllowed(caller.origin->substr(scheme + 3))) {
    return problem(
        ErrorCode::FORBIDDEN_HOST,
        "the Origin header names another site; if it is one of yours, start the scheduler with --http-allow-host");
  }
  return std::nullopt;
}

std::optional<Reply> Access::refuseToken(const Caller& caller) const {
  KJ_IF_MAYBE(expected, token) {
    constexpr std::string_view SCHEME = "bearer ";
    auto given = caller.authorization.value_or("");
    bool isBearer = lower(given.substr(0, SCHEME.size())) == SCHEME;
    auto offered = isBearer ? given.substr(SCHEME.size()) : std::string_view();
    if (expected->matches(kj::arrayPtr(offered.data(), offered.size()).asBytes())) return std::nullopt;
    auto reply = problem(ErrorCode::UNAUTHENTICATED, "send the scheduler's token: Authorization: Bearer TOKEN");
    reply.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"epochly\"");
    return reply;
  }
  return std::nullopt;
}

}  // namespace epochly::rest
