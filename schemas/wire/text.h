// Text that others wrote, cut to the bounds of task_spec.h.
#pragma once

#include <kj/string.h>

namespace epochly {

// `text` if it has at most `bytesMax` bytes; else its beginning, cut between UTF-8 characters, and "..." within that bound.
kj::String cut(kj::StringPtr text, size_t bytesMax);

}  // namespace epochly
