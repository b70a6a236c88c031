// Large pickle-5 buffers in POSIX shared memory: on one host they travel by name and are never copied.
//
// Who unlinks: a task's arguments the client, when the task has ended; a result the client, as soon as it has mapped it
// (mappings outlive the name), or the worker daemon when it learns that no client will (run/result_objects.h). What a dead creator
// left otherwise is swept by the worker daemon (objects/sweep.h).
//
// Errors are kj exceptions with a code of schemas/wire/errors.h: OVERLOADED when shared memory is full, NOT_FOUND when the object
// is gone, INVALID_ARGUMENT for a name, a range or an owner that cannot be right.
#pragma once

#include <sys/types.h>

#include <kj/array.h>
#include <kj/string.h>

#include "wire/ids.h"

namespace epochly::objects {

// Buffers within one object start at multiples of this: a cache line, and what SIMD code asks of numpy arrays.
constexpr size_t ALIGNMENT = 64;

// Places several buffers in one object: add() each, create an object of bytes(), fill them in.
class Layout {
 public:
  // The new buffer's offset.
  size_t add(size_t bytes);
  size_t bytes() const { return end; }

 private:
  size_t end = 0;
};

// What goes into a new object, and where.
struct Part {
  size_t offset;
  kj::ArrayPtr<const kj::byte> bytes;
};

// A new object, mapped for writing. Unmapped by the destructor; the name stays until somebody unlinks it.
class Object {
 public:
  // Zero-filled, with all its memory reserved, so that a full /dev/shm is this call's error and not a later SIGBUS.
  // Mode 0600. size > 0. `mark`: the number in its name, so that somebody else can find it; unless an object of this process has it.
  static Object create(size_t size, kj::Maybe<uint32_t> mark = nullptr);
  // The same with `parts` in it, that together leave no page of it out: written in one pass, none is zeroed before.
  static Object createFrom(size_t size, kj::ArrayPtr<const Part> parts);
  Object(Object&&) = default;
  Object& operator=(Object&&) = default;

  kj::StringPtr name() const { return name_; }
  kj::ArrayPtr<kj::byte> bytes() { return memory; }
  void unlink();

 private:
  kj::String name_;
  kj::Array<kj::byte> memory;  // unmaps itself

  Object(kj::String name, kj::Array<kj::byte> memory) : name_(kj::mv(name)), memory(kj::mv(memory)) {}
};

enum class Access : uint8_t {
  READ_ONLY,
  PRIVATE,  // writable; what is written is this process's own copy, page by page
};

// A range of somebody's object, mapped until the View is destroyed, whether or not the name still exists.
class View {
 public:
  // The range must lie within the object as it is now, and the object must belong to this process's user. size 0 maps nothing.
  static View open(kj::StringPtr name, uint64_t offset, uint64_t size, Access access);
  View(View&&) = default;
  View& operator=(View&&) = default;

  // Writing through it faults unless the access is PRIVATE.
  kj::ArrayPtr<kj::byte> bytes() { return range; }

 private:
  kj::Array<kj::byte> pages;  // unmaps itself
  kj::ArrayPtr<kj::byte> range;

  View(kj::Array<kj::byte> pages, kj::ArrayPtr<kj::byte> range) : pages(kj::mv(pages)), range(range) {}
};

// False if it was gone already. Throws INVALID_ARGUMENT for a name that is not an object's.
bool unlink(kj::StringPtr name);

}  // namespace epochly::objects
