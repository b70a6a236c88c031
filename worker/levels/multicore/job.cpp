#include "levels/multicore/job.h"

namespace epochly::multicore {

using jit::Context;

namespace {

bool isStopped(Context& context) {
  auto& own = reinterpret_cast<ChunkContext&>(context);
  if (own.job && own.job->stop) return true;
  return own.caller && own.caller->interrupted && own.caller->interrupted(*own.caller);
}

}  // namespace

std::unique_ptr<ChunkContext> newContext(const Work& work, Job* job, bool isCallers) {
  auto own = std::make_unique<ChunkContext>();
  own->job = job;
  own->context.interrupted = isStopped;
  own->context.depth = work.depth;
  own->context.bytes = work.bytes;
  if (isCallers) {
    own->caller = &work.caller;
    own->context.lastPollNs = work.caller.lastPollNs;
  }
  return own;
}

}  // namespace epochly::multicore
