#include "run/result_objects.h"

#include <unistd.h>

#include "objects/name.h"
#include "objects/object.h"
#include "rt/log.h"
#include "wire/errors.h"

namespace epochly::run {

namespace {

void unlink(kj::StringPtr name) {
  KJ_IF_MAYBE(problem, kj::runCatchingExceptions([&]() { objects::unlink(name); })) {
    rt::log::warning("a result that nobody takes stays in shared memory: ", messageOf(*problem));
  }
}

}  // namespace

ResultObjects::~ResultObjects() noexcept {
  if (!allAtEnd) return;
  auto isCreator = [&](pid_t creator) { return creator == clientAtEnd || executors.count(creator) > 0; };
  auto removed = objects::removeOf(isCreator);
  if (removed.objects > 0) {
    rt::log::info("removed ", removed.objects, " shared memory objects that nobody had taken, ", removed.bytes, " bytes");
  }
}

void ResultObjects::onGone(pid_t executor, kj::TimePoint now) {
  executors[executor] = now;
  for (auto at = executors.begin(); at != executors.end();) {
    auto next = std::next(at);
    KJ_IF_MAYBE(since, at->second) {
      if (now - *since > objects::ORPHAN_GRACE) executors.erase(at);
    }
    at = next;
  }
}

void ResultObjects::remove(pid_t executor, const AttemptName& attempt) {
  unlink(objects::Name{geteuid(), executor, markOf(attempt)}.toString());
}

void ResultObjects::remove(const AttemptName& attempt) {
  for (auto& [executor, since] : executors) remove(executor, attempt);
}

void ResultObjects::remove(schema::AttemptResult::Reader result) {
  if (!result.isValue()) return;
  for (auto buffer : result.getValue().getBuffers()) {
    if (buffer.isShared()) unlink(buffer.getShared().getName());
  }
}

void ResultObjects::removeAllAtEnd(pid_t client) {
  allAtEnd = true;
  if (client != 0) clientAtEnd = client;
}

}  // namespace epochly::run
