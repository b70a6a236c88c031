"""Level 1's runner for loops that await: iterations as tasks of the event loop that runs, so many at once, in order."""

import asyncio
import collections

from epochly.loops.pool import threads_max

__all__ = ["Gather"]

# Iterations that have begun and not been handed on, for each that may run: as with threads.
AHEAD_PER_TASK = 8


class _Iteration:
    __slots__ = ("log", "error", "task", "done")

    def __init__(self):
        self.log, self.error, self.task, self.done = [], None, None, False


class Gather:
    """An asynchronous iterator of the logs of the iterations, in their order. Lives on its event loop's thread.

    The first failing iteration's exception is raised in its turn; nothing is begun once it is known. aclose() cancels what still
    runs.
    """

    def __init__(self, body, iterable):
        self.body, self.items = body, iter(iterable)
        self.begun = collections.deque()  # in order: not handed on
        self.running = 0
        self.limit = threads_max()
        self.stopped = False
        self.ends_with = None  # what the iterable itself raised

    def __aiter__(self):
        return self

    async def __anext__(self):
        self._fill()
        if not self.begun:
            if self.ends_with is not None:
                raise self.ends_with
            raise StopAsyncIteration
        first = self.begun[0]
        if not first.done:
            await asyncio.wait({first.task})
        if first.error is None:
            self.begun.popleft()
            return first.log
        if first.log:  # what it did before it failed comes first
            log, first.log = first.log, []
            return log
        self.begun.popleft()
        raise first.error

    async def aclose(self):
        self.stopped = True
        tasks = [each.task for each in self.begun if not each.done]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)
        self.begun.clear()

    def _fill(self):
        while not self.stopped and self.running < self.limit and len(self.begun) < AHEAD_PER_TASK * self.limit:
            try:
                item = next(self.items)
            except StopIteration:
                self.stopped = True
                return
            except Exception as error:  # raised once what was begun before has been handed on
                self.stopped, self.ends_with = True, error
                return
            iteration = _Iteration()
            self.running += 1
            self.begun.append(iteration)
            iteration.task = asyncio.ensure_future(self._run(iteration, item))

    async def _run(self, iteration, item):
        try:
            await self.body((item,), iteration.log)
        except BaseException as error:
            error.__traceback__ = error.__traceback__.tb_next  # this frame is not the user's
            iteration.error, self.stopped = error, True
            if not isinstance(error, Exception):
                raise
        finally:
            iteration.done = True
            self.running -= 1
        self._fill()
