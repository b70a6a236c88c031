#include "rpc/unix_socket.h"

#include <cstdlib>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "wire/errors.h"

namespace epochly::rpc {
namespace {

using testing::HasSubstr;

struct Directory {
  char path[40] = "/tmp/epochly-unix-XXXXXX";
  Directory() { EXPECT_NE(mkdtemp(path), nullptr); }
  ~Directory() {
    unlink(socket().c_str());
    rmdir(path);
  }
  std::string socket() const { return std::string(path) + "/s"; }
};

std::string refusal(const std::string& path) {
  KJ_IF_MAYBE(error, kj::runCatchingExceptions([&]() { UnixSocket::listen(path.c_str()); })) {
    EXPECT_EQ(codeOf(*error), ErrorCode::INVALID_ARGUMENT);
    return messageOf(*error).cStr();
  }
  return "";
}

bool exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

// What a scheduler that was killed leaves behind.
void leaveStale(const std::string& path) {
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  close(fd);
}

TEST(UnixSocket, IsItsOwnersAndGoesWithItsObject) {
  Directory directory;
  {
    auto socket = UnixSocket::listen(directory.socket().c_str());
    struct stat facts;
    ASSERT_EQ(stat(directory.socket().c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777, 0600u);
  }
  EXPECT_FALSE(exists(directory.socket()));
}

TEST(UnixSocket, AStaleOneIsReplaced) {
  Directory directory;
  leaveStale(directory.socket());
  EXPECT_EQ(refusal(directory.socket()), "");
}

TEST(UnixSocket, ALiveOneIsRefusedAndStays) {
  Directory directory;
  auto live = UnixSocket::listen(directory.socket().c_str());
  EXPECT_THAT(refusal(directory.socket()), HasSubstr("another process listens there"));
  EXPECT_TRUE(exists(directory.socket()));
}

TEST(UnixSocket, AnotherKindOfFileIsRefusedAndStays) {
  Directory directory;
  std::ofstream(directory.socket()) << "precious";
  EXPECT_THAT(refusal(directory.socket()), HasSubstr("is not a socket"));
  EXPECT_TRUE(exists(directory.socket()));
}

TEST(UnixSocket, ASuccessorsFileIsLeftAlone) {
  Directory directory;
  auto first = kj::heap(UnixSocket::listen(directory.socket().c_str()));
  unlink(directory.socket().c_str());
  auto second = UnixSocket::listen(directory.socket().c_str());
  first = nullptr;
  EXPECT_TRUE(exists(directory.socket()));
}

TEST(UnixSocket, APlaceThatDoesNotExistIsNamed) {
  EXPECT_THAT(refusal("/no/such/place/s"), HasSubstr("/no/such/place/s"));
  EXPECT_THAT(refusal(std::string(108, 'x')), HasSubstr("longer"));
}

}  // namespace
}  // namespace epochly::rpc
