#include "run/ring.h"

#include <cstring>

#include <kj/debug.h>

#include "run/fd.h"

// The sleep protocol is Dekker's: each side stores its own word and then loads the other's, both sequentially consistent, so
// at least one of them sees the other. No fences, which ThreadSanitizer does not understand.

namespace epochly::run {

namespace {

constexpr size_t LENGTH_BYTES = sizeof(uint32_t);

// Sleeps that nobody has announced are none: only the side that takes the flag down signals.
void wakeIfSet(std::atomic<uint32_t>& flag, int fd) {
  if (flag.load() != 0 && flag.exchange(0) != 0) signalFd(fd);
}

}  // namespace

RingWriter::RingWriter(RingControl& control, kj::ArrayPtr<kj::byte> data, int readerFd)
    : control(control), data(data), readerFd(readerFd), position(control.written.load()) {
  KJ_REQUIRE(data.size() > 0 && (data.size() & (data.size() - 1)) == 0, data.size());
}

size_t RingWriter::room() const {
  uint64_t used = position - control.taken.load();
  return used <= data.size() ? data.size() - used : 0;  // more than fits: the reader's word is damaged; wait until it dies
}

size_t RingWriter::write(kj::ArrayPtr<const kj::byte> bytes) {
  size_t count = kj::min(bytes.size(), room());
  size_t begin = position & (data.size() - 1);
  size_t first = kj::min(count, data.size() - begin);
  if (count > 0) {
    memcpy(data.begin() + begin, bytes.begin(), first);
    memcpy(data.begin(), bytes.begin() + first, count - first);
  }
  position += count;
  return count;
}

void RingWriter::publish() { control.written.store(position); }

void RingWriter::wakeReader() { wakeIfSet(control.readerSleeps, readerFd); }

bool RingWriter::prepareToWait() {
  control.writerWaits.store(1);
  if (room() == 0) return true;
  control.writerWaits.store(0);
  return false;
}

RingReader::RingReader(RingControl& control, kj::ArrayPtr<kj::byte> data, int writerFd)
    : control(control), data(data), writerFd(writerFd), position(control.taken.load()) {
  KJ_REQUIRE(data.size() > 0 && (data.size() & (data.size() - 1)) == 0, data.size());
}

size_t RingReader::available() const {
  uint64_t count = control.written.load() - position;
  KJ_REQUIRE(count <= data.size(), "a ring's writer position is damaged", count);
  return count;
}

void RingReader::take(kj::ArrayPtr<kj::byte> to) {
  size_t begin = position & (data.size() - 1);
  size_t first = kj::min(to.size(), data.size() - begin);
  memcpy(to.begin(), data.begin() + begin, first);
  memcpy(to.begin() + first, data.begin(), to.size() - first);
  position += to.size();
}

void RingReader::giveBack() {
  if (control.taken.load(std::memory_order_relaxed) == position) return;
  control.taken.store(position);
  wakeIfSet(control.writerWaits, writerFd);
}

kj::Maybe<kj::Array<capnp::word>> RingReader::next() {
  KJ_DEFER(giveBack());
  size_t count = available();
  if (!inFrame) {
    if (count < LENGTH_BYTES) return nullptr;
    kj::byte raw[LENGTH_BYTES];
    take(raw);
    count -= LENGTH_BYTES;
    size_t length = raw[0] | raw[1] << 8 | raw[2] << 16 | static_cast<uint32_t>(raw[3]) << 24;
    KJ_REQUIRE(length > 0 && length <= FRAME_BYTES_MAX && length % sizeof(capnp::word) == 0,
               "a ring's frame length is damaged", length);
    frame = kj::heapArray<capnp::word>(length / sizeof(capnp::word));
    frameFilled = 0;
    inFrame = true;
  }
  size_t piece = kj::min(count, frame.asBytes().size() - frameFilled);
  if (piece > 0) take(frame.asBytes().slice(frameFilled, frameFilled + piece));
  frameFilled += piece;
  if (frameFilled < frame.asBytes().size()) return nullptr;
  inFrame = false;
  return kj::mv(frame);
}

bool RingReader::prepareToSleep() {
  control.readerSleeps.store(1);
  if (control.written.load() == position) return true;
  control.readerSleeps.store(0);
  return false;
}

}  // namespace epochly::run
