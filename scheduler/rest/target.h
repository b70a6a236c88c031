// A request's target, taken apart.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace epochly::rest {

struct Target {
  std::string path;                          // percent-decoded
  std::map<std::string, std::string> query;  // decoded; of a repeated name the last counts
};

// None if it is not an origin-form target ("/path?query") or its percent-encoding is broken.
std::optional<Target> parseTarget(std::string_view text);

}  // namespace epochly::rest
