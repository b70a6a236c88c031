// The table of flags: what each is called, says and sets. parse() and --help are made from it.
#pragma once

#include <kj/function.h>

#include "config/options.h"

namespace epochly::config {

struct Flag {
  kj::StringPtr name;   // without dashes
  kj::StringPtr value;  // "N", "HOST:PORT"; what the help shows for it
  kj::StringPtr help;
  kj::StringPtr variable;  // of the environment, empty if there is none
  bool isList;             // each occurrence adds; the variable's value is split at commas
  // What is wrong with the value, none if it was taken.
  kj::ConstFunction<kj::Maybe<kj::String>(Options& options, kj::StringPtr text)> set;
  kj::ConstFunction<kj::String(const Options& options)> show;  // the default, for the help
};

struct FlagGroup {
  kj::StringPtr title;
  kj::Array<Flag> flags;
};

kj::Array<FlagGroup> flagGroups();

// Numbers as users write them; none if `text` is not one.
kj::Maybe<uint64_t> parseCount(kj::StringPtr text);
kj::Maybe<uint64_t> parseBytes(kj::StringPtr text);  // 64, 64KiB, 64MiB, 64GiB
kj::Maybe<double> parseFigure(kj::StringPtr text);   // finite and not negative

}  // namespace epochly::config
