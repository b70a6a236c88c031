#include "objects/renew.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

#include <kj/debug.h>

namespace epochly::objects {

namespace {

// Calls `each(from, to)` for parts of [0, size) that together are all of it, on several threads.
template <typename Each>
void inParts(size_t size, uint threads, const Each& each) {
  size_t count = std::max<size_t>(1, std::min<size_t>(std::min(threads, RENEWING_THREADS_MAX), size / BYTES_PER_THREAD));
  size_t part = (size / count + RENEWED_BYTES - 1) / RENEWED_BYTES * RENEWED_BYTES;
  std::vector<std::thread> others;
  size_t at = 0;
  while (others.size() + 1 < count && at + part < size) {
    try {
      others.emplace_back(each, at, at + part);
    } catch (const std::system_error&) {  // no more threads for this process: this one does it
      break;
    }
    at += part;
  }
  each(at, size);
  for (auto& other : others) other.join();
}

size_t renewPart(kj::byte* copy, const kj::byte* original, size_t size) {
  size_t copied = 0;
  for (size_t at = 0; at < size; at += RENEWED_BYTES) {
    size_t bytes = std::min(RENEWED_BYTES, size - at);
    if (memcmp(copy + at, original + at, bytes) == 0) continue;
    memcpy(copy + at, original + at, bytes);
    copied += bytes;
  }
  return copied;
}

}  // namespace

size_t renew(kj::ArrayPtr<kj::byte> copy, kj::ArrayPtr<const kj::byte> original, uint threads) {
  KJ_REQUIRE(copy.size() == original.size(), copy.size(), original.size());
  std::atomic<size_t> copied = 0;
  inParts(copy.size(), threads, [&copied, to = copy.begin(), from = original.begin()](size_t begin, size_t end) {
    copied += renewPart(to + begin, from + begin, end - begin);
  });
  return copied;
}

bool same(kj::ArrayPtr<const kj::byte> copy, kj::ArrayPtr<const kj::byte> original, uint threads) {
  KJ_REQUIRE(copy.size() == original.size(), copy.size(), original.size());
  std::atomic<bool> equal = true;
  inParts(copy.size(), threads, [&equal, left = copy.begin(), right = original.begin()](size_t begin, size_t end) {
    if (begin < end && memcmp(left + begin, right + begin, end - begin) != 0) equal = false;
  });
  return equal;
}

}  // namespace epochly::objects
