// Brings a copy of memory up to date.
#pragma once

#include <sys/types.h>

#include <kj/common.h>

namespace epochly::objects {

// Of this many bytes, the whole is copied when any of them differ.
constexpr size_t RENEWED_BYTES = 64 << 10;
// A thread more for so many bytes: starting one takes as long as comparing some 0.5 MB.
constexpr size_t BYTES_PER_THREAD = 4 << 20;
// More threads do not read memory any faster.
constexpr uint RENEWING_THREADS_MAX = 4;

// Makes `copy` equal to `original` and returns how many bytes it has copied for that. Reading is several times cheaper than
// copying into new memory, and exact, which a checksum is not. Uses up to `threads` threads, this one included. Same sizes.
size_t renew(kj::ArrayPtr<kj::byte> copy, kj::ArrayPtr<const kj::byte> original, uint threads);

// Whether they are equal, in the same way.
bool same(kj::ArrayPtr<const kj::byte> copy, kj::ArrayPtr<const kj::byte> original, uint threads);

}  // namespace epochly::objects
