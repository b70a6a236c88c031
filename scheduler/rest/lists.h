// The answers that list or look up what the core knows.
#pragma once

#include "rest/reply.h"
#include "rest/target.h"

namespace epochly::rest {

// ?limit= and ?cursor=; a problem if they make no sense.
Outcome listWorkers(const Target& target);
Outcome listFunctions(const Target& target);
Outcome showTask(const std::string& id);

}  // namespace epochly::rest
