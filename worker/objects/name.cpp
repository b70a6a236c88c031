#include "objects/name.h"

#include <charconv>
#include <cstdio>
#include <cstring>

namespace epochly::objects {

namespace {

constexpr char PREFIX[] = "/epochly-";
constexpr size_t HEX_DIGITS = 8;

bool isLowerHex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

bool parseHex(const char* begin, uint32_t& value) {
  for (size_t i = 0; i < HEX_DIGITS; i++) {
    if (!isLowerHex(begin[i])) return false;
  }
  return std::from_chars(begin, begin + HEX_DIGITS, value, 16).ec == std::errc();
}

}  // namespace

kj::String Name::toString() const {
  char text[64];
  snprintf(text, sizeof(text), "%s%u-%08x%08x", PREFIX, uid, static_cast<uint32_t>(creator), number);
  return kj::heapString(text);
}

kj::Maybe<Name> parseName(kj::StringPtr text) {
  if (!text.startsWith(PREFIX)) return nullptr;
  auto begin = text.begin() + strlen(PREFIX);
  Name name;
  auto [rest, error] = std::from_chars(begin, text.end(), name.uid);
  if (error != std::errc() || text.end() - rest != 1 + 2 * HEX_DIGITS || *rest != '-') return nullptr;
  uint32_t creator;
  if (!parseHex(rest + 1, creator) || !parseHex(rest + 1 + HEX_DIGITS, name.number)) return nullptr;
  name.creator = static_cast<pid_t>(creator);
  if (name.creator <= 0 || name.toString() != text) return nullptr;  // one spelling only: no leading zeros in the uid
  return name;
}

}  // namespace epochly::objects
