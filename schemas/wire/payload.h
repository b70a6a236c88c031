// An owned pickled value, as the scheduler and the worker keep it between messages. Never unpickled in C++.
#pragma once

#include <kj/array.h>
#include <kj/one-of.h>

#include "common.capnp.h"
#include "wire/ids.h"

namespace epochly {

struct SharedBuffer {
  HostId host;
  kj::String name;
  uint64_t offset = 0;
  uint64_t size = 0;
};

struct Payload {
  using Buffer = kj::OneOf<kj::Array<byte>, SharedBuffer>;

  kj::Array<byte> pickle;
  kj::Array<Buffer> buffers;

  static Payload read(schema::Payload::Reader reader);
  void write(schema::Payload::Builder builder) const;
  Payload clone() const;

  // Bytes held here: what an inline payload costs in memory and on the wire. Shared buffers count by reference only.
  size_t inlineBytes() const;
  // What it takes in a message, in words, as write() makes it.
  size_t messageWords() const;
  // The host whose shared memory this refers to; none if everything is inline.
  kj::Maybe<HostId> sharedHost() const;
};

// Words that so many bytes take in a message as Data, and as Text that is left out when it is empty.
constexpr size_t wordsFor(size_t bytes) { return (bytes + sizeof(capnp::word) - 1) / sizeof(capnp::word); }
constexpr size_t textWords(size_t bytes) { return bytes == 0 ? 0 : wordsFor(bytes + 1); }

// The same sum without copying, for checks before anything is kept.
size_t inlineBytes(schema::Payload::Reader reader);

}  // namespace epochly
