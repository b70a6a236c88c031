#include "ext/client_thread.h"

#include <csignal>

#include <kj/debug.h>
#include <pthread.h>

namespace epochly::client {

namespace {

// Starts `run` on a thread on which no signal is ever delivered.
template <typename Run>
std::thread startUnsignalled(Run run) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread(kj::mv(run));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace

ClientThread::ClientThread(LinkOptions options, WindowBounds bounds, std::unique_ptr<RegionOpener> regions)
    : ledger(bounds), options(kj::mv(options)), regions(kj::mv(regions)) {
  std::unique_lock lock(mutex);
  thread = startUnsignalled([this] { main(); });
  started.wait(lock, [this] { return mailbox != nullptr; });
}

ClientThread::~ClientThread() { stop(Failure::of(ErrorCode::CANCELLED, kj::str("the client was closed"))); }

void ClientThread::main() {
  auto io = kj::setupAsyncIo();
  rt::Mailbox box(io.unixEventPort, MAILBOX_MAX);
  Link loop(io, ledger, status, *regions, options);
  auto finished = kj::newPromiseAndCrossThreadFulfiller<void>();
  {
    std::lock_guard lock(mutex);
    mailbox = &box;
    link = &loop;
    finish = kj::mv(finished.fulfiller);
    started.notify_all();
  }
  auto problem = kj::runCatchingExceptions([&]() {
    loop.run().exclusiveJoin(box.run()).exclusiveJoin(kj::mv(finished.promise)).wait(io.waitScope);
    loop.close().wait(io.waitScope);
  });
  KJ_IF_MAYBE(why, problem) {
    KJ_LOG(ERROR, "the client's loop failed", *why);
    auto failure = Failure::of(ErrorCode::INTERNAL, kj::str("the client's loop failed: ", why->getDescription()));
    ledger.close(failure.clone());
    ledger.endAll(failure, false);
  }
  std::lock_guard lock(mutex);
  mailbox = nullptr;
  link = nullptr;
}

// A full mailbox holds questions, each of which pumps too.
void ClientThread::wake() {
  std::lock_guard lock(mutex);
  if (mailbox != nullptr) mailbox->post([this]() { link->pump(); });
}

void ClientThread::ask(std::shared_ptr<Question> question) {
  std::lock_guard lock(mutex);
  bool posted = mailbox != nullptr && mailbox->post([this, question]() {
    link->ask(question);
    link->pump();
  });
  if (!posted) question->fail(Failure::of(ErrorCode::DISCONNECTED, kj::str("the client is closed, or too busy to ask")));
}

void ClientThread::stop(Failure why) {
  std::thread ending;
  {
    std::lock_guard lock(mutex);
    if (!thread.joinable()) return;
    ending = kj::mv(thread);
    if (finish.get() != nullptr) finish->fulfill();
  }
  ledger.close(why.clone());
  ending.join();
  ledger.close(why.clone());  // the loop may have reopened it on its last turn
  ledger.endAll(why, false);
}

}  // namespace epochly::client
