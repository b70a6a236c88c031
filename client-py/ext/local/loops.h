// Counts the loop iterations of the Python code that a thread runs, for a while. Slow, so only sampled calls are counted.
//
// An iteration is counted when it is complete: when its loop goes round again, or when a `while` comes to its test. One that ends by
// break, return or an exception is not, nor is the last of a `while` whose body stands on the line of its test. Loops inside C
// code (sum(), numpy) are not Python's and are not counted.
//
// CPython 3.10 and 3.11 report lines to a C trace function (loops_trace.cpp), 3.12 and later jumps to a sys.monitoring tool
// (loops_monitoring.cpp). Both leave the program's own frames as they are, and stand aside for debuggers, coverage and
// profilers.
#pragma once

#include <Python.h>

#include "levels/monitor/sampling.h"

namespace epochly::ext::loops {

using monitor::Nanos;

struct Count {
  uint64_t iterations = 0;
  bool complete = true;  // false: stopped at the limit, or pushed aside by a debugger; there were at least so many
};

// What a counting session costs the rest of the program, beyond its own time.
extern const Nanos SESSION_COST_NS;

// This thread is between start() and stop(). Read on every decorated call, hence no function.
extern thread_local constinit bool active;
// What the session of this thread has counted so far.
Count soFar();
// Adds iterations that ran compiled, which no session sees. Only while active.
void add(uint64_t iterations);
// Counts on this thread from here, for so much CPU time at most. False, and no session, if something else holds the means: see
// whyNot(). Never while active.
bool start(Nanos limit);
// `more`: another session is likely to follow at once (a generator's next step).
Count stop(bool more = false);
// Why the last start() on this thread failed; null if none did. Static text.
const char* whyNot();

}  // namespace epochly::ext::loops
