#include "objects/object.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "objects/name.h"
#include "wire/errors.h"

namespace epochly::objects {
namespace {

struct Unlinked {  // an object that does not outlive its test
  Object object;
  explicit Unlinked(size_t size) : object(Object::create(size)) {}
  explicit Unlinked(Object made) : object(kj::mv(made)) {}
  ~Unlinked() { object.unlink(); }
};

template <typename Fn>
ErrorCode codeThrown(Fn&& fn) {
  try {
    fn();
    return ErrorCode::NONE;
  } catch (const kj::Exception& e) {
    return codeOf(e);
  }
}

TEST(Object, CarriesBytesFromItsCreatorToAnotherProcess) {
  Unlinked made(100'000);
  std::fill(made.object.bytes().begin(), made.object.bytes().end(), 0x5a);
  pid_t child = fork();
  if (child == 0) {
    auto view = View::open(made.object.name(), 0, 100'000, Access::READ_ONLY);
    _exit(std::all_of(view.bytes().begin(), view.bytes().end(), [](kj::byte b) { return b == 0x5a; }) ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(Object, IsNamedByItsMarkIfThatIsFree) {
  Object first = Object::create(1, 0xfeedu), second = Object::create(1, 0xfeedu);
  KJ_DEFER(first.unlink(); second.unlink());
  EXPECT_EQ(first.name(), (Name{geteuid(), getpid(), 0xfeed}).toString());
  EXPECT_NE(second.name(), first.name());
}

TEST(Object, IsPrivateToItsUserAndNamedAfterItsCreator) {
  Unlinked made(1);
  KJ_IF_MAYBE(name, parseName(made.object.name())) {
    EXPECT_EQ(name->uid, geteuid());
    EXPECT_EQ(name->creator, getpid());
  } else {
    FAIL() << made.object.name().cStr();
  }
  struct stat info;
  ASSERT_EQ(stat(kj::str("/dev/shm", made.object.name()).cStr(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

TEST(Object, ThatDoesNotFitIsAnErrorAndLeavesNothingBehind) {
  struct statvfs shm;
  ASSERT_EQ(statvfs("/dev/shm", &shm), 0);
  if (shm.f_blocks == 0) GTEST_SKIP() << "this /dev/shm has no limit";
  size_t tooMuch = shm.f_frsize * shm.f_blocks + (1 << 20);
  EXPECT_EQ(codeThrown([&] { Object::create(tooMuch); }), ErrorCode::OVERLOADED);
  struct statvfs after;
  ASSERT_EQ(statvfs("/dev/shm", &after), 0);
  EXPECT_EQ(after.f_files - after.f_ffree, shm.f_files - shm.f_ffree) << "an inode stayed";
}

TEST(Object, MadeFromPartsHasThemWhereTheyBelongAndIsWritable) {
  Layout layout;
  std::vector<kj::byte> first(70'000, 1), second(100, 2);
  const Part parts[] = {{layout.add(first.size()), kj::arrayPtr(first.data(), first.size())},
                        {layout.add(second.size()), kj::arrayPtr(second.data(), second.size())}};
  Unlinked made(Object::createFrom(layout.bytes(), parts));
  auto view = View::open(made.object.name(), 0, layout.bytes(), Access::READ_ONLY);
  for (auto& part : parts) EXPECT_EQ(view.bytes().slice(part.offset, part.offset + part.bytes.size()), part.bytes);
  made.object.bytes()[0] = 9;
  EXPECT_EQ(view.bytes()[0], 9);
}

// Named ones that this process made.
size_t ownObjects() {
  size_t count = 0;
  for (auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    KJ_IF_MAYBE(name, parseName(kj::str("/", entry.path().filename().c_str()))) count += name->creator == getpid();
  }
  return count;
}

TEST(Object, MadeFromPartsThatDoNotFitIsAnErrorAndLeavesNothingBehind) {
  // A file that may not be larger than this has no room for more, as a full /dev/shm has not.
  struct rlimit limit, small;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  small = {1 << 20, limit.rlim_max};
  auto ignored = signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  std::vector<kj::byte> bytes(2 << 20, 1);
  const Part parts[] = {{0, kj::arrayPtr(bytes.data(), bytes.size())}};
  EXPECT_EQ(codeThrown([&] { Object::createFrom(bytes.size(), parts); }), ErrorCode::OVERLOADED);
  setrlimit(RLIMIT_FSIZE, &limit);
  signal(SIGXFSZ, ignored);
  EXPECT_EQ(ownObjects(), 0u);
}

TEST(Object, HoldsManyBuffersAtAlignedOffsets) {
  Layout layout;
  size_t a = layout.add(100), b = layout.add(64), c = layout.add(1);
  EXPECT_EQ(a, 0u);
  EXPECT_EQ(b, 128u);
  EXPECT_EQ(c, 192u);
  EXPECT_EQ(layout.bytes(), 193u);
  Unlinked made(layout.bytes());
  made.object.bytes()[c] = 7;
  EXPECT_EQ(View::open(made.object.name(), c, 1, Access::READ_ONLY).bytes()[0], 7);
}

TEST(View, OfARangeThatDoesNotBeginAtAPageIsExactlyThatRange) {
  Unlinked made(3 * 4096);
  for (size_t i = 0; i < made.object.bytes().size(); i++) made.object.bytes()[i] = static_cast<kj::byte>(i / 64);
  auto view = View::open(made.object.name(), 4096 + 64, 5000, Access::READ_ONLY);
  ASSERT_EQ(view.bytes().size(), 5000u);
  for (size_t i = 0; i < 5000; i++) ASSERT_EQ(view.bytes()[i], static_cast<kj::byte>((4096 + 64 + i) / 64));
}

TEST(View, OutlivesTheName) {
  auto object = Object::create(4096);
  object.bytes()[5] = 1;
  auto view = View::open(object.name(), 0, 4096, Access::READ_ONLY);
  EXPECT_TRUE(unlink(object.name()));
  EXPECT_EQ(view.bytes()[5], 1);
  EXPECT_EQ(codeThrown([&] { View::open(object.name(), 0, 1, Access::READ_ONLY); }), ErrorCode::NOT_FOUND);
  EXPECT_FALSE(unlink(object.name())) << "gone already";
}

TEST(View, ThatIsPrivateChangesNobodyElsesBytes) {
  Unlinked made(4096);
  made.object.bytes()[0] = 1;
  auto view = View::open(made.object.name(), 0, 4096, Access::PRIVATE);
  view.bytes()[0] = 2;
  EXPECT_EQ(made.object.bytes()[0], 1);
}

TEST(View, PastTheObjectsEndIsAnErrorAndNotABusError) {
  Unlinked made(4096);
  auto open = [&](uint64_t offset, uint64_t size) {
    return codeThrown([&] { View::open(made.object.name(), offset, size, Access::READ_ONLY); });
  };
  EXPECT_EQ(open(0, 4096), ErrorCode::NONE);
  EXPECT_EQ(open(4096, 0), ErrorCode::NONE);
  EXPECT_EQ(open(0, 4097), ErrorCode::INVALID_ARGUMENT);
  EXPECT_EQ(open(4000, 97), ErrorCode::INVALID_ARGUMENT);
  EXPECT_EQ(open(~0ull, 2), ErrorCode::INVALID_ARGUMENT) << "their sum wraps";
  EXPECT_EQ(open(64, ~0ull - 32), ErrorCode::INVALID_ARGUMENT) << "their sum wraps";
}

TEST(View, OfATruncatedObjectIsAnError) {
  Unlinked made(8192);
  int fd = shm_open(made.object.name().cStr(), O_RDWR, 0);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(ftruncate(fd, 100), 0);
  close(fd);
  EXPECT_EQ(codeThrown([&] { View::open(made.object.name(), 0, 8192, Access::READ_ONLY); }), ErrorCode::INVALID_ARGUMENT);
}

TEST(View, OfAnythingButAnObjectsNameIsRefused) {
  for (auto name : {"", "/etc/passwd", "/../etc/passwd", "/epochly-0-../../../etc/passwd", "/sem.other"}) {
    EXPECT_EQ(codeThrown([&] { View::open(name, 0, 1, Access::READ_ONLY); }), ErrorCode::INVALID_ARGUMENT) << name;
    EXPECT_EQ(codeThrown([&] { unlink(name); }), ErrorCode::INVALID_ARGUMENT) << name;
  }
}

TEST(View, OfAnotherUsersObjectIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can make an object that belongs to another user";
  Unlinked made(4096);
  auto path = kj::str("/dev/shm", made.object.name());
  ASSERT_EQ(chown(path.cStr(), 12345, 12345), 0);
  EXPECT_EQ(codeThrown([&] { View::open(made.object.name(), 0, 1, Access::READ_ONLY); }), ErrorCode::INVALID_ARGUMENT);
}

TEST(View, OfASymbolicLinkIsRefused) {
  auto name = Name{geteuid(), getpid(), 0x1234}.toString();
  auto path = kj::str("/dev/shm", name);
  ASSERT_EQ(symlink("/etc/passwd", path.cStr()), 0);
  KJ_DEFER(::unlink(path.cStr()));
  EXPECT_EQ(codeThrown([&] { View::open(name, 0, 1, Access::READ_ONLY); }), ErrorCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace epochly::objects
