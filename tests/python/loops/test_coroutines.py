"""Level 1 in coroutines: what iterations await, they await side by side on the loop that runs."""
import asyncio
import contextlib

import pytest

import epochly

SECONDS_MAX = 20


class Meeting:
    """As together.Meeting, of tasks."""

    def __init__(self, count):
        self._count, self._here, self._all = count, asyncio.Queue(), asyncio.Event()

    async def wait(self, value=None):
        self._here.put_nowait(value)
        if self._here.qsize() >= self._count:
            self._all.set()
        await asyncio.wait_for(self._all.wait(), SECONDS_MAX)
        return value


def ran(function):
    return epochly.report(function).level, epochly.report(function).declined


def test_a_comprehension_awaits_side_by_side_and_keeps_its_order():
    @epochly.optimize(level=1)
    async def work(items, meeting):
        return [await meeting.wait(item) * 10 for item in items], {item: await meeting.wait(item) for item in items}

    async def main():
        return await work(range(4), Meeting(4))

    assert asyncio.run(main()) == ([0, 10, 20, 30], {0: 0, 1: 1, 2: 2, 3: 3})
    assert ran(work) == (1, [])
    assert list(epochly.report(work).timings) == [1]


def test_a_for_statement_awaits_side_by_side_and_acts_in_order():
    @contextlib.asynccontextmanager
    async def session(item, meeting):
        yield await meeting.wait(item)

    @epochly.optimize(level=1)
    async def work(items, meeting):
        found, total = [], 0
        for at, item in enumerate(items):
            async with session(item, meeting) as value:
                found.append(value)
            total += value
            await asyncio.sleep(0.001 * (4 - at))
            found.append(-value)
        return found, total, at, item

    async def main():
        return await work([3, 1, 2, 5], Meeting(4))

    assert asyncio.run(main()) == ([3, -3, 1, -1, 2, -2, 5, -5], 11, 3, 5)
    assert ran(work) == (1, [])


def test_the_first_failing_iteration_raises_and_the_others_are_cancelled():
    ended = asyncio.Queue()

    async def fetch(item, meeting):
        await meeting.wait()
        if item == 1:
            raise KeyError(item)
        try:
            await asyncio.sleep(0 if item == 0 else SECONDS_MAX)
        except asyncio.CancelledError:
            ended.put_nowait(item)
            raise
        return item

    found = []

    @epochly.optimize(level=1)
    async def work(items, meeting):
        for item in items:
            found.append(await fetch(item, meeting))

    async def main():
        with pytest.raises(KeyError) as caught:
            await work(range(4), Meeting(4))
        return caught.value.args, len(asyncio.all_tasks())

    assert asyncio.run(main()) == ((1,), 1)
    assert found == [0] and sorted(ended.get_nowait() for _ in range(ended.qsize())) == [2, 3]


def test_cancelling_the_call_cancels_its_iterations():
    @epochly.optimize(level=1)
    async def work(items, meeting):
        return [await meeting.wait(item) for item in items]

    async def main():
        task = asyncio.create_task(asyncio.wait_for(work(range(3), Meeting(4)), 0.05))
        with pytest.raises(asyncio.TimeoutError):
            await task
        return len(asyncio.all_tasks())

    assert asyncio.run(main()) == 1


def test_no_more_iterations_run_at_once_than_threads_would(monkeypatch):
    from epochly.loops import gather

    monkeypatch.setattr(gather, "threads_max", lambda: 3)
    running, most = 0, 0

    async def fetch(item):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return item

    async def body(items, log):
        for item in items:
            log.append(await fetch(item))

    async def main():
        return [value async for log in gather.Gather(body, range(20)) for value in log]

    assert asyncio.run(main()) == list(range(20))
    assert most == 3


def test_what_is_carried_between_awaits_declines_with_its_line():
    @epochly.optimize(level=1)
    async def work(items):
        last = 0
        for item in items:
            last = await asyncio.sleep(0, last + item)
        return last

    assert asyncio.run(work([1, 2, 3])) == 6
    line = work.__code__.co_firstlineno + 4
    assert ran(work) == (0, [(1, f"line {line}: `last` is carried from one iteration to the next")])
