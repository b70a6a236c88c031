"""Futures of cluster tasks: ``concurrent.futures.Future`` to everyone who asks, but cheap to make and to end."""
import asyncio
import collections
import concurrent.futures
import dataclasses
import logging
import os
import threading

from epochly import _native

log = logging.getLogger("epochly")

_base = concurrent.futures._base


@dataclasses.dataclass(frozen=True)
class Timings:
    """Seconds; None is not measured.

    queue: from the scheduler's acceptance to the assignment to a worker; transfer: from there to the start; compile: of the
    level's code; run: in the function, wall time; cpu: in the function, CPU time of its thread; total: from submit() to the
    result's arrival.
    """

    queue: float | None
    transfer: float | None
    compile: float | None
    run: float | None
    cpu: float | None
    total: float | None


@dataclasses.dataclass(frozen=True)
class TaskReport:
    """How and where a task ran.

    level_asked: what submit() was given; level_chosen: the scheduler's choice, for the reason ``why``; level: what it ran at, None
    if it never ran; declined: (level, reason) of the levels that were tried before that one; worker: its name, None if it never
    ran; attempt: which attempt this is, counting from 1.
    """

    level_asked: "int | str | None"
    level_chosen: int | None
    level: int | None
    why: str | None
    declined: tuple
    worker: str | None
    worker_id: int | None
    attempt: int
    timings: Timings


# Guards the making of watches and the notifiers' table.
_lock = threading.Lock()
# The running notifier of each client, by its native session.
_notifiers = {}
# An idle notifier ends after so many seconds; the next callback starts another.
NOTIFIER_LINGER = 1.0


class _Notifier(threading.Thread):
    """Tells callbacks and waiters of one client's futures. Runs while there are any."""

    def __init__(self, future):
        super().__init__(name="epochly-notifier", daemon=True)
        self.anchor = future._anchor()  # of the same session, without a task: no result is kept for our sake
        self.observed = {}     # by seq: kept alive until they have been told

    @staticmethod
    def observe(future):
        """Has ``future._deliver()`` called when it ends. False: it has ended already. Called under ``_lock``."""
        if not future._observe():
            return False
        notifier = _notifiers.get(future._session)
        if notifier is None:
            notifier = _notifiers[future._session] = _Notifier(future)
            notifier.start()
        notifier.observed[future._seq] = future
        return True

    def run(self):
        while True:
            ended = self.anchor._await_ended(NOTIFIER_LINGER)
            with _lock:
                futures = collections.deque(self.observed.pop(seq) for seq in ended)
                if not ended and not self.observed:
                    del _notifiers[self.anchor._session]
                    return
            while futures:  # none is kept while we wait for the next
                _tell(futures.popleft())


def _tell(future):
    try:
        future._deliver()
    except Exception:  # of a waiter that is not concurrent.futures' own
        log.exception("telling those who wait for %r", future)


# A forked child has neither the parent's threads nor its sessions.
os.register_at_fork(after_in_child=_notifiers.clear)


class _Watch:
    """What a plain concurrent.futures.Future has, made when somebody asks for it."""

    __slots__ = ("callbacks", "condition", "delivered", "waiters")

    def __init__(self):
        self.condition = threading.Condition()
        self.waiters = []
        self.callbacks = []
        self.delivered = False   # waiters and callbacks have been told


class Future(_native.FutureBase, concurrent.futures.Future):
    """The result of a task on its way.

    It is a ``concurrent.futures.Future``: ``concurrent.futures.wait`` and ``as_completed``, ``asyncio.wrap_future`` and
    ``add_done_callback`` take it, and it can be awaited. Its value is unpickled in the thread that first asks for it.
    """

    # result, exception, done, cancelled and cancel are native.

    def running(self):
        """Always False: whether a task has begun only the scheduler knows, see ``Client.explain``."""
        return False

    def report(self, timeout=None):
        """How and where it ran, as a TaskReport, waiting for the end at most ``timeout`` seconds. Never raises what the function
        raised."""
        self.exception(timeout)
        return self.placement

    @property
    def placement(self):
        """The TaskReport once it has ended, else None."""
        facts = self._report()
        if facts is None:
            return None
        attempt, timings, placement = facts
        if placement is None:
            return TaskReport(None, None, None, None, (), None, None, attempt, Timings(**timings))
        asked = placement["level_asked"]
        ran = attempt > 0 and placement["worker_id"] != 0
        return TaskReport(
            level_asked="auto" if asked < 0 else asked, level_chosen=placement["level_chosen"],
            level=placement["level_ran"] if ran else None, why=placement["why"], declined=tuple(placement["declined"]),
            worker=placement["worker"] if ran else None, worker_id=placement["worker_id"] if ran else None, attempt=attempt,
            timings=Timings(**timings))

    def add_done_callback(self, fn):
        """Calls ``fn(future)`` once it has ended: at once in this thread if it has, else in a thread of the client."""
        watch = self._watched()
        with watch.condition:
            if not watch.delivered:
                watch.callbacks.append(fn)
                return
        self._call(fn)

    def __await__(self):
        return asyncio.wrap_future(self).__await__()

    def __repr__(self):
        state = "cancelled" if self.cancelled() else "done" if self.done() else "pending"
        return f"<epochly.Future {self._seq} {state}>"

    def __reduce__(self):
        raise TypeError("a Future cannot be sent elsewhere: send its result()")

    # ---- what concurrent.futures looks at ----

    @property
    def _condition(self):
        return self._watched().condition

    @property
    def _waiters(self):
        return self._watched().waiters

    @property
    def _state(self):
        # Once watched, it has ended when the waiters have been told, neither earlier nor later.
        watch = self.__dict__.get("_watch")
        if not (self.done() if watch is None else watch.delivered):
            return _base.PENDING
        return _base.CANCELLED_AND_NOTIFIED if self.cancelled() else _base.FINISHED

    def _watched(self):
        watch = self.__dict__.get("_watch")
        if watch is None:
            with _lock:
                watch = self.__dict__.get("_watch")
                if watch is None:
                    watch = _Watch()
                    watch.delivered = not _Notifier.observe(self)
                    self.__dict__["_watch"] = watch
        return watch

    def _deliver(self):
        """Tells who waits. Called once, by the client's notifier."""
        watch = self._watched()
        with watch.condition:
            watch.delivered = True
            for waiter in watch.waiters:
                if self.cancelled():
                    waiter.add_cancelled(self)
                elif self._failed():
                    waiter.add_exception(self)
                else:
                    waiter.add_result(self)
            watch.condition.notify_all()
            callbacks = watch.callbacks
            watch.callbacks = []
        for fn in callbacks:
            self._call(fn)

    def _call(self, fn):
        try:
            fn(self)
        except Exception:
            log.exception("exception calling callback for %r", self)

    def _refuse(self, *_):
        raise concurrent.futures.InvalidStateError("this future is the cluster's: only the cluster ends it")

    set_result = set_exception = set_running_or_notify_cancel = _refuse
