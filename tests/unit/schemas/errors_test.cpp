#include "wire/errors.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

namespace epochly {
namespace {

TEST(Errors, EveryRowIsItsOwnAndSaysSomething) {
  std::set<std::string> names, classes;
  for (uint i = 1; i < ERROR_CODE_COUNT; i++) {
    auto& row = errorRowAt(i);
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_TRUE(classes.insert(row.pythonClass).second) << row.pythonClass;
    EXPECT_NE(std::string(row.title), "");
    EXPECT_GE(row.httpStatus, 200u);
  }
}

TEST(Errors, ACodeSurvivesTheTripThroughAnRpcException) {
  for (uint i = 1; i < ERROR_CODE_COUNT; i++) {
    auto sent = makeError(errorRowAt(i).code, "queue [7] is full: try again");
    auto& row = errorRowAt(i);
    // What capnp makes of it on the calling side.
    kj::Exception received(row.type, "f", 1, kj::str("remote exception: ", sent.getDescription()));
    EXPECT_EQ(codeOf(received), row.code);
    EXPECT_STREQ(messageOf(received).cStr(), "queue [7] is full: try again");
  }
}

TEST(Errors, AForeignExceptionGetsACodeByItsType) {
  EXPECT_EQ(codeOf(kj::Exception(kj::Exception::Type::DISCONNECTED, "f", 1, kj::str("gone"))), ErrorCode::DISCONNECTED);
  EXPECT_EQ(codeOf(kj::Exception(kj::Exception::Type::OVERLOADED, "f", 1, kj::str("full"))), ErrorCode::OVERLOADED);
  EXPECT_EQ(codeOf(kj::Exception(kj::Exception::Type::FAILED, "f", 1, kj::str("[unheard_of] x"))), ErrorCode::INTERNAL);
}

TEST(Errors, AnUnknownNumberReadsAsInternal) {
  EXPECT_EQ(errorRow(static_cast<ErrorCode>(60000)).code, ErrorCode::INTERNAL);
}

}  // namespace
}  // namespace epochly
