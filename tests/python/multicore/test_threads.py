"""Level 3 and the rest of the process: Ctrl-C, other threads, fork, the end."""
import math
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from tests.python.jit.exact import same
from tests.python.multicore.conftest import CHUNK_NS
from tests.python.multicore.test_maps import heavy, ran_split, values

_jit = pytest.importorskip("epochly._jit", reason="built without LLVM 19")

PATIENCE = 60  # seconds


def expected():
    y = np.zeros(len(values()))
    heavy(values(), y)
    return y


def test_ctrl_c_ends_it_and_leaves_the_arrays_as_they_were():
    def forever(x, y):
        for i in range(len(x)):
            v = x[i]
            for _ in range(2_000_000_000):
                v = v * 0.5 + 1.0
            y[i] = v

    x, y = np.ones(8), np.zeros(8)
    split = _jit.Jit(forever, False, True)
    sent = []

    def press():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    split.explain(x, y)  # compiled before the clock runs
    timer = threading.Timer(0.3, press)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        split(x, y)
    assert time.monotonic() - sent[0] < 0.1 + 1.0  # 100 ms, and a machine with other work
    assert not y.any()


def test_other_threads_run_meanwhile():
    split = _jit.Jit(heavy, False, True)
    x, y = values(), np.zeros(len(values()))
    split(x, y)
    beats, stop = [], threading.Event()

    def beat():
        while not stop.is_set():
            beats.append(1)

    other = threading.Thread(target=beat)
    other.start()
    for _ in range(5):
        split(x, y)
    stop.set()
    other.join(PATIENCE)
    assert beats
    assert same(y, expected())


def test_several_threads_at_once():
    split = _jit.Jit(heavy, False, True)
    x = values()
    results = [np.zeros(len(x)) for _ in range(6)]

    def work(y):
        for _ in range(5):
            split(x, y)

    threads = [threading.Thread(target=work, args=(y,)) for y in results]
    for one in threads:
        one.start()
    for one in threads:
        one.join(PATIENCE)
        assert not one.is_alive()
    assert all(same(y, expected()) for y in results)


def in_child(work):
    """Exit status of ``work`` in a forked child."""
    child = os.fork()
    if child == 0:
        os._exit(0 if work() else 1)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def test_a_forked_child_has_threads_of_its_own():
    split = _jit.Jit(heavy, False, True)
    x, y = values(), np.zeros(len(values()))
    split(x, y)

    def again():
        before, z = ran_split(split), np.zeros(len(x))
        split(x, z)
        return same(z, y) and ran_split(split) > before and _jit.cores() == 2

    assert in_child(again) == 0
    assert again()  # and the parent goes on


def test_a_child_forked_in_the_middle_runs_on_one_core():
    split = _jit.Jit(heavy, False, True)
    x = values()
    stop = threading.Event()
    started = threading.Event()

    def work():
        y = np.zeros(len(x))
        while not stop.is_set():
            split(x, y)
            started.set()

    other = threading.Thread(target=work)
    other.start()
    assert started.wait(PATIENCE)
    mine = _jit.Jit(heavy, False, True)

    def alone():
        z = np.zeros(len(x))
        mine(x, z)
        return same(z, expected())

    try:
        assert [in_child(alone) for _ in range(5)] == [0] * 5
    finally:
        stop.set()
        other.join(PATIENCE)


SCRIPT = """
import threading, numpy as np
from epochly import _jit
from tests.python.multicore.test_maps import heavy
_jit.set_cores(2, {ns})
split = _jit.Jit(heavy, False, True)
x, y = np.ones(20_000), np.zeros(20_000)
split(x, y)
def work():
    while True:
        split(x, y)
threading.Thread(target=work, daemon=True).start()
print(y[0] != 0)
"""


def test_the_process_ends_while_a_loop_runs():
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(ns=CHUNK_NS)], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def outer(x, y):
    for i in range(len(x)):
        y[i] = shared(x[i]) + i


def shared(x):
    total = 0.0
    for i in range(500):
        total += math.sqrt(x + i)
    return total


def test_a_split_loop_within_a_split_loop_does_not_wait_for_itself():
    split = _jit.Jit(outer, False, True)
    x = np.abs(values(2000))
    y, z = np.zeros(2000), np.zeros(2000)
    split(x, y)
    outer(x, z)
    assert split.declined == ""
    assert same(y, z)
