// Carries questions to the scheduler's loop and their answers back.
#pragma once

#include <chrono>
#include <functional>
#include <map>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "rest/reply.h"
#include "rt/mailbox.h"

namespace epochly::rest {

// The core answers in microseconds; after this it is stuck, and the caller is told so.
constexpr std::chrono::milliseconds CORE_ANSWER_MAX{2000};

// Lives on the REST thread; only what is in a question runs on the scheduler's loop. Outlives the mailbox's running.
class CoreDoor {
 public:
  // `look` is called on the scheduler's loop.
  CoreDoor(boost::asio::io_context& context, const rt::Mailbox& mailbox, std::function<Moment()> look)
      : context(context), mailbox(mailbox), look(std::move(look)) {}

  // `done` is called once, on the REST thread: with the answer, or with 503 if the mailbox is full or nobody answers in time.
  void ask(Question question, std::function<void(Reply)> done);

 private:
  struct Waiting {
    std::function<void(Reply)> done;
    boost::asio::steady_timer timer;
  };

  boost::asio::io_context& context;
  const rt::Mailbox& mailbox;
  std::function<Moment()> look;
  uint64_t lastNumber = 0;
  std::map<uint64_t, Waiting> waiting;  // bounded by the connections: each waits for one answer at a time

  Render answer(const Question& question) const;
  void finish(uint64_t number, const Render& render);
};

}  // namespace epochly::rest
