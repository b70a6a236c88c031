// What the kernel says of this process.
#pragma once

#include <cstdint>
#include <optional>

namespace epochly::metrics {

// Each is none if /proc does not tell.
struct Process {
  std::optional<uint64_t> residentBytes;
  std::optional<double> cpuSeconds;
  std::optional<uint64_t> openFds;
  std::optional<double> startTimeSeconds;  // since 1970

  static Process look();
};

}  // namespace epochly::metrics
