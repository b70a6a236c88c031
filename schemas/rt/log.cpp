#include "rt/log.h"

#include <cstdio>
#include <ctime>

#include <strings.h>
#include <unistd.h>

namespace epochly::rt {

namespace {

kj::StringPtr wordFor(kj::LogSeverity severity) {
  switch (severity) {
    case kj::LogSeverity::INFO: return "info ";
    case kj::LogSeverity::WARNING: return "warn ";
    case kj::LogSeverity::ERROR: return "error";
    case kj::LogSeverity::FATAL: return "fatal";
    case kj::LogSeverity::DBG: return "debug";
  }
  return "?";
}

// Lines hold what peers told of themselves: none of it may start a line of its own or move the terminal's cursor.
void replaceControls(kj::ArrayPtr<char> line) {
  for (char& c : line) {
    auto u = static_cast<unsigned char>(c);
    if (u < ' ' || u == 0x7f) c = ' ';
  }
}

// KJ's own INFO is about its insides ("returning failure over rpc" at every hang-up): for DEBUG only.
bool libraryInfo = false;

kj::String timestamp() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts;
  gmtime_r(&now.tv_sec, &parts);
  char text[40];
  size_t length = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
  snprintf(text + length, sizeof(text) - length, ".%03ldZ", now.tv_nsec / 1'000'000);
  return kj::str(static_cast<const char*>(text));
}

}  // namespace

kj::Maybe<LogLevel> parseLogLevel(kj::StringPtr text) {
  auto is = [&](const char* word) { return strcasecmp(text.cStr(), word) == 0; };
  if (is("debug")) return LogLevel::DEBUG;
  if (is("info")) return LogLevel::INFO;
  if (is("warning") || is("warn")) return LogLevel::WARNING;
  if (is("error")) return LogLevel::ERROR;
  return nullptr;
}

void setLogLevel(LogLevel level) {
  libraryInfo = level == LogLevel::DEBUG;
  switch (level) {
    case LogLevel::DEBUG:
    case LogLevel::INFO: kj::_::Debug::setLogLevel(kj::LogSeverity::INFO); return;
    case LogLevel::WARNING: kj::_::Debug::setLogLevel(kj::LogSeverity::WARNING); return;
    case LogLevel::ERROR: kj::_::Debug::setLogLevel(kj::LogSeverity::ERROR); return;
  }
}

void log::write(kj::LogSeverity severity, kj::StringPtr text) {
  auto line = kj::str(timestamp(), ' ', wordFor(severity), ' ', text, '\n');
  replaceControls(kj::arrayPtr(line.begin(), line.size() - 1));
  // One write: lines of several threads and processes do not mix. A log that nobody takes is not worth an error.
  [[maybe_unused]] auto written = ::write(STDERR_FILENO, line.begin(), line.size());
}

void LogLines::logMessage(kj::LogSeverity severity, const char* file, int line, int contextDepth, kj::String&& text) {
  if (severity == kj::LogSeverity::INFO && !libraryInfo) return;
  log::write(severity, kj::str(text, " (", file, ':', line, ')'));
}

}  // namespace epochly::rt
