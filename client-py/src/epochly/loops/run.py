"""What the loops of a twin are handed to: one Run for each call of the twin."""

import itertools

from epochly.loops import shared

__all__ = ["Run"]


def _no_event_loop(loop):
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return f"line {loop.line}: it awaits, and no event loop of asyncio runs"
    return None


_CONTAINERS = (list, dict, set, bytearray)


class Run:
    """One call. ``spread`` is the level's runner: spread(loop, body, iterable) gives the iterations' logs in their order.

    overlapped: whether a loop went to the runner. declined: sentences of those that could not.
    May be used by several threads at once: iterations loop too.
    """

    __slots__ = ("plan", "loops", "spread", "overlapped", "declined")

    def __init__(self, plan, spread):
        self.plan, self.loops, self.spread = plan, plan.loops, spread
        self.overlapped = False
        self.declined = []

    # ---- called by twins ----

    def takes(self, index, body):
        """Whether the runner takes a loop, now that the values of its names are there."""
        loop = self.loops[index]
        why = shared.obstacle(loop, body) or (loop.awaits and _no_event_loop(loop)) or None
        if why is None:
            self.overlapped = True
            return True
        if why not in self.declined:
            self.declined.append(why)
        return False

    def each(self, index, body, iterable):
        return self.spread(self.loops[index], body, iterable)

    def flat(self, index, body, iterable):
        """What the iterations of a generator expression give, in order."""
        return self._generated(index, body, iterable, self.takes(index, body))

    def _generated(self, index, body, iterable, taken):
        """A StopIteration of an iteration is a RuntimeError here, as it is in the generator that this stands for."""
        if taken:
            for log in self.spread(self.loops[index], body, iterable):
                yield from log
        else:
            values = []
            body(iterable, values)
            yield from values

    def list(self, index, body, iterable):
        values = []
        if not self.takes(index, body):
            body(iterable, values)
            return values
        for log in self.spread(self.loops[index], body, iterable):
            values.extend(log)
        return values

    def set(self, index, body, iterable):
        return set(self.list(index, body, iterable))

    def dict(self, index, body, iterable):
        return dict(self.list(index, body, iterable))

    def map(self, index, function, *iterables):
        if len(iterables) == 1:
            def body(items, log):
                for item in items:
                    log.append(function(item))
            return self._mapped(index, body, iterables[0])

        def body(items, log):
            for each in items:
                log.append(function(*each))
        return self._mapped(index, body, zip(*iterables))

    def _mapped(self, index, body, iterable):
        """A StopIteration of an iteration ends it, as it ends map()."""
        if self.takes(index, body):
            return itertools.chain.from_iterable(self.spread(self.loops[index], body, iterable))
        values = []
        try:
            body(iterable, values)
        except StopIteration:
            pass
        return iter(values)

    # ---- of coroutines ----

    def gather(self, index, body, iterable):
        """An asynchronous iterator of logs."""
        from epochly.loops.gather import Gather

        return Gather(body, iterable)

    async def gathered(self, index, body, iterable):
        """What the iterations of an expression that awaits give, in order."""
        values = []
        if not self.takes(index, body):
            await body(iterable, values)
            return values
        logs = self.gather(index, body, iterable)
        try:
            async for log in logs:
                values.extend(log)
        finally:
            await logs.aclose()
        return values

    @staticmethod
    def made_set(values):
        return set(values)

    @staticmethod
    def made_dict(values):
        return dict(values)

    @staticmethod
    def now(value):
        """What the caller's thread will look into, as it is now: the iteration may go on to change it, and what makes its items
        when they are asked for has to make them here."""
        return list(value) if hasattr(value, "__next__") else Run.copied(value)

    @staticmethod
    def copied(value):
        return value.copy() if type(value) in _CONTAINERS else value
