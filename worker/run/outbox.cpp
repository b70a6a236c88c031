#include "run/outbox.h"

#include "wire/task_spec.h"

namespace epochly::run {

namespace {

// Room for a failure with a sentence; the builder grows if it is longer.
constexpr uint ANSWER_WORDS = 64;

class Answer final : public ResultSource {
 public:
  Answer(const AttemptName& name, Level level) {
    auto result = message.initRoot<schema::AttemptResult>();
    writeTaskId(name.task, result.initTask());
    result.setAttempt(name.attempt.value);
    result.setLevelRan(static_cast<uint8_t>(level));
  }
  schema::AttemptResult::Builder get() { return message.getRoot<schema::AttemptResult>(); }

 private:
  capnp::MallocMessageBuilder message{ANSWER_WORDS};
};

}  // namespace

ResultFrame::ResultFrame(kj::Array<capnp::word> words)
    : words(kj::mv(words)), reader(this->words, capnp::ReaderOptions{TRAVERSAL_WORDS_MAX, 64}) {}

void Outbox::add(PendingResult result) { results.push_back(kj::mv(result)); }

void Outbox::addFailure(const AttemptName& name, Level level, const Failure& failure) {
  auto answer = kj::refcounted<Answer>(name, level);
  failure.write(answer->get().initFailure());
  auto reader = answer->get().asReader();
  add({kj::mv(answer), reader, failure.bytes() + ANSWER_WORDS * sizeof(capnp::word)});
}

void Outbox::addNotRun(const AttemptName& name, Level level) {
  auto answer = kj::refcounted<Answer>(name, level);
  answer->get().setNotRun(true);
  auto reader = answer->get().asReader();
  add({kj::mv(answer), reader, ANSWER_WORDS * sizeof(capnp::word)});
}

kj::Array<PendingResult> Outbox::takeBatch() {
  kj::Vector<PendingResult> batch;
  size_t bytes = 0;
  while (!results.empty() && batch.size() < BATCH_TASKS_MAX) {
    bytes += results.front().bytes;
    if (!batch.empty() && bytes > BATCH_BYTES_TARGET) break;
    batch.add(kj::mv(results.front()));
    results.pop_front();
  }
  return batch.releaseAsArray();
}

}  // namespace epochly::run
