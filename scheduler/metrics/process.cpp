#include "metrics/process.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <sys/resource.h>
#include <unistd.h>

namespace epochly::metrics {

namespace {

std::optional<uint64_t> readResidentBytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t size, resident;
  if (!(file >> size >> resident)) return std::nullopt;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

std::optional<double> readCpuSeconds() {
  rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) != 0) return std::nullopt;
  auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::optional<uint64_t> countOpenFds() {
  std::error_code error;
  uint64_t count = 0;
  for (std::filesystem::directory_iterator it("/proc/self/fd", error), end; !error && it != end; it.increment(error))
    count++;
  if (error || count == 0) return std::nullopt;
  return count - 1;  // the one that lists them
}

std::optional<double> readBootTime() {
  std::ifstream file("/proc/stat");
  for (std::string word; file >> word;) {
    double seconds;
    if (word == "btime" && file >> seconds) return seconds;
  }
  return std::nullopt;
}

std::optional<double> readStartTime() {
  std::ifstream file("/proc/self/stat");
  std::string line;
  auto boot = readBootTime();
  if (!boot || !std::getline(file, line)) return std::nullopt;
  // The name in parentheses may hold anything; the start time is the 20th field after it.
  std::istringstream fields(line.substr(std::min(line.size(), line.rfind(')') + 1)));
  std::string skipped;
  for (int i = 0; i < 19; i++) fields >> skipped;
  double ticks;
  if (!(fields >> ticks)) return std::nullopt;
  return *boot + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

Process Process::look() { return {readResidentBytes(), readCpuSeconds(), countOpenFds(), readStartTime()}; }

}  // namespace epochly::metrics
