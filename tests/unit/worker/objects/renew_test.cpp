#include "objects/renew.h"

#include <vector>

#include <gtest/gtest.h>

namespace epochly::objects {
namespace {

using Bytes = std::vector<kj::byte>;

kj::ArrayPtr<kj::byte> of(Bytes& bytes) { return kj::arrayPtr(bytes.data(), bytes.size()); }

Bytes numbers(size_t size) {
  Bytes made(size);
  for (size_t i = 0; i < size; i++) made[i] = static_cast<kj::byte>(i * 131 + (i >> 9));
  return made;
}

// Sizes at the edges of a block, of a thread's part, and past what all threads take.
class Renew : public testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(Sizes, Renew,
                         testing::Values(0, 1, RENEWED_BYTES - 1, RENEWED_BYTES, RENEWED_BYTES + 1, 2 * BYTES_PER_THREAD - 1,
                                         2 * BYTES_PER_THREAD, 3 * BYTES_PER_THREAD + 5,
                                         (RENEWING_THREADS_MAX + 2) * BYTES_PER_THREAD + 77));

TEST_P(Renew, MakesTheCopyEqualAndCopiesOnlyBlocksThatDiffer) {
  auto original = numbers(GetParam());
  for (uint threads : {1u, 2u, 64u}) {
    auto copy = original;
    EXPECT_EQ(renew(of(copy), of(original), threads), 0u);
    for (size_t at : {size_t(0), original.size() / 2, original.size() - 1}) {
      if (at >= original.size()) continue;
      original[at] ^= 1;
      EXPECT_FALSE(same(of(copy), of(original), threads)) << at;
      EXPECT_LE(renew(of(copy), of(original), threads), RENEWED_BYTES) << at;
      EXPECT_EQ(copy, original) << at;
    }
    EXPECT_TRUE(same(of(copy), of(original), threads));
  }
}

TEST(Renew, OfACopyThatHasNothingRightCopiesAllOfIt) {
  auto original = numbers(2 * BYTES_PER_THREAD + 12345);
  Bytes copy(original.size());
  for (size_t i = 0; i < copy.size(); i++) copy[i] = original[i] ^ 0xff;
  EXPECT_EQ(renew(of(copy), of(original), 2), original.size());
  EXPECT_EQ(copy, original);
}

}  // namespace
}  // namespace epochly::objects
