#include "run/channel.h"

#include <charconv>
#include <new>

#include <sys/mman.h>
#include <sys/stat.h>

#include <kj/debug.h>

#include "run/fd.h"

namespace epochly::run {

namespace {

class Unmapper : public kj::ArrayDisposer {
 public:
  static const Unmapper instance;

 protected:
  void disposeImpl(void* first, size_t, size_t count, size_t, void (*)(void*)) const override { munmap(first, count); }
};
const Unmapper Unmapper::instance;

kj::Array<kj::byte> map(int fd) {
  void* memory = mmap(nullptr, sizeof(ChannelLayout), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) KJ_FAIL_SYSCALL("mmap", errno);
  return kj::Array<kj::byte>(reinterpret_cast<kj::byte*>(memory), sizeof(ChannelLayout), Unmapper::instance);
}

}  // namespace

Channel Channel::create() {
  auto file = newMemoryFile("epochly-channel", sizeof(ChannelLayout));
  auto memory = map(file);
  auto layout =
      new (memory.begin()) ChannelLayout;  // not value-initialised: the file is zeroes, and untouched costs nothing
  layout->magic = ChannelLayout::MAGIC;
  layout->bytes = sizeof(ChannelLayout);
  return Channel(kj::mv(file), kj::mv(memory));
}

Channel Channel::open(kj::AutoCloseFd file) {
  struct stat info;
  KJ_SYSCALL(fstat(file, &info));
  KJ_REQUIRE(static_cast<size_t>(info.st_size) == sizeof(ChannelLayout), "not a channel of this release of Epochly",
             info.st_size);
  auto memory = map(file);
  KJ_SYSCALL(madvise(memory.begin(), memory.size(), MADV_DONTFORK));
  auto& layout = *reinterpret_cast<ChannelLayout*>(memory.begin());
  KJ_REQUIRE(layout.magic == ChannelLayout::MAGIC && layout.bytes == sizeof(ChannelLayout),
             "not a channel of this release of Epochly");
  return Channel(kj::mv(file), kj::mv(memory));
}

kj::String ExecutorFds::toString() const {
  return kj::str(channel, ',', daemonWake, ',', dataWake, ',', roomWake, ',', lifeLine, ',', stderrLater);
}

kj::Maybe<ExecutorFds> ExecutorFds::parse(kj::StringPtr text) {
  ExecutorFds fds{};
  int* fields[] = {&fds.channel, &fds.daemonWake, &fds.dataWake, &fds.roomWake, &fds.lifeLine, &fds.stderrLater};
  const char* at = text.begin();
  for (int** field = std::begin(fields); field != std::end(fields); field++) {
    auto [rest, error] = std::from_chars(at, text.end(), **field);
    bool last = field + 1 == std::end(fields);
    if (error != std::errc() || **field < 0 || (last ? rest != text.end() : *rest != ',')) return nullptr;
    at = rest + 1;
  }
  return fds;
}

}  // namespace epochly::run
