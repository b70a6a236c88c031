#include "admission/admission.h"

#include "wire/task_spec.h"

namespace epochly::admission {

kj::Maybe<kj::String> refuseTask(const core::Core& core, const core::Client& client, size_t argumentBytes) {
  auto& limits = core.limits;
  if (core.draining) return kj::str("the scheduler is shutting down and takes no new tasks");
  if (core.tasks.size() >= limits.tasksMax) {
    return kj::str("the queue is full: ", core.tasks.size(), " tasks of at most ", limits.tasksMax, "; submit again later");
  }
  if (core.argumentBytes + argumentBytes > limits.argumentBytesMax) {
    return kj::str("the queue is full: arguments of ", core.argumentBytes, " bytes of at most ", limits.argumentBytesMax,
                   "; submit again later, or send large arrays as buffers");
  }
  if (client.resultBytes >= limits.resultBytesMax) {
    return kj::str("this client has ", client.resultBytes, " bytes of results that it has not taken, of at most ",
                   limits.resultBytesMax, "; take results before submitting more");
  }
  return nullptr;
}

kj::Maybe<kj::String> refuseFunction(const core::Core& core, size_t codeBytes) {
  auto& limits = core.limits;
  if (core.functions.size() >= limits.functionsMax) {
    return kj::str("too many functions in use: ", core.functions.size(), " of at most ", limits.functionsMax,
                   "; define functions once instead of anew for each call");
  }
  if (core.functionBytes + codeBytes > limits.functionBytesMax) {
    return kj::str("functions in use take ", core.functionBytes, " bytes of at most ", limits.functionBytesMax,
                   "; pass large data as arguments instead of closing over it");
  }
  return nullptr;
}

kj::Maybe<kj::String> refuseWorker(const core::Core& core) {
  if (core.workers.size() < core.limits.workersMax) return nullptr;
  return kj::str("there are ", core.workers.size(), " workers already, of at most ", core.limits.workersMax);
}

kj::Maybe<kj::String> refuseClient(const core::Core& core) {
  if (core.clients.size() < core.limits.clientsMax) return nullptr;
  return kj::str("there are ", core.clients.size(), " clients already, of at most ", core.limits.clientsMax);
}

kj::Maybe<Failure> invalid(int level, uint32_t retriesMax, uint32_t timeoutMs, size_t argumentBytes) {
  if (level < -1 || level >= static_cast<int>(LEVEL_COUNT)) {
    return Failure::of(ErrorCode::INVALID_ARGUMENT, kj::str("level ", level, " does not exist: use 0 to 4, or \"auto\""));
  }
  if (retriesMax > RETRIES_MAX) {
    return Failure::of(ErrorCode::INVALID_ARGUMENT, kj::str("retries ", retriesMax, " is over the limit of ", RETRIES_MAX));
  }
  if (timeoutMs > TIMEOUT_MS_MAX) {
    return Failure::of(ErrorCode::INVALID_ARGUMENT,
                       kj::str("a timeout of ", timeoutMs / 1000, " s is over the limit of ", TIMEOUT_MS_MAX / 1000, " s"));
  }
  if (argumentBytes > PAYLOAD_BYTES_MAX) {
    return Failure::of(ErrorCode::PAYLOAD_TOO_LARGE,
                       kj::str("arguments of ", argumentBytes, " bytes are over the limit of ", PAYLOAD_BYTES_MAX,
                               ": send arrays from the worker's own host (shared memory), or split the work"));
  }
  return nullptr;
}

}  // namespace epochly::admission
