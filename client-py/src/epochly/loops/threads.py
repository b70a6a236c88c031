"""Level 1's runner: iterations that wait, wait side by side.

The caller's thread takes the items, hands iterations to threads, and hands on what they noted in the order of the items. Where
iterations do not wait, it runs them itself, a batch at a time.
"""

import contextvars
import operator
import queue
import resource
import time

from epochly._native import Batch
from epochly.loops import shared
from epochly.loops.pool import limit, pool
from epochly.loops.window import Window

__all__ = ["raising", "spread"]

# Iterations that take less than this are not worth a thread: handing one over and back takes some 50 us.
SECONDS_MIN = 0.0002
# Iterations that compute for more than this share of their time do not wait.
CPU_SHARE_MAX = 0.7
# So many must have been quick before the caller takes over: a few that were lucky say little.
QUICK_MIN = 8
# How long the caller runs iterations itself before it looks at what they took, and hands on what they noted.
BATCH_SECONDS = 0.001
# Iterations that have begun and not been handed on, per thread: one that is slow holds back those behind it no further than this.
AHEAD_PER_THREAD = 8
# After the caller's own failure: those that run are waited for, but a Ctrl-C must get through within 100 ms.
CLOSING_SECONDS = 0.05

_QUIET = tuple(type(iter(each)) for each in ([], (), range(0), range(1 << 70), {}, {}.values(), {}.items(), set(), "", b""))
_now = time.perf_counter


def spread(loop, body, iterable):
    """Yields the log of each iteration, or of several in a row, in order; raises what the first failing one raises."""
    return _Spread(loop, body, iterable).logs()


class _Experience:
    """What the last runs of a loop have shown: whether it is worth threads, and how many."""

    __slots__ = ("worth", "size")

    def __init__(self):
        self.worth, self.size = True, 1


class _Iteration:
    """One item on its way. Written by the thread that runs it, read by the caller after it came back."""

    __slots__ = ("index", "item", "log", "error", "context", "seconds", "cpu")

    def __init__(self, index, item):
        self.index, self.item = index, item
        self.log, self.error = [], None
        self.context = contextvars.copy_context()
        self.seconds = self.cpu = 0.0

    def run(self, body):
        began, cpu = _now(), time.thread_time()
        try:
            self.context.run(body, (self.item,), self.log)
        except BaseException as error:
            error.__traceback__ = error.__traceback__.tb_next  # this frame is not the user's
            self.error = error
        self.seconds, self.cpu = _now() - began, time.thread_time() - cpu
        self.item = self.context = None


class _Carried:
    """The caller's values of threading.local objects, on another thread for as long as that serves the caller's loop."""

    __slots__ = ("_before",)

    def __init__(self, thread_locals):
        self._before = []
        for each, values in thread_locals:
            own = vars(each)
            self._before.append((own, values, {name: own[name] for name in values if name in own}))
            own.update(values)

    def take_back(self):
        """What iterations have put there meanwhile is the thread's."""
        for own, values, before in self._before:
            for name, value in values.items():
                if own.get(name) is value:
                    del own[name]
            own.update(before)


