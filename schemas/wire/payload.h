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
  // The host whose shared memory this refers to; none if everything is inline.
  kj::Maybe<HostId> sharedHost() const;
};

// The same sum without copying, for checks before anything is kept.
size_t inlineBytes(schema::Payload::Reader reader);

}  // namespace epochly
