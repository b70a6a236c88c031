#include "run/channel.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run/fd.h"

namespace epochly::run {
namespace {

TEST(Channel, IsOneMemorySeenThroughTwoMappings) {
  auto ours = Channel::create();
  auto theirs = Channel::open(kj::AutoCloseFd(dup(ours.fd())));
  ASSERT_NE(&ours.layout(), &theirs.layout());
  EXPECT_TRUE(theirs.layout().progress.begin(4));
  EXPECT_EQ(ours.layout().progress.last().end, 5u);
}

TEST(Channel, OfAnotherReleaseIsRefused) {
  EXPECT_ANY_THROW(Channel::open(newMemoryFile("short", 4096)));
  auto other = newMemoryFile("other", sizeof(ChannelLayout));
  EXPECT_ANY_THROW(Channel::open(kj::mv(other)));
}

TEST(Channel, CostsOnlyThePagesThatAreUsed) {
  auto channel = Channel::create();
  struct stat info;
  ASSERT_EQ(fstat(channel.fd(), &info), 0);
  EXPECT_LE(info.st_blocks * 512, 64 << 10) << "rings are not touched before they carry something";
}

TEST(ExecutorFds, ReadBackAsTheyWereWritten) {
  ExecutorFds fds{3, 4, 5, 6, 17, 123};
  EXPECT_STREQ(fds.toString().cStr(), "3,4,5,6,17,123");
  KJ_IF_MAYBE(read, ExecutorFds::parse(fds.toString())) {
    EXPECT_EQ(read->channel, 3);
    EXPECT_EQ(read->stderrLater, 123);
  } else {
    FAIL();
  }
}

TEST(ExecutorFds, ThatAreNotSixNumbersAreRefused) {
  for (auto text : {"", "3", "3,4,5,6,7", "3,4,5,6,7,8,9", "3,4,5,6,7,x", "3,4,-5,6,7,8", "3,4,5,6,7,8 ", ",,,,,"}) {
    EXPECT_TRUE(ExecutorFds::parse(text) == nullptr) << text;
  }
}

}  // namespace
}  // namespace epochly::run
