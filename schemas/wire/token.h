// The shared secret that opens a scheduler beyond its own machine. Scheduler, worker and client read it from a file.
#pragma once

#include <kj/array.h>
#include <kj/string.h>

#include "wire/ids.h"

namespace epochly {

// 128 bits in hex: below that a token can be guessed by patience.
constexpr size_t TOKEN_BYTES_MIN = 32;
// A header line and a Hello carry it.
constexpr size_t TOKEN_BYTES_MAX = 1024;

class Token {
 public:
  // The text of `path` without white space around it. Throws INVALID_ARGUMENT, saying what to do, if it cannot be read, is
  // open to other users, or is shorter or longer than the bounds.
  static Token load(kj::StringPtr path);
  static Token of(kj::StringPtr text);  // the same checks but those of the file

  // Takes as long for any `offered` of one length: neither where they differ nor the secret's length shows in the time.
  bool matches(kj::ArrayPtr<const byte> offered) const;
  kj::ArrayPtr<const byte> bytes() const { return secret.asBytes(); }

 private:
  kj::String secret;
  explicit Token(kj::String secret) : secret(kj::mv(secret)) {}
};

}  // namespace epochly
