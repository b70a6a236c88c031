// Python values to payloads and back: pickle 5 with out-of-band buffers, large ones in shared memory.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <vector>

#include "common.capnp.h"
#include "wire/payload.h"

namespace epochly::ext {

namespace nb = nanobind;

// Which processes will load it.
enum class Reader : uint8_t {
  WORKER,  // has another __main__: what that name leads to travels by value
  CLIENT,
};

struct Encoded {
  Payload payload;
  // Set if `payload` has shared memory: its name lives until this is destroyed by the process that made it, or release()d.
  std::shared_ptr<class SharedName> sharedName;
};

// The name of a shared memory object that this process created. Thread-safe to destroy; a forked child does not unlink.
class SharedName {
 public:
  explicit SharedName(kj::String name);
  ~SharedName() noexcept;
  KJ_DISALLOW_COPY(SharedName);
  // Somebody else unlinks it.
  void release() { released = true; }

 private:
  kj::String name;
  const uint64_t generation;
  bool released = false;
};

// Pickles `value`. shared: buffers of SHARED_BUFFER_BYTES_MIN and more, and a stream of that size, go to one shared memory object.
// `mark`: the number in that object's name (objects::Object::create). Throws nb::python_error with what the pickler raised, or
// PayloadTooLarge. Needs the GIL.
Encoded encode(nb::handle value, Reader reader, bool shared, kj::Maybe<uint32_t> mark = nullptr);

// Times that shared memory was full and a payload travelled inside its message instead.
uint64_t sharedMemoryFullCount();

// Unpickles. `buffers` are objects with the buffer protocol, in the pickler's order.
nb::object decode(kj::ArrayPtr<const byte> stream, const std::vector<nb::object>& buffers);
// The same of a message: inline buffers are copied out, shared ones mapped (copy on write).
nb::object decode(schema::Payload::Reader payload);
nb::object decode(Payload payload);

// A writable object with the buffer protocol over memory that `owner` keeps.
nb::object memoryBuffer(std::shared_ptr<void> owner, kj::ArrayPtr<byte> bytes);
nb::object memoryBuffer(kj::Array<byte> bytes);

void bindCodec(nb::module_& m);

}  // namespace epochly::ext