class _Spread:
    """One run of a loop. Lives on the caller's thread; workers see `body`, `todo`, `done`, `clocks`, `thread_locals` and
    `failed_at`."""

    def __init__(self, loop, body, iterable):
        self.experience, self.body = loop.learned(_Experience), body
        self.items = iter(iterable)
        self.quiet = isinstance(self.items, _QUIET)
        self.exhausted = False
        self.ends_with = None  # what the iterable itself raised
        self.begun = 0  # of the iterations that were handed to threads
        self.handed_on = 0
        self.running = 0  # begun and not come back
        self.ready = {}  # by index: come back, not handed on
        self.todo, self.done = queue.SimpleQueue(), queue.SimpleQueue()
        self.workers = 0  # that serve `todo`
        self.clocks = set()  # CPU clocks of their threads
        self.failed_at = None  # index of the first that is known to have failed: none after it is begun

    def logs(self):
        try:
            together = self.experience.worth and not (self.quiet and operator.length_hint(self.items, 2) < 2)
            while not self.exhausted:
                yield from self._together() if together else self._alone()
                together = not together
            if self.ends_with is not None:
                raise self.ends_with
        except KeyboardInterrupt:
            self._stop(0)
            raise
        except BaseException:  # none runs any more after one of their own; the caller's may be an alarm's, and what runs hangs
            self._stop(CLOSING_SECONDS)
            raise
        finally:
            self._release(self.workers)

    # ---- by itself --------------------------------------------------------------------------------------------------------

    def _alone(self):
        """Runs iterations on the caller's thread until there are no more, or until they turn out to wait."""
        self.experience.worth = slow = False
        while not self.exhausted:
            log, error = [], None
            measured = _Measured(self.items, slow)
            try:
                self.body(measured.batch, log)
            except BaseException as raised:
                error = raised
            self.exhausted = measured.batch.exhausted
            slow, waited = measured.slow(), measured.waited()
            yield log
            if error is not None:
                yield from raising(error)
            if waited:
                return

    # ---- with threads -----------------------------------------------------------------------------------------------------

    def _together(self):
        """Has threads run iterations until there are no more, or until it turns out that they do not wait."""
        window = Window(limit(), self.experience.size, _now())
        self.thread_locals = shared.thread_locals(self.body)
        quick = _Quick()
        while True:
            if not quick.enough(window):
                self._fill(window)
            if self.running == 0 and not self.ready:
                break
            if self.handed_on not in self.ready:
                self._wait(window, quick)
            while self.handed_on in self.ready:
                iteration = self.ready.pop(self.handed_on)
                self.handed_on += 1
                yield iteration.log
                if iteration.error is not None:
                    self._stop(None)
                    yield from raising(iteration.error)
        self.experience.worth, self.experience.size = not quick.enough(window), window.size

    def _fill(self, window):
        """Begins as many iterations as may run."""
        ahead_max = AHEAD_PER_THREAD * window.size
        while self.running < window.size and self.begun - self.handed_on < ahead_max and self.failed_at is None:
            if not self._take_item():
                return
            iteration = _Iteration(self.begun, self.item)
            self.item = None
            self.begun += 1
            if self.workers <= self.running and pool.start(self._serve):
                self.workers += 1
            if self.workers == 0:  # no thread to be had: the caller is one
                iteration.run(self.body)
                self.ready[iteration.index] = iteration
                return
            self.running += 1
            self.todo.put(iteration)
        self._release(self.workers - max(window.size, self.running))

    def _take_item(self):
        if self.exhausted:
            return False
        try:
            self.item = next(self.items)
        except StopIteration:
            self.exhausted = True
        except Exception as error:  # raised once what was begun before has been handed on
            self.exhausted, self.ends_with = True, error
        return not self.exhausted

    def _wait(self, window, quick):
        """Waits until an iteration comes back, or long enough to begin more of them."""
        grows = not self.exhausted and self.failed_at is None and window.size < window.limit
        try:
            iteration = self.done.get(timeout=window.stall_seconds() if grows else None)
        except queue.Empty:
            window.stalled(_now(), self._computed())
            return
        while True:
            self._came_back(iteration, window, quick)
            try:
                iteration = self.done.get_nowait()
            except queue.Empty:
                return

    def _came_back(self, iteration, window, quick):
        self.running -= 1
        self.ready[iteration.index] = iteration
        if iteration.error is not None and (self.failed_at is None or iteration.index < self.failed_at):
            self.failed_at = iteration.index
        window.ended(_now(), iteration.cpu)
        quick.add(iteration)

    def _computed(self):
        """Seconds for which the workers have computed, all together, since the last call."""
        total = sum(time.clock_gettime(clock) for clock in list(self.clocks))
        before, self.computed_before = self.computed_before, total
        return total - before

    computed_before = 0.0
    thread_locals = ()
    item = None

    def _serve(self, worker):
        """Body of a worker for as long as it is this loop's."""
        clock = time.pthread_getcpuclockid(worker.ident)
        self.clocks.add(clock)
        carried = _Carried(self.thread_locals)
        while True:
            iteration = self.todo.get()
            if iteration is None:
                break
            if self.failed_at is None or iteration.index < self.failed_at:
                iteration.run(self.body)
                worker.end_if_forked()
            self.done.put(iteration)
            del iteration
        carried.take_back()
        self.clocks.discard(clock)

    def _release(self, count):
        for _ in range(count):
            self.todo.put(None)
            self.workers -= 1

    def _stop(self, seconds):
        """Begins nothing more, and waits for what runs: that long, or with None to its end."""
        self.failed_at = -1
        deadline = None if seconds is None else _now() + seconds
        while self.running > 0:
            try:
                self.done.get(timeout=None if deadline is None else max(0.0, deadline - _now()))
            except queue.Empty:
                return
            self.running -= 1


class _Measured:
    """A batch on the caller's thread, and what it took. Reading the thread's CPU takes system calls: only after slow ones."""

    __slots__ = ("batch", "_began", "_cpu", "_switches", "_seconds")

    def __init__(self, items, reads_cpu):
        self._cpu = None
        if reads_cpu:
            self._switches = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
            self._cpu = time.thread_time()
        self._began = _now()
        self.batch = Batch(items, BATCH_SECONDS)

    def slow(self):
        """Whether iterations took so long that it has to be known whether they waited. Asked when the batch is over."""
        self._seconds = _now() - self._began
        return self._seconds >= SECONDS_MIN * max(1, self.batch.taken)

    def waited(self):
        """Whether threads would have helped. A thread that never gave up its CPU did not wait: others took the CPU from it."""
        if self._cpu is None or self._seconds < SECONDS_MIN * max(1, self.batch.taken):
            return False
        cpu = time.thread_time() - self._cpu
        return cpu <= CPU_SHARE_MAX * self._seconds and resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw > self._switches


class _Quick:
    """Whether the iterations that threads ran were worth a thread."""

    __slots__ = ("count", "seconds", "cpu")

    def __init__(self):
        self.count, self.seconds, self.cpu = 0, 0.0, 0.0

    def add(self, iteration):
        self.count += 1
        self.seconds += iteration.seconds
        self.cpu += iteration.cpu

    def enough(self, window):
        if self.count == 0:
            return False
        computes = window.size == 1 and self.cpu > CPU_SHARE_MAX * self.seconds
        return computes or (self.count >= QUICK_MIN and self.seconds < SECONDS_MIN * self.count)


class _Ended(list):
    """The log of an iteration that raised StopIteration: raised where the log is read, where no loop takes it for its own end."""

    def __init__(self, error):
        self.error = error

    def __iter__(self):
        raise self.error


def raising(error):
    if isinstance(error, StopIteration):
        yield _Ended(error)
    raise error
