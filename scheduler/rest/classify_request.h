// POST /api/v1/classify: workload metrics in, level and reasons out.
#pragma once

#include <string_view>

#include "rest/reply.h"

namespace epochly::rest {

Outcome classifyWorkload(std::string_view body);

}  // namespace epochly::rest
