"""Compiled calls that write arrays, and what other threads see and do meanwhile."""

import linecache
import os
import signal
import threading
import time

import pytest

from .test_speculation import check

_jit = pytest.importorskip("epochly._jit", reason="built without LLVM")
np = pytest.importorskip("numpy")

PASSES, SIZE = 400, 100_000


def repeat(out, x, scales, n):
    for r in range(len(scales)):
        for i in range(n):
            out[i] = x[i] * scales[r]
    return n


def in_another_thread(out, action):
    """A thread that runs `action` once when the call has begun to write; whether the call was still running then."""
    ended, ran = threading.Event(), []

    def watch():
        while out[0] == 0.0 and not ended.is_set():
            pass
        action()
        ran.append(not ended.is_set())

    thread = threading.Thread(target=watch)
    thread.start()
    return thread, ended, ran


@pytest.mark.parametrize("last", [2.0, np.inf], ids=["no guard fails", "a guard fails at the end"])
def test_what_another_thread_writes_beside_the_call_stays(last):
    x, scales = np.linspace(1.0, 2.0, SIZE), np.linspace(1.0, 2.0, PASSES)
    compiled = _jit.Jit(repeat)
    compiled(np.zeros(SIZE + 2), x, scales, 3)
    scales[-1] = last
    out = np.zeros(SIZE + 2)
    thread, ended, ran = in_another_thread(out, lambda: out.__setitem__(SIZE, 77.0))
    assert compiled(out, x, scales, SIZE) == SIZE and compiled.declined == ""
    ended.set()
    thread.join()
    assert ran == [True], "the call held the lock"
    assert compiled.versions()[0]["given_back"] == 0
    assert out[SIZE] == 77.0 and out[SIZE + 1] == 0.0
    assert np.array_equal(out[:SIZE], x * last)


def scaled(x, y, a):
    for i in range(len(x)):
        y[i] = x[i] * a
        x[i] = x[i] + 1.0


def test_arrays_that_share_memory_are_put_back_whole():
    for low, high in ((0, 90), (5, 95), (10, 100)):
        bases = [np.linspace(0.0, 1.0, 100) for _ in range(2)]
        for function, base in zip((scaled, _jit.Jit(scaled)), bases):
            function(base[:90], base[low:high], 2.0)
            function(base[:90], base[low:high], np.inf)
        assert bases[0].tobytes() == bases[1].tobytes()


def test_strided_views_are_put_back_where_they_were_written():
    def rows(m, a):
        for i in range(m.shape[0]):
            for j in range(m.shape[1]):
                m[i, j] = m[i, j] * a + 1.0

    m = np.linspace(0.0, 1.0, 60).reshape(6, 10)
    m[5, 9] = np.inf
    check(rows, (m, 2.0), (m[::2, ::3], 2.0), (m[::-1, ::-1], 2.0), (m.T, 3.0), (m[1:, 4:7], 1e308), (m[:0], 1.0))


def test_ctrl_c_leaves_the_iterations_that_were_done():
    def count(out, n):
        for _ in range(n):
            for i in range(len(out)):
                out[i] = out[i] + 1.0

    compiled = _jit.Jit(count)
    compiled(np.zeros(5), 1)
    out = np.zeros(100_000)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread, ended, ran = in_another_thread(out, lambda: os.kill(os.getpid(), signal.SIGINT))
    try:
        with pytest.raises(KeyboardInterrupt):
            compiled(out, 10**9)
            time.sleep(5)  # a signal that comes after the call
    finally:
        ended.set()
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert ran == [True]
    done = int((out == out[0]).sum())
    assert out[0] >= 1 and np.array_equal(out[done:], np.full(len(out) - done, out[0] - 1))


def test_threads_that_call_first_at_once_share_one_compilation():
    def kernel(x, n):
        s = 0.0
        for i in range(n):
            s = s * 0.5 + x[i] ** 2 + (x[i] - 1.0) * x[n - 1 - i]
        return s

    x = np.linspace(0.0, 1.0, 1000)
    for _ in range(5):
        compiled, start, results = _jit.Jit(kernel), threading.Barrier(8), []

        def call(compiled=compiled, start=start, results=results):
            start.wait()
            results.append((compiled(x, 1000), compiled.declined))

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [(kernel(x, 1000), "")] * 8
        assert len(compiled.versions()) == 1 and compiled.versions()[0]["runs"] == 8


def test_other_threads_run_while_code_is_made():
    source = "def many(x):\n" + "".join(f"    x = x * {i}.5 + x / {i}.25\n" for i in range(1, 400)) + "    return x\n"
    space = {}
    linecache.cache["<many>"] = (len(source), None, source.splitlines(True), "<many>")
    exec(compile(source, "<many>", "exec"), space)
    ended, ticks = threading.Event(), []

    def tick():
        while not ended.is_set():
            ticks.append(time.perf_counter())

    thread = threading.Thread(target=tick)
    thread.start()
    compiled = _jit.Jit(space["many"])
    compiled(1.0)
    end = time.perf_counter()
    ended.set()
    thread.join()
    assert compiled.declined == ""
    made = compiled.versions()[0]["compile_ms"] / 1e3
    assert any(end - 0.9 * made < t < end - 0.1 * made for t in ticks)
