#include "ext/local/ready.h"

#include <charconv>

#include <fcntl.h>
#include <unistd.h>

namespace epochly::ext::ready {

namespace {

// "<on CPU ns> <ready ns> <timeslices>": three 64-bit numbers.
constexpr size_t LINE_BYTES_MAX = 64;

struct File {
  const int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
  ~File() {
    if (fd >= 0) close(fd);
  }
};

}  // namespace

std::optional<monitor::Nanos> now() {
  thread_local File file;
  char line[LINE_BYTES_MAX];
  ssize_t size = file.fd < 0 ? -1 : pread(file.fd, line, sizeof(line), 0);
  if (size <= 0) return std::nullopt;
  const char* end = line + size;
  monitor::Nanos onCpu, ready;
  auto first = std::from_chars(line, end, onCpu);
  if (first.ec != std::errc() || first.ptr == end) return std::nullopt;
  auto second = std::from_chars(first.ptr + 1, end, ready);
  return second.ec == std::errc() ? std::optional(ready) : std::nullopt;
}

}  // namespace epochly::ext::ready
