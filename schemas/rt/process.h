// What every daemon does with its process: signals that end it, a parent whose end is its own, events on stdout.
#pragma once

#include <sys/types.h>

#include <kj/async-unix.h>
#include <kj/string.h>

namespace epochly::rt {

// For onStopSignal(). Before there is another thread, which would not know the signals as blocked.
void captureStopSignals();
// SIGTERM or SIGINT. Everyone who waits is told.
kj::Promise<void> onStopSignal(kj::UnixEventPort& port);
// Resolves when the process is gone.
kj::Promise<void> onGone(kj::UnixEventPort& port, pid_t pid);

// `text` as a JSON string.
kj::String quoted(kj::StringPtr text);
// A line of JSON for whoever started this program: {"event":"joined","worker":"box-1"}. `fields` are those after the event.
void announce(kj::StringPtr event, kj::StringPtr fields);

}  // namespace epochly::rt
