#include "objects/object.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kj/debug.h>
#include <kj/io.h>

#include "objects/name.h"
#include "wire/errors.h"

namespace epochly::objects {

namespace {

// Two of a process's names are equal once in 2^32; three in a row means that something else is wrong.
constexpr uint NAME_TRIES = 3;

class Unmapper : public kj::ArrayDisposer {
 public:
  static const Unmapper instance;

 protected:
  void disposeImpl(void* first, size_t, size_t count, size_t, void (*)(void*)) const override { munmap(first, count); }
};
const Unmapper Unmapper::instance;

[[noreturn]] void fail(ErrorCode code, kj::String message) { kj::throwFatalException(makeError(code, message)); }

uint32_t randomNumber() {
  uint32_t number;
  KJ_REQUIRE(getrandom(&number, sizeof(number), 0) == sizeof(number));
  return number;
}

kj::Array<kj::byte> map(int fd, uint64_t offset, size_t size, int protection, int flags) {
  void* memory = mmap(nullptr, size, protection, flags, fd, static_cast<off_t>(offset));
  if (memory == MAP_FAILED) {
    fail(ErrorCode::OVERLOADED, kj::str("cannot map ", size, " bytes of shared memory: ", strerror(errno)));
  }
  return kj::Array<kj::byte>(reinterpret_cast<kj::byte*>(memory), size, Unmapper::instance);
}

// An exclusive new name of this process, with `mark` in it if that is free.
kj::AutoCloseFd createNamed(kj::String& name, kj::Maybe<uint32_t> mark) {
  for (uint i = 0; i < NAME_TRIES; i++) {
    uint32_t number = randomNumber();
    if (i == 0)
      KJ_IF_MAYBE(wanted, mark) number = *wanted;
    name = Name{geteuid(), getpid(), number}.toString();
    int fd = shm_open(name.cStr(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) return kj::AutoCloseFd(fd);
    if (errno != EEXIST) break;
  }
  fail(ErrorCode::OVERLOADED, kj::str("cannot create a shared memory object: ", strerror(errno)));
}

[[noreturn]] void failFull(size_t size) {
  fail(ErrorCode::OVERLOADED, kj::str("shared memory (/dev/shm) has no room for ", size, " bytes more"));
}

void reserve(int fd, size_t size) {
  int error;
  do {
    error = posix_fallocate(fd, 0, static_cast<off_t>(size));
  } while (error == EINTR);
  if (error == ENOSPC || error == EFBIG || error == ENOMEM) failFull(size);
  KJ_REQUIRE(error == 0, "posix_fallocate", strerror(error), size);
}

void write(int fd, Part part) {
  size_t done = 0;
  while (done < part.bytes.size()) {
    ssize_t n = pwrite(fd, part.bytes.begin() + done, part.bytes.size() - done, static_cast<off_t>(part.offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == ENOSPC || errno == EFBIG || errno == ENOMEM)) failFull(part.bytes.size());
    KJ_REQUIRE(n > 0, "pwrite", strerror(errno), part.bytes.size());
    done += static_cast<size_t>(n);
  }
}

void requireName(kj::StringPtr name) {
  if (parseName(name) == nullptr) {
    fail(ErrorCode::INVALID_ARGUMENT, kj::str("'", name, "' is not the name of a shared memory object"));
  }
}

kj::AutoCloseFd openNamed(kj::StringPtr name) {
  requireName(name);
  int fd = shm_open(name.cStr(), O_RDONLY | O_CLOEXEC, 0);
  if (fd >= 0) return kj::AutoCloseFd(fd);
  if (errno == ENOENT) fail(ErrorCode::NOT_FOUND, kj::str("shared memory object ", name, " is gone"));
  if (errno == EACCES || errno == ELOOP) {
    fail(ErrorCode::INVALID_ARGUMENT, kj::str("shared memory object ", name, " belongs to another user"));
  }
  fail(ErrorCode::OVERLOADED, kj::str("cannot open shared memory object ", name, ": ", strerror(errno)));
}

void requireRange(int fd, kj::StringPtr name, uint64_t offset, uint64_t size) {
  struct stat info;
  KJ_SYSCALL(fstat(fd, &info));
  if (!S_ISREG(info.st_mode) || info.st_uid != geteuid()) {
    fail(ErrorCode::INVALID_ARGUMENT, kj::str("shared memory object ", name, " belongs to another user"));
  }
  uint64_t real = static_cast<uint64_t>(info.st_size);
  if (offset > real || size > real - offset) {
    fail(ErrorCode::INVALID_ARGUMENT, kj::str("bytes ", offset, " to ", offset, "+", size,
                                              " are outside shared memory object ", name, " of ", real, " bytes"));
  }
}

}  // namespace

size_t Layout::add(size_t bytes) {
  size_t offset = (end + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  end = offset + bytes;
  return offset;
}

Object Object::create(size_t size, kj::Maybe<uint32_t> mark) {
  KJ_REQUIRE(size > 0, "an empty buffer needs no shared memory");
  kj::String name;
  auto fd = createNamed(name, mark);
  KJ_ON_SCOPE_FAILURE(shm_unlink(name.cStr()));
  reserve(fd, size);
  auto memory = map(fd, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED);
  return Object(kj::mv(name), kj::mv(memory));
}

Object Object::createFrom(size_t size, kj::ArrayPtr<const Part> parts) {
  KJ_REQUIRE(size > 0, "an empty buffer needs no shared memory");
  kj::String name;
  auto fd = createNamed(name, nullptr);
  KJ_ON_SCOPE_FAILURE(shm_unlink(name.cStr()));
  if (ftruncate(fd, static_cast<off_t>(size)) != 0) failFull(size);
  for (auto& part : parts) write(fd, part);
  auto memory = map(fd, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED);
  return Object(kj::mv(name), kj::mv(memory));
}

void Object::unlink() { objects::unlink(name_); }

View View::open(kj::StringPtr name, uint64_t offset, uint64_t size, Access access) {
  auto fd = openNamed(name);
  requireRange(fd, name, offset, size);
  if (size == 0) return View(nullptr, nullptr);
  const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  uint64_t lead = offset % page;
  auto pages = access == Access::READ_ONLY ? map(fd, offset - lead, lead + size, PROT_READ, MAP_SHARED)
                                           : map(fd, offset - lead, lead + size, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  auto range = pages.slice(lead, lead + size);
  return View(kj::mv(pages), range);
}

bool unlink(kj::StringPtr name) {
  requireName(name);
  if (shm_unlink(name.cStr()) == 0) return true;
  if (errno == ENOENT) return false;
  fail(ErrorCode::INVALID_ARGUMENT, kj::str("cannot unlink shared memory object ", name, ": ", strerror(errno)));
}

}  // namespace epochly::objects
