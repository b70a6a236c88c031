// What epochly-worker is told on its command line and in its environment.
#pragma once

#include <sys/types.h>

#include <kj/function.h>
#include <kj/one-of.h>
#include <kj/string.h>

#include "rt/address.h"
#include "rt/command_line.h"
#include "rt/log.h"
#include "wire/ids.h"

namespace epochly::worker::config {

// More executors than this are a slip of the finger: each is a Python of 30 MB.
constexpr uint CPU_SLOTS_MAX = 4096;
constexpr uint IO_THREADS_DEFAULT = 256;
// Less, and Python itself does not start.
constexpr uint64_t EXECUTOR_MEMORY_MIN = 64ull << 20;
// Less, and Python itself does not start.
constexpr uint64_t EXECUTOR_OPEN_FILES_MIN = 64;

struct Options {
  kj::Maybe<rt::Address> scheduler;  // set after parse()
  kj::Maybe<kj::String> name;        // none: host:pid
  kj::String python = kj::str("python3");
  kj::Maybe<uint> cpuSlots;  // none: as many as there are cores
  uint ioThreads = IO_THREADS_DEFAULT;
  kj::Maybe<kj::String> tokenFile;
  kj::Maybe<rt::Address> metrics;      // none: not exposed
  kj::Maybe<uint64_t> executorMemory;  // bytes of address space of each
  kj::Maybe<uint64_t> executorOpenFiles;
  kj::Maybe<kj::String> executorUser;
  kj::Maybe<pid_t> parentPid;  // exit when it is gone
  rt::LogLevel logLevel = rt::LogLevel::INFO;
  kj::Maybe<kj::String> logFile;  // none: stderr
};

using rt::Answer;
using rt::Mistake;

// The value of an environment variable, none if it is not set.
using Environment = kj::Function<kj::Maybe<kj::StringPtr>(kj::StringPtr name)>;

// `args` without the program's name. A flag wins over its variable (EPOCHLY_ADDRESS, EPOCHLY_LOG), both over the default.
kj::OneOf<Options, Answer, Mistake> parse(kj::ArrayPtr<const kj::StringPtr> args, Environment& environment);

}  // namespace epochly::worker::config
