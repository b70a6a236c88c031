#include "wire/text.h"

namespace epochly {

namespace {

bool isContinuation(char c) { return (c & 0xc0) == 0x80; }

// Bytes of the UTF-8 character that starts at text[i], 0 if none does.
size_t characterAt(kj::ArrayPtr<const char> text, size_t i) {
  auto first = static_cast<unsigned char>(text[i]);
  if (first < 0x80) return 1;
  size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || i + length > text.size()) return 0;
  for (size_t k = 1; k < length; k++) {
    if (!isContinuation(text[i + k])) return 0;
  }
  auto second = static_cast<unsigned char>(text[i + 1]);
  bool isOverlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  bool isSurrogate = first == 0xed && second >= 0xa0;
  bool isBeyond = first == 0xf4 && second >= 0x90;
  return isOverlong || isSurrogate || isBeyond ? 0 : length;
}

void replaceInvalid(kj::ArrayPtr<char> text) {
  for (size_t i = 0; i < text.size();) {
    size_t length = characterAt(text, i);
    if (length == 0) text[i] = '?';
    i += length == 0 ? 1 : length;
  }
}

}  // namespace

kj::String cut(kj::StringPtr text, size_t bytesMax) {
  constexpr kj::StringPtr ELLIPSIS = "..."_kj;
  kj::String result;
  if (text.size() <= bytesMax) {
    result = kj::str(text);
  } else {
    size_t end = bytesMax > ELLIPSIS.size() ? bytesMax - ELLIPSIS.size() : 0;
    while (end > 0 && isContinuation(text[end])) end--;
    result = kj::str(text.slice(0, end), ELLIPSIS);
  }
  replaceInvalid(kj::arrayPtr(result.begin(), result.size()));
  return result;
}

}  // namespace epochly
