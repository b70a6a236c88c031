// Names of shared memory objects: "/epochly-<uid>-<8 hex digits of the creator's pid><8 hex digits of a number>".
#pragma once

#include <cstdint>

#include <sys/types.h>

#include <kj/common.h>
#include <kj/string.h>

namespace epochly::objects {

struct Name {
  uid_t uid;
  pid_t creator;
  uint32_t number;  // random, or what the creator tells it by

  kj::String toString() const;  // as for shm_open
};

// None: not such a name; in particular nothing with a second slash.
kj::Maybe<Name> parseName(kj::StringPtr text);

}  // namespace epochly::objects
