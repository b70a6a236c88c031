// A byte ring in shared memory, one writer and one reader, each in a process of its own. It carries frames: a 32-bit
// little-endian length in bytes, then one unpacked Cap'n Proto message (schemas/worker.capnp).
//
// Both ends keep their own position privately and only publish it; what the other end publishes is checked before it is used,
// because user code in an executor can write to any memory it has mapped.
#pragma once

#include <atomic>

#include <capnp/common.h>
#include <kj/array.h>

#include "wire/task_spec.h"

namespace epochly::run {

// 1 MiB: a full batch (BATCH_BYTES_TARGET) goes through without the writer waiting for the reader, and it stays in the
// second-level cache's reach. Two of them cost an executor 2 MiB, touched only as far as they are used.
constexpr size_t RING_BYTES = 1u << 20;
// The largest frame; a longer one means that the writer's memory is damaged.
constexpr size_t FRAME_BYTES_MAX = MESSAGE_BYTES_MAX;

// The shared part. Positions count bytes since the beginning and never wrap in practice (2^64).
// Each line is written by one side, so that the two do not take a cache line from each other at every step.
struct RingControl {
  alignas(64) std::atomic<uint64_t> written{0};      // by the writer, after the bytes are in place
  std::atomic<uint32_t> writerWaits{0};              // set by the writer before it waits for space, cleared by who wakes it
  alignas(64) std::atomic<uint64_t> taken{0};        // by the reader, after the bytes are copied out
  // Set by the reader before it sleeps, cleared by who wakes it. Up at first: the reader looks when it is told to.
  std::atomic<uint32_t> readerSleeps{1};
};
static_assert(std::atomic<uint64_t>::is_always_lock_free, "positions are shared between processes");

// Lives on one thread at a time. Does not own the memory.
class RingWriter {
 public:
  // data.size() is a power of two. readerFd: eventfd that the reader polls.
  RingWriter(RingControl& control, kj::ArrayPtr<kj::byte> data, int readerFd);
  KJ_DISALLOW_COPY(RingWriter);

  // Copies as much as there is room for and returns how much that was. The reader sees none of it before publish().
  size_t write(kj::ArrayPtr<const kj::byte> bytes);
  void publish();
  // Signals the reader if it sleeps.
  void wakeReader();
  // Announces that the writer is about to wait for room. False: there is room, do not wait.
  bool prepareToWait();

 private:
  RingControl& control;
  kj::ArrayPtr<kj::byte> data;
  const int readerFd;
  uint64_t position = 0;   // written so far, published or not

  size_t room() const;
};

// Lives on one thread at a time. Does not own the memory.
class RingReader {
 public:
  // writerFd: eventfd that the writer polls while it waits for room.
  RingReader(RingControl& control, kj::ArrayPtr<kj::byte> data, int writerFd);
  KJ_DISALLOW_COPY(RingReader);

  // The next frame's message, copied out; none if it is not complete yet (what has come of it is kept and its room given back).
  // Throws if what the writer published cannot be frames.
  kj::Maybe<kj::Array<capnp::word>> next();
  // Announces that the reader is about to sleep. False: something was published meanwhile, do not sleep.
  bool prepareToSleep();

 private:
  RingControl& control;
  kj::ArrayPtr<kj::byte> data;
  const int writerFd;
  uint64_t position = 0;          // taken so far
  kj::Array<capnp::word> frame;   // being assembled
  size_t frameFilled = 0;         // bytes of it that have come
  bool inFrame = false;

  size_t available() const;
  void take(kj::ArrayPtr<kj::byte> to);
  void giveBack();
};

}  // namespace epochly::run
