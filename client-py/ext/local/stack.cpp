#include "ext/local/stack.h"

#include <pthread.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>

namespace epochly::ext {

namespace {

// Linux maps nothing in so many bytes below the top of the first thread's stack (mmap_base()): within them, the limit alone counts.
constexpr rlim_t STACK_GAP_BYTES = rlim_t(128) << 20;

uintptr_t roundUp(uintptr_t value, uintptr_t to) { return (value + to - 1) / to * to; }

}  // namespace

// The kernel writes the program's path at the top of the stack, with eight bytes of zeros above it.
uintptr_t mainStackBottom() {
  auto path = getauxval(AT_EXECFN);
  rlimit limit;
  if (path == 0 || getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur > STACK_GAP_BYTES) return STACK_UNKNOWN;
  auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  auto top = roundUp(path + std::strlen(reinterpret_cast<const char*>(path)) + 1 + sizeof(uint64_t), page);
  auto bottom = roundUp(top - limit.rlim_cur, page);
  auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  return bottom < here && here < top ? bottom : STACK_UNKNOWN;
}

uintptr_t findStackBottom() {
  // What follows reads /proc/self/maps for the first thread, which takes half a millisecond once numpy is loaded.
  if (auto bottom = mainStackBottom(); bottom != STACK_UNKNOWN) return bottom;
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return STACK_UNKNOWN;
  void* bottom = nullptr;
  size_t size = 0;
  int failed = pthread_attr_getstack(&attributes, &bottom, &size);
  pthread_attr_destroy(&attributes);
  return failed != 0 || bottom == nullptr ? STACK_UNKNOWN : reinterpret_cast<uintptr_t>(bottom);
}

}  // namespace epochly::ext
