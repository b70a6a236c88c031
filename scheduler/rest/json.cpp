#include "rest/json.h"

#include <cmath>
#include <cstdio>
#include <ctime>

namespace epochly::rest {

json::value number(double value) {
  if (!std::isfinite(value)) return nullptr;
  return value;
}

json::value known(uint64_t value) {
  if (value == 0) return nullptr;
  return value;
}

json::value seconds(uint64_t nanoseconds) {
  if (nanoseconds == core::Timings::NONE) return nullptr;
  return static_cast<double>(nanoseconds) / 1e9;
}

json::value level(int number) {
  if (number < 0) return nullptr;
  return number;
}

json::object levelObject(Level level) { return {{"level", static_cast<int>(level)}, {"name", levelName(level).cStr()}}; }

json::string time(double unixSeconds) {
  auto whole = static_cast<time_t>(std::floor(unixSeconds));
  auto milliseconds = static_cast<int>((unixSeconds - std::floor(unixSeconds)) * 1000);
  tm parts;
  gmtime_r(&whole, &parts);
  char text[64];
  size_t length = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
  length += snprintf(text + length, sizeof(text) - length, ".%03dZ", milliseconds);
  return json::string(text, length);
}

json::object timings(const core::Timings& timings) {
  return {{"queue_seconds", seconds(timings.queue)},     {"transfer_seconds", seconds(timings.transfer)},
          {"compile_seconds", seconds(timings.compile)}, {"run_seconds", seconds(timings.run)},
          {"cpu_seconds", seconds(timings.cpu)},         {"wait_seconds", seconds(timings.wait)}};
}

}  // namespace epochly::rest
