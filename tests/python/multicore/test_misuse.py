"""Level 3 of compiled loops where it is not expected: signals' handlers, daemon processes, level 1, the interpreter's end."""
import textwrap

import pytest

pytest.importorskip("epochly._jit", reason="built without LLVM")

WORK = """
import atexit, multiprocessing, os, signal, threading, time
import numpy as np
import epochly
from epochly import _jit

_jit.set_cores(2)

def heavy(x, y, steps):
    for i in range(len(x)):
        v = x[i]
        for _ in range(steps):
            v = 3.7 * v * (1.0 - v)
        y[i] = v

split, alone = epochly.optimize(heavy, level=3), epochly.optimize(heavy, level=2)
x = np.linspace(0.1, 0.9, 50_000)

def result(function=split):
    y = np.zeros(len(x))
    function(x, y, 60)
    return y.tobytes()

wanted = result(alone)

def threads():
    return len(os.listdir("/proc/self/task"))
"""


@pytest.fixture
def run_script(run_python, tmp_path):
    def run(code):
        script = tmp_path / "script.py"
        script.write_text(WORK + textwrap.dedent(code))
        return run_python(f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')")
    return run


def test_an_alarm_ends_it_with_what_its_handler_raises(run_script):
    assert run_script("""
    def too_long(*_):
        raise TimeoutError("it takes too long")

    result()
    signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        split(x, np.zeros(len(x)), 10**12)
    except TimeoutError as error:
        print(error, epochly.report(split).level, result() == wanted)
    """) == "it takes too long 3 True\n"


def test_iterations_at_level_1_share_one_team(run_script):
    """As many threads as level 1 has started, and one beside the caller for two cores."""
    assert run_script("""
    meeting = threading.Barrier(8, timeout=20)

    def one(item):
        meeting.wait()
        return result() == wanted

    @epochly.optimize(level=1)
    def outer(items):
        return [one(item) for item in items]

    result()
    before = threads()
    print(outer(range(8)) == [True] * 8, epochly.report(outer).level)
    from epochly.loops.pool import pool
    print(threads() - before - pool.threads())
    """) == "True 1\n0\n"


@pytest.mark.parametrize("before", [False, True], ids=["at once", "after its parent has split"])
def test_a_daemon_process_has_a_team_of_its_own(run_script, before):
    assert run_script(f"""
    if {before}:
        result()

    def child():
        print(result() == wanted, epochly.report(split).level, flush=True)

    process = multiprocessing.get_context("fork").Process(target=child, daemon=True)
    process.start()
    process.join(50)
    print(process.exitcode)
    """) == "True 3\n0\n"


def test_it_runs_when_the_process_exits(run_script):
    assert run_script("""
    atexit.register(lambda: print(result() == wanted, epochly.report(split).level))
    result()
    """) == "True 3\n"


def test_the_process_ends_though_a_daemon_thread_splits_for_ever(run_script):
    assert run_script("""
    begun = threading.Event()

    def forever():
        while True:
            result()
            begun.set()

    threading.Thread(target=forever, daemon=True).start()
    begun.wait(20)
    print("done")
    """) == "done\n"
