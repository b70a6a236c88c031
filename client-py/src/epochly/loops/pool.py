"""The threads that iterations run on: shared by all loops of the process, bounded, started when needed, ended when idle."""

import atexit
import os
import queue
import resource
import threading

from epochly import _config

__all__ = ["limit", "pool"]

# Threads that wait side by side if nobody says how many: a thread costs some 100 us to start and about 100 KB; past some
# hundred the interpreter lock is what they wait for.
THREADS_DEFAULT = 256
# Files and sockets that an iteration may hold: one it reads, one it writes.
FILES_PER_ITERATION = 2
# File descriptors that stay free for everything else.
FILES_RESERVED = 32
# A thread without work ends after so many seconds.
IDLE_SECONDS = 10.0
# At the end of the process, how long threads may take to let go of what they served: what they hold is never finalised.
REST_SECONDS = 0.1


def threads_max():
    """The most threads that all loops of this process use together."""
    return _config.max_workers or THREADS_DEFAULT


def limit():
    """How many iterations may run side by side now, by threads and by open files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return threads_max()
    free = soft - _open_files() - FILES_RESERVED
    return max(1, min(threads_max(), free // FILES_PER_ITERATION))


def _open_files():
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return FILES_RESERVED


class Worker(threading.Thread):
    """One thread. Idle, it is in its pool's list; serving, it belongs to the one who took it, until that one's task returns."""

    def __init__(self, owner, number):
        super().__init__(name=f"epochly-io-{number}", daemon=True)
        self.tasks = queue.SimpleQueue()
        self._owner, self._pid = owner, os.getpid()

    def run(self):
        while True:
            try:
                task = self.tasks.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                if self._owner.retire(self):
                    return
                continue
            task(self)
            del task  # and what it holds, while this thread is idle
            if not self._owner.put_back(self):
                return

    def end_if_forked(self):
        """Asked after each iteration: a child that one has forked is nothing but this thread, and nobody there waits for it."""
        if os.getpid() != self._pid:
            os.write(2, b"epochly: an iteration of a loop at level 1 forked, and its child came back from it: the child ends\n")
            os._exit(1)


class Pool:
    """Hands out workers. Any thread may call it."""

    def __init__(self):
        self._lock = threading.Condition(threading.Lock())  # notified when a worker has become idle
        self._idle = []  # the one used last is taken first, so that the others get to their end
        self._all = set()
        self._numbers = 0

    def start(self, task):
        """Has a thread call ``task(worker)``. False: there is none to be had."""
        with self._lock:
            worker = self._idle.pop() if self._idle else None
            if worker is None and len(self._all) < threads_max():
                self._numbers += 1
                worker = Worker(self, self._numbers)
                self._all.add(worker)
                fresh = True
            else:
                fresh = False
        if worker is None:
            return False
        if fresh and not self._begin(worker):
            return False
        worker.tasks.put(task)
        return True

    def _begin(self, worker):
        try:
            worker.start()
        except RuntimeError:  # the system gives no more threads, or the interpreter is shutting down
            with self._lock:
                self._all.discard(worker)
            return False
        return True

    def retire(self, worker):
        """True: the worker was idle for long, and may end."""
        with self._lock:
            if worker not in self._idle:
                return False  # a task is on its way to it
            self._idle.remove(worker)
            self._all.discard(worker)
            return True

    def put_back(self, worker):
        """False: the worker is not of this process's pool any more, as after a fork."""
        with self._lock:
            if worker not in self._all:
                return False
            self._idle.append(worker)
            self._lock.notify_all()
            return True

    def rest(self, seconds):
        """Waits until no worker serves anybody, at most so many seconds."""
        with self._lock:
            return self._lock.wait_for(lambda: len(self._idle) == len(self._all), seconds)

    def threads(self):
        with self._lock:
            return len(self._all)

    def forget(self):
        """In a forked child: it has none of these threads, and maybe the lock as it was held."""
        self.__init__()


pool = Pool()
atexit.register(pool.rest, REST_SECONDS)
os.register_at_fork(after_in_child=pool.forget)
