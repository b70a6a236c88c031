// File descriptors that wake a sleeper, and their numbers on an executor's command line.
#pragma once

#include <kj/io.h>

namespace epochly::run {

// A non-blocking, close-on-exec eventfd.
kj::AutoCloseFd newEventFd();
// Wakes whoever polls `eventFd`; may be called by any thread and by several processes.
void signalFd(int eventFd);
// Forgets signals that have come; call after waking and before looking for what they announced.
void clearFd(int eventFd);
// A sealable memory file of `size` bytes, close-on-exec. `name` is seen in /proc/<pid>/maps.
kj::AutoCloseFd newMemoryFile(const char* name, size_t size);
void setCloseOnExec(int fd, bool on);

}  // namespace epochly::run
