// Short lines for people, on stderr: "2026-11-23T09:00:44.123Z info  worker joined: box-1 (unix socket)".
#pragma once

#include <cstdint>

#include <kj/debug.h>
#include <kj/exception.h>

namespace epochly::rt {

enum class LogLevel : uint8_t { DEBUG, INFO, WARNING, ERROR };

// "debug", "info", "warning" or "warn", "error", in any case; none for another word. DEBUG shows no more than INFO does yet.
kj::Maybe<LogLevel> parseLogLevel(kj::StringPtr text);
// For the whole process. Before threads are started.
void setLogLevel(LogLevel level);

namespace log {
// Whatever libraries and KJ_LOG say goes the same way.
void write(kj::LogSeverity severity, kj::StringPtr text);

template <typename... Params>
void info(Params&&... params) {
  if (kj::_::Debug::shouldLog(kj::LogSeverity::INFO)) write(kj::LogSeverity::INFO, kj::str(kj::fwd<Params>(params)...));
}
template <typename... Params>
void warning(Params&&... params) {
  if (kj::_::Debug::shouldLog(kj::LogSeverity::WARNING)) write(kj::LogSeverity::WARNING, kj::str(kj::fwd<Params>(params)...));
}
template <typename... Params>
void error(Params&&... params) {
  if (kj::_::Debug::shouldLog(kj::LogSeverity::ERROR)) write(kj::LogSeverity::ERROR, kj::str(kj::fwd<Params>(params)...));
}
}  // namespace log

// While it lives, what this thread logs through KJ_LOG becomes such lines too. On the stack, first thing in a thread.
class LogLines final : public kj::ExceptionCallback {
 public:
  void logMessage(kj::LogSeverity severity, const char* file, int line, int contextDepth, kj::String&& text) override;
  StackTraceMode stackTraceMode() override { return StackTraceMode::ADDRESS_ONLY; }  // never runs addr2line in a server
};

}  // namespace epochly::rt
