// How values look in our JSON: unknown is null, ids are strings, times are RFC 3339.
#pragma once

#include <string>

#include <boost/json.hpp>

#include "core/core.h"

namespace epochly::rest {

namespace json = boost::json;

json::value number(double value);           // null if NaN
json::value known(uint64_t value);          // null if 0, for figures where 0 is "unknown"
json::value seconds(uint64_t nanoseconds);  // null if Timings::NONE
json::value level(int number);              // null if -1
json::object levelObject(Level level);      // {"level": 2, "name": "jit"}
json::string time(double unixSeconds);      // "2026-11-23T09:00:44.123Z"
json::object timings(const core::Timings& timings);

}  // namespace epochly::rest
