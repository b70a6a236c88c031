#include "rest/target.h"

#include <charconv>

namespace epochly::rest {

namespace {

std::optional<std::string> decode(std::string_view text, bool plusIsSpace) {
  std::string result;
  for (size_t i = 0; i < text.size(); i++) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      unsigned value = 0;
      auto [rest, error] = std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16);
      if (error != std::errc() || rest != text.data() + i + 3) return std::nullopt;
      result.push_back(static_cast<char>(value));
      i += 2;
    } else {
      result.push_back(plusIsSpace && c == '+' ? ' ' : c);
    }
  }
  return result;
}

bool parseQuery(std::string_view text, std::map<std::string, std::string>& query) {
  while (!text.empty()) {
    auto pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), pair.size() + 1));
    if (pair.empty()) continue;
    auto equals = pair.find('=');
    auto name = decode(pair.substr(0, equals), true);
    auto value = decode(equals == pair.npos ? std::string_view() : pair.substr(equals + 1), true);
    if (!name || !value) return false;
    query[*name] = *value;
  }
  return true;
}

}  // namespace

std::optional<Target> parseTarget(std::string_view text) {
  if (!text.starts_with('/')) return std::nullopt;
  auto question = text.find('?');
  auto path = decode(text.substr(0, question), false);
  Target target;
  if (!path || (question != text.npos && !parseQuery(text.substr(question + 1), target.query))) return std::nullopt;
  target.path = std::move(*path);
  return target;
}

}  // namespace epochly::rest
