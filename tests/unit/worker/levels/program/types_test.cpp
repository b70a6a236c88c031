#include "levels/program/types.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "levels/program/decline.h"

namespace epochly::program {
namespace {

using ::testing::ElementsAre;

TEST(Types, JoinOfTwoKindsIsTheirUnionWhicheverComesFirst) {
  Types types;
  auto both = types.join(Types::INT, Types::FLOAT);
  EXPECT_EQ(both, types.join(Types::FLOAT, Types::INT));
  EXPECT_EQ(types.join(both, Types::INT), both);
  EXPECT_EQ(types.show(both), "int | float");
}

TEST(Types, NothingJoinedWithATypeIsThatType) {
  Types types;
  EXPECT_EQ(types.join(Types::NEVER, Types::BOOL), Types::BOOL);
}

TEST(Types, TuplesOfOneLengthJoinItemByItem) {
  Types types;
  auto joined = types.join(types.tuple({Types::INT, Types::FLOAT}), types.tuple({Types::FLOAT, Types::FLOAT}));
  EXPECT_EQ(types.show(joined), "tuple[int | float, float]");
  EXPECT_THAT(types.leaves(joined), ElementsAre(Prim::I, Prim::I, Prim::F));
}

TEST(Types, AUnionTakesATagAndTheWidestMember) {
  Types types;
  auto joined = types.join(types.tuple({Types::FLOAT, Types::FLOAT}), Types::NONE);
  EXPECT_THAT(types.leaves(joined), ElementsAre(Prim::I, Prim::I, Prim::I));
}

TEST(Types, JoinedListsShareOneSiteAndOneElementType) {
  Types types;
  auto a = types.site(1), b = types.site(2);
  types.widen(a, Types::INT);
  types.widen(b, Types::FLOAT);
  types.changed = false;
  auto joined = types.join(types.list(a), types.list(b));
  EXPECT_TRUE(types.changed);
  EXPECT_EQ(types.list(a), joined);
  EXPECT_EQ(types.list(b), joined);
  EXPECT_EQ(types.show(joined), "list[int | float]");
}

TEST(Types, AUnionHoldsAtMostFourMembers) {
  Types types;
  auto four = types.unionOf({Types::NONE, Types::BOOL, Types::INT, Types::FLOAT});
  EXPECT_EQ(types.members(four).size(), UNION_MEMBERS_MAX);
  EXPECT_THROW(types.join(four, Types::UNBOUND), Declined);
}

}  // namespace
}  // namespace epochly::program
