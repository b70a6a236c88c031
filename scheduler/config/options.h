// What epochly-scheduler is told on its command line and in its environment.
#pragma once

#include <sys/types.h>

#include <kj/function.h>
#include <kj/one-of.h>
#include <kj/string.h>
#include <kj/vector.h>

#include "classify/classify.h"
#include "core/core.h"
#include "rt/address.h"
#include "rt/command_line.h"
#include "rt/log.h"

namespace epochly::config {

struct Options {
  kj::Vector<rt::Address> listen;  // at least one after parse()
  kj::Maybe<rt::Address> http;     // none: REST is off
  kj::Vector<kj::String> httpAllowHosts;
  kj::Maybe<kj::String> tokenFile;
  kj::Maybe<pid_t> parentPid;  // exit when it is gone
  kj::Duration drain = 30 * kj::SECONDS;
  rt::LogLevel logLevel = rt::LogLevel::INFO;
  core::Limits limits;
  classify::Thresholds thresholds;
};

using rt::Answer;
using rt::Mistake;

// The value of an environment variable, none if it is not set. For tests to be independent of the real one.
using Environment = kj::Function<kj::Maybe<kj::StringPtr>(kj::StringPtr name)>;

// `args` without the program's name. A flag wins over its variable (--tasks-max over EPOCHLY_TASKS_MAX), both over the default.
kj::OneOf<Options, Answer, Mistake> parse(kj::ArrayPtr<const kj::StringPtr> args, Environment& environment);

}  // namespace epochly::config
