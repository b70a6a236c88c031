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

std::unique_ptr<ChunkContext> newContext(Context& caller, Job* job, bool isCallers) {
  auto own = std::make_unique<ChunkContext>();
  own->job = job;
  own->caller = isCallers ? &caller : nullptr;
  own->context.interrupted = isStopped;
  own->context.depth = caller.depth;
  own->context.bytes = caller.bytes;
  own->context.lastPollNs = caller.lastPollNs;
  return own;
}

}  // namespace epochly::multicore
