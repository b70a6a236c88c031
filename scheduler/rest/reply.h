// What a handler gives back: an answer, or a question to the core whose answer is rendered on this side.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "events/events.h"
#include "wire/errors.h"

namespace epochly::rest {

struct Reply {
  unsigned status = 200;
  std::string contentType = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  // beyond the usual ones
};

// RFC 9457: application/problem+json with the error table's title, name and status. `detail` is a sentence for the caller.
Reply problem(ErrorCode code, std::string_view detail);
// The same for what HTTP itself refuses; its statuses are not in the error table.
Reply httpProblem(unsigned status, std::string_view title, std::string_view detail);
// 503 with Retry-After.
Reply unavailable(std::string_view detail);

// The core as one event sees it, on the scheduler's loop.
struct Moment {
  const core::Core& core;
  const classify::Thresholds& thresholds;
  kj::TimePoint now;   // the core's clock
  double unixSeconds;  // the same moment for people
};

// Renders what a question brought along; runs on the REST thread.
using Render = std::function<Reply()>;
// Copies what it needs out of the core; runs on the scheduler's loop, so it takes microseconds and keeps no reference.
using Question = std::function<Render(const Moment&)>;

using Outcome = std::variant<Reply, Question>;

}  // namespace epochly::rest
