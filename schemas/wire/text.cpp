#include "wire/text.h"

namespace epochly {

kj::String cut(kj::StringPtr text, size_t bytesMax) {
  constexpr kj::StringPtr ELLIPSIS = "..."_kj;
  if (text.size() <= bytesMax) return kj::str(text);
  size_t end = bytesMax > ELLIPSIS.size() ? bytesMax - ELLIPSIS.size() : 0;
  while (end > 0 && (text[end] & 0xc0) == 0x80) end--;  // a continuation byte belongs to the character before
  return kj::str(text.slice(0, end), ELLIPSIS);
}

}  // namespace epochly
