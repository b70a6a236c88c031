// The thread that a client's loop runs on.
#pragma once

#include <thread>

#include "ext/client_link.h"
#include "rt/mailbox.h"

namespace epochly::client {

// Functions posted to the loop at once: one wake and a few questions per Python thread.
constexpr size_t MAILBOX_MAX = 4096;

// Thread-safe. The thread blocks every signal, so that they interrupt Python's own; it never touches Python.
class ClientThread {
 public:
  ClientThread(LinkOptions options, WindowBounds bounds, std::unique_ptr<RegionOpener> regions);
  // As stop().
  ~ClientThread();
  KJ_DISALLOW_COPY(ClientThread);

  Ledger ledger;
  LinkStatus status;

  // There is something queued, or a cancellation to tell.
  void wake();
  void ask(std::shared_ptr<Question> question);
  // Says good-bye to the scheduler, ends the thread and everything that is still pending with `why`. Later calls do nothing.
  void stop(Failure why);

 private:
  const LinkOptions options;
  const std::unique_ptr<RegionOpener> regions;
  std::mutex mutex;  // guards what follows
  std::condition_variable started;
  rt::Mailbox* mailbox = nullptr;  // while the loop runs
  Link* link = nullptr;
  kj::Own<kj::CrossThreadPromiseFulfiller<void>> finish;
  std::thread thread;

  void main();
};

}  // namespace epochly::client
