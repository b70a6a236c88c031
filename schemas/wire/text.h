// Text that others wrote, made fit to keep and to print.
#pragma once

#include <kj/string.h>

namespace epochly {

// `text` as valid UTF-8 of at most `bytesMax` bytes: what is longer is cut between characters and ends in "..." within that
// bound; bytes that are no UTF-8 become "?". (Cap'n Proto does not check Text; JSON, Prometheus and Python do.)
kj::String cut(kj::StringPtr text, size_t bytesMax);

}  // namespace epochly
