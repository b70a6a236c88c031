"""Compiled loops of one call at level 3 over workers on several hosts: the bits of one machine, and who ran what."""
import math
import os
import signal
import threading

import pytest

import epochly
from epochly.loops import judge, split
from tests.support.hosts import until

jit = pytest.importorskip("epochly._jit")
numpy = pytest.importorskip("numpy")

if jit.cores() == 0:
    pytest.skip("built without oneTBB, which level 3 of compiled loops needs", allow_module_level=True)


@pytest.fixture
def two(workers, monkeypatch):
    """Two workers on other hosts, for a process that may use one core."""
    monkeypatch.setenv("EPOCHLY_ADDRESS", f"tcp://127.0.0.1:{workers.port}")
    monkeypatch.setattr(split, "CHUNK_ITEMS_MAX", 10)  # enough chunks for both
    before = jit.cores()
    jit.set_cores(1)
    yield workers
    jit.set_cores(before)


def at3(function):
    return epochly.optimize(function, level=3)


def series(first, count):
    total = 0.0
    for k in range(1, count):
        total += 1.0 / (first * count + k)
    return total


def summed(n):
    total = 0.0
    for i in range(n):
        total += series(i, 50) / 3
    return total


def longer(n):
    """0.2 ms an iteration."""
    total = 0.0
    for i in range(n):
        total += series(i, 200_000) / 3
    return total


def largest(values):
    most = 0.0
    for value in values:
        most = max(most, math.sin(value) * value)
    return most


def appended(n):
    found, count = [], 0
    for i in range(n):
        x = i * 0.37
        if i % 3 == 0:
            found.append(math.sqrt(x))
        else:
            count += i
        found.append(x / 7)
    return found, count


def painted(image, low):
    height, width = image.shape
    for y in range(height):
        for x in range(width):
            image[y, x] = series(y * 7 + x, 20) - low
    return image


def comprehended(values):
    return [x * x - 1.5 for x in values if x > 3.0], {i: i / 3 for i in range(100)}, sum(x / 3 for x in values)


def one_after_the_other(values):
    total = 0.0
    for x in [value * 1.5 for value in values]:
        total += x / 3
    return total


def kept(n):
    total = 0
    for i in range(n):
        square = i * i
        total += square
    return total, i, square


def big(n):
    """A sum that no machine integer holds."""
    total = 1 << 62
    for i in range(n):
        total += i << 40
    return total


VALUES = [i * 0.731 for i in range(300)]
CASES = [(summed, lambda: (500,)), (largest, lambda: (VALUES,)), (largest, lambda: (numpy.array(VALUES),)),
         (appended, lambda: (400,)), (painted, lambda: (numpy.zeros((60, 9)), 0.25)), (comprehended, lambda: (VALUES,)),
         (comprehended, lambda: (numpy.array(VALUES),)), (kept, lambda: (300,)), (one_after_the_other, lambda: (VALUES,)),
         (big, lambda: (400,))]


def same(one, other):
    """Whether two values are equal to the bit, and of the same types."""
    if isinstance(one, numpy.ndarray):
        return type(other) is numpy.ndarray and one.dtype == other.dtype and one.tobytes() == other.tobytes()
    if isinstance(one, (tuple, list)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    return type(one) is type(other) and repr(one) == repr(other)


@pytest.mark.parametrize("work, arguments", CASES)
def test_a_compiled_loop_splits_over_workers_and_its_answer_has_the_bits_of_one_machine(two, work, arguments):
    spread = at3(work)
    found = spread(*arguments())
    assert same(found, work(*arguments()))
    report = str(epochly.report(spread))
    assert epochly.report(spread).level == 3 and epochly.report(spread).workers == 2, report
    assert "as Python" not in report, report


def checked(n, bad, out):
    for i in range(n):
        out[i] = 1.0 / (i - bad) + series(i, 20)
    return out


def test_the_first_failing_index_raises_its_own_exception_and_what_came_before_is_done(two):
    out = numpy.zeros(400)
    with pytest.raises(ZeroDivisionError) as caught:
        at3(checked)(400, 250, out)
    assert f"line {checked.__code__.co_firstlineno + 2}, in checked" in str(caught.value.__cause__)
    wanted = numpy.zeros(400)
    with pytest.raises(ZeroDivisionError):
        checked(400, 250, wanted)
    assert out.tobytes() == wanted.tobytes() and out[249] != 0


def test_chunks_of_a_worker_that_is_killed_run_again_and_the_bits_stay(two, monkeypatch):
    monkeypatch.setattr(split, "CHUNK_ITEMS_MAX", 1 << 16)
    work, n = at3(longer), 20_000
    found = []
    thread = threading.Thread(target=lambda: found.append(work(n)))
    thread.start()
    until(lambda: all(worker["load"]["inflight"] for worker in two.client.workers()))
    os.kill(two.programs[0].process.pid, signal.SIGKILL)
    assert thread.is_alive()
    thread.join(120)
    assert not thread.is_alive()
    assert found == [epochly.optimize(longer, level=2)(n)]
    assert epochly.report(work).level == 3 and epochly.report(work).workers >= 1


def test_a_process_with_as_many_cores_as_the_workers_uses_its_own(two):
    jit.set_cores(2)
    work = at3(summed)
    assert work(500) == summed(500)
    report = epochly.report(work)
    assert report.level == 3 and report.workers == 0
    assert (3, "on the cluster: the workers run 2 iterations at once, this process 2") in report.declined


def carried(n):
    last = 0.5
    for _ in range(n):
        last = last * 3.7 * (1.0 - last)
    total = 0.0
    for i in range(n):
        total += series(i, 20) * last
    return total


def test_what_takes_its_time_beside_the_loops_that_are_independent_keeps_the_call_here_with_its_line(two):
    work = at3(carried)
    assert work(500) == carried(500)
    report = epochly.report(work)
    assert report.workers == 0
    line = carried.__code__.co_firstlineno + 2
    assert any(f"line {line}: a loop or function beside those that are independent" in why for _, why in report.declined), report


def test_fastmath_stays_in_one_process(two):
    work = epochly.optimize(summed, level=3, fastmath=True)
    assert math.isclose(work(500), summed(500))
    report = epochly.report(work)
    assert report.workers == 0 and any("fastmath" in why for _, why in report.declined), report


def halved(values, at):
    values //= 2
    return values[at]


def in_place(values, n):
    total = 0
    for i in range(n):
        total += halved(values, i)
    return total


def test_what_may_change_an_array_in_place_stays_here(two):
    one, other = numpy.arange(100) * 8, numpy.arange(100) * 8
    work = at3(in_place)
    assert work(one, 3) == in_place(other, 3)
    assert one.tolist() == other.tolist()
    assert epochly.report(work).workers == 0


def test_a_loop_that_is_too_small_stays_here_compiled_and_says_so(two, monkeypatch):
    monkeypatch.setattr(judge, "SECONDS_MIN", 0.005)
    work = at3(summed)
    for _ in range(5):
        assert work(60) == summed(60)
    report = epochly.report(work)
    assert report.level == 3 and report.workers == 0
    assert any("too small to split" in why for _, why in report.declined), report
