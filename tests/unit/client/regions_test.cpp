#include "ext/client_regions.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "objects/object.h"
#include "wire/errors.h"

namespace epochly::client {
namespace {

constexpr size_t BYTES = 64u << 10;

// A result as an executor leaves it: a name and its contents.
SharedBuffer resultOf(byte content) {
  auto object = objects::Object::create(BYTES);
  for (auto& b : object.bytes()) b = content;
  SharedBuffer result;
  result.name = kj::str(object.name());
  result.size = BYTES;
  return result;
}

std::shared_ptr<Region> arrived(SharedMemoryOpener& opener, const SharedBuffer& result) {
  auto region = opener.open(result);
  opener.unlink(result);
  return region;
}

bool hasName(const SharedBuffer& result) {
  int fd = shm_open(result.name.cStr(), O_RDONLY, 0);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

uint mappingsOfResults() {
  std::ifstream maps("/proc/self/maps");
  uint found = 0;
  for (std::string line; std::getline(maps, line);) found += line.find("/epochly-") != std::string::npos;
  return found;
}

TEST(SharedMemoryOpener, AResultOutlivesItsName) {
  SharedMemoryOpener opener;
  auto result = resultOf(7);
  auto region = arrived(opener, result);
  EXPECT_FALSE(hasName(result));
  EXPECT_EQ(region->bytes().size(), BYTES);
  EXPECT_EQ(region->bytes()[BYTES - 1], 7);
  region->bytes()[0] = 1;  // it is the reader's own
}

TEST(SharedMemoryOpener, MemoryIsFreedWithTheLastReader) {
  SharedMemoryOpener opener;
  auto region = arrived(opener, resultOf(7));
  auto second = region;
  region.reset();
  EXPECT_EQ(mappingsOfResults(), 1u);
  EXPECT_EQ(SharedMemoryOpener::mapped(), 1u);
  second.reset();
  EXPECT_EQ(mappingsOfResults(), 0u);
  EXPECT_EQ(SharedMemoryOpener::mapped(), 0u);
}

TEST(SharedMemoryOpener, PastTheBoundResultsAreCopiedAndMappedAgainBelowIt) {
  SharedMemoryOpener opener(2);
  std::vector<std::shared_ptr<Region>> held;
  std::vector<SharedBuffer> results;
  for (byte i = 0; i < 5; i++) {
    results.push_back(resultOf(i));
    held.push_back(arrived(opener, results.back()));
  }
  EXPECT_EQ(mappingsOfResults(), 2u);
  EXPECT_EQ(SharedMemoryOpener::mapped(), 2u);
  for (byte i = 0; i < 5; i++) {
    EXPECT_EQ(held[i]->bytes()[BYTES / 2], i);
    held[i]->bytes()[0] = 9;
    EXPECT_FALSE(hasName(results[i]));
  }
  held[0].reset();
  held[1].reset();
  held.push_back(arrived(opener, resultOf(6)));
  EXPECT_EQ(mappingsOfResults(), 1u);
}

TEST(SharedMemoryOpener, AResultThatIsGoneIsSaidToBe) {
  SharedMemoryOpener opener;
  auto result = resultOf(7);
  opener.unlink(result);
  auto problem = kj::runCatchingExceptions([&]() { opener.open(result); });
  KJ_IF_MAYBE(e, problem) {
    EXPECT_EQ(codeOf(*e), ErrorCode::NOT_FOUND);
  } else {
    ADD_FAILURE() << "it was opened";
  }
}

}  // namespace
}  // namespace epochly::client
