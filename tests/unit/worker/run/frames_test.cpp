#include "run/frames.h"

#include <list>
#include <vector>

#include <capnp/serialize.h>
#include <gtest/gtest.h>

#include "run/ring.h"
#include "worker.capnp.h"

namespace epochly::run {
namespace {

// What an executor would receive.
struct Written {
  std::vector<std::vector<uint32_t>> functionIds;  // by frame
  std::vector<std::vector<uint64_t>> seqs;
  std::vector<uint32_t> functionOf;  // of each assignment
  std::vector<bool> inlineResults;   // of each assignment
  size_t bytesMax = 0;
};

struct Deliveries {
  Functions functions;
  std::list<Assignment> assignments;
  std::vector<Delivery> list;

  void add(uint64_t seq, uint32_t function, size_t bytes, bool withFunction, size_t codeBytes = 10,
           bool inlineResult = false) {
    if (functions.find(function) == nullptr) {
      capnp::MallocMessageBuilder message;
      auto definition = message.initRoot<schema::Function>();
      definition.setId(function);
      definition.setHashHigh(function);
      definition.initCode(codeBytes);
      functions.add(definition.asReader());
    }
    capnp::MallocMessageBuilder message;
    auto assignment = message.initRoot<schema::Assignment>();
    assignment.initTask().setSeq(seq);
    assignment.setFunction(function);
    assignment.initArguments().initPickle(bytes);
    assignment.setInlineResult(inlineResult);
    assignments.push_back(Assignment{
        {}, Level::MONITOR, 0, functions.find(function), Owned<schema::Assignment>(assignment.asReader()), Role::CPU});
    list.push_back({&assignments.back(), withFunction});
  }

  Written write() {
    Written written;
    writeFrames(kj::arrayPtr(list.data(), list.size()), [&](capnp::MessageBuilder& message) {
      auto words = capnp::messageToFlatArray(message);
      written.bytesMax = std::max(written.bytesMax, words.asBytes().size());
      capnp::FlatArrayMessageReader reader(words, capnp::ReaderOptions{TRAVERSAL_WORDS_MAX, 64});
      auto run = reader.getRoot<schema::ToExecutor>().getRun();
      written.functionIds.emplace_back();
      written.seqs.emplace_back();
      for (auto function : run.getFunctions()) written.functionIds.back().push_back(function.getId());
      for (auto assignment : run.getAssignments()) {
        written.seqs.back().push_back(assignment.getTask().getSeq());
        written.functionOf.push_back(assignment.getFunction());
        written.inlineResults.push_back(assignment.getInlineResult());
      }
    });
    return written;
  }
};

TEST(Frames, CarryFunctionsBeforeTheAssignmentsThatNeedThem) {
  Deliveries deliveries;
  deliveries.add(1, 11, 10, true);
  deliveries.add(2, 12, 10, false);
  deliveries.add(3, 11, 10, false);
  auto written = deliveries.write();
  ASSERT_EQ(written.seqs.size(), 2u);
  uint32_t id = deliveries.functions.find(11)->id;
  EXPECT_EQ(written.functionIds[0], std::vector<uint32_t>{id}) << "by the worker's own number";
  EXPECT_EQ(written.seqs[1], (std::vector<uint64_t>{1, 2, 3}));
  EXPECT_EQ(written.functionOf, (std::vector<uint32_t>{id, deliveries.functions.find(12)->id, id}));
}

TEST(Frames, SayWhichResultsMustTravelInline) {
  Deliveries deliveries;
  deliveries.add(1, 11, 10, false, 10, true);
  deliveries.add(2, 11, 10, false, 10, false);
  EXPECT_EQ(deliveries.write().inlineResults, (std::vector<bool>{true, false}));
}

TEST(Frames, AreOneForAllThatIsSmall) {
  Deliveries deliveries;
  for (uint64_t seq = 1; seq <= 500; seq++) deliveries.add(seq, 1, 100, false);
  EXPECT_EQ(deliveries.write().seqs.size(), 1u);
}

TEST(Frames, AreClosedAtTheirTarget) {
  Deliveries deliveries;
  for (uint64_t seq = 1; seq <= 10; seq++) deliveries.add(seq, 1, BATCH_BYTES_TARGET / 4, false);
  auto written = deliveries.write();
  EXPECT_EQ(written.seqs.size(), 4u);
  EXPECT_LE(written.bytesMax, BATCH_BYTES_TARGET + 4096);
}

TEST(Frames, HoldTheLargestFunctionAndTheLargestArgumentsApart) {
  Deliveries deliveries;
  deliveries.add(1, 1, PAYLOAD_BYTES_MAX, true, FUNCTION_BYTES_MAX);
  deliveries.add(2, 2, PAYLOAD_BYTES_MAX, true, FUNCTION_BYTES_MAX);
  auto written = deliveries.write();
  EXPECT_EQ(written.seqs.size(), 4u);
  EXPECT_LE(written.bytesMax, FRAME_BYTES_MAX);
}

TEST(Frames, OfNothingAreNone) {
  Deliveries deliveries;
  EXPECT_EQ(deliveries.write().seqs.size(), 0u);
}

}  // namespace
}  // namespace epochly::run
