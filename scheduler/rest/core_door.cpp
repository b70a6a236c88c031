#include "rest/core_door.h"

#include <boost/asio/post.hpp>

#include "rt/log.h"

namespace epochly::rest {

namespace {

Reply failed() { return problem(ErrorCode::INTERNAL, "the scheduler could not make this answer; its log says why"); }

}  // namespace

void CoreDoor::ask(Question question, std::function<void(Reply)> done) {
  auto number = ++lastNumber;
  auto& entry =
      waiting.emplace(number, Waiting{std::move(done), boost::asio::steady_timer(context, CORE_ANSWER_MAX)}).first->second;
  entry.timer.async_wait([this, number](boost::system::error_code error) {
    if (!error) finish(number, [] { return unavailable("the scheduler did not answer in time; try again"); });
  });
  bool posted = mailbox.post([this, number, question = std::move(question)]() {
    boost::asio::post(context, [this, number, render = answer(question)] { finish(number, render); });
  });
  if (!posted) finish(number, [] { return unavailable("too many requests wait for the scheduler; try again"); });
}

// On the scheduler's loop: whatever goes wrong here must not end it.
Render CoreDoor::answer(const Question& question) const {
  Render render = failed;
  KJ_IF_MAYBE(error, kj::runCatchingExceptions([&]() { render = question(look()); })) {
    rt::log::error("a REST request failed: ", *error);
  }
  return render;
}

void CoreDoor::finish(uint64_t number, const Render& render) {
  auto found = waiting.find(number);
  if (found == waiting.end()) return;  // answered already: it was late
  auto done = std::move(found->second.done);
  waiting.erase(found);
  Reply reply;
  KJ_IF_MAYBE(error, kj::runCatchingExceptions([&]() { reply = render(); })) {
    rt::log::error("a REST answer could not be written: ", *error);
    reply = failed();
  }
  done(std::move(reply));
}

}  // namespace epochly::rest
