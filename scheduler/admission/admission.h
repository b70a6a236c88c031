// Whether the scheduler may take on more. Pure: reads the tables, changes nothing.
#pragma once

#include "core/core.h"

namespace epochly::admission {

// The bound that was met, as a sentence for the refused; none: admitted.
kj::Maybe<kj::String> refuseTask(const core::Core& core, const core::Client& client, size_t argumentBytes);
kj::Maybe<kj::String> refuseFunction(const core::Core& core, size_t codeBytes);
kj::Maybe<kj::String> refuseWorker(const core::Core& core);
kj::Maybe<kj::String> refuseClient(const core::Core& core);

// What is wrong with a task itself, whatever the load: a level out of range, too many retries, a payload over the limit.
kj::Maybe<Failure> invalid(int level, uint32_t retriesMax, uint32_t timeoutMs, size_t argumentBytes);

}  // namespace epochly::admission
