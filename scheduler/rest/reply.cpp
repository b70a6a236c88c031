#include "rest/reply.h"

#include <boost/json.hpp>

namespace epochly::rest {

namespace {

Reply problemReply(unsigned status, std::string_view type, std::string_view title, std::string_view detail) {
  boost::json::object body{{"type", type}, {"title", title}, {"status", status}, {"detail", detail}};
  return {status, "application/problem+json", boost::json::serialize(body) + "\n", {}};
}

}  // namespace

Reply problem(ErrorCode code, std::string_view detail) {
  auto& row = errorRow(code);
  return problemReply(row.httpStatus, std::string("urn:epochly:error:") + row.name, row.title, detail);
}

Reply httpProblem(unsigned status, std::string_view title, std::string_view detail) {
  return problemReply(status, "about:blank", title, detail);  // RFC 9457: "about:blank" means the status says it all
}

Reply unavailable(std::string_view detail) {
  auto reply = httpProblem(503, "Service Unavailable", detail);
  reply.headers.emplace_back("Retry-After", "1");
  return reply;
}

}  // namespace epochly::rest
