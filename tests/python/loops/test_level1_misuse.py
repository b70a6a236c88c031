"""Level 1 and iterations that fork, hang or exit, callers in threads, and the interpreter's end."""
import importlib
import os
import queue
import signal
import threading

import pytest
from together import SECONDS_MAX, meet

import epochly
from epochly.loops import pool, shared


def reasons_of(function):
    return " ".join(why for _, why in epochly.report(function).declined)


def test_an_iteration_that_forks_runs_where_it_stands_and_its_child_is_the_callers():
    def ask(item):
        child = os.fork()
        if child == 0:
            os._exit(item)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    @epochly.optimize(level=1)
    def work(items):
        return [ask(item) for item in items]

    assert work(range(4)) == [0, 1, 2, 3]
    assert "ask() calls os.fork()" in reasons_of(work)


def test_a_child_that_comes_back_from_an_iteration_ends_and_says_so(run_script):
    """Forked where no analysis sees it."""
    done = run_script("""
        import os, threading, epochly
        barrier, ways = threading.Barrier(4, timeout=20), [os.fork]

        def ask(item):
            barrier.wait()
            if item != 2:
                return item
            child = ways[0]()
            return item if child == 0 else os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

        @epochly.optimize(level=1)
        def work(items):
            return [ask(item) for item in items]

        print(work(range(4)), epochly.report(work).level, flush=True)
    """, check=False)
    assert done.stdout == "[0, 1, 1, 3] 1\n"
    assert "forked, and its child came back from it" in done.stderr


def test_an_iteration_that_sets_a_signals_handler_runs_in_the_main_thread():
    def handled(item):
        before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        signal.signal(signal.SIGUSR2, before)
        return item

    @epochly.optimize(level=1)
    def work(items):
        return [handled(item) for item in items]

    assert work(range(9)) == list(range(9))
    assert "handled() calls signal.signal()" in reasons_of(work)


def test_an_alarm_ends_a_call_whose_iterations_hang(run_script):
    assert run_script("""
        import signal, threading, epochly
        gate, begun = threading.Event(), threading.Barrier(4, timeout=20)

        def too_long(*_):
            raise TimeoutError("it hangs")

        def hang(item):
            if begun.wait() == 0:
                signal.setitimer(signal.ITIMER_REAL, 0.05)
            gate.wait(50)
            gate.done = True

        @epochly.optimize(level=1)
        def work(items):
            return [hang(item) for item in items]

        signal.signal(signal.SIGALRM, too_long)
        try:
            work(range(4))
        except TimeoutError as error:
            print(error, hasattr(gate, "done"))
        gate.set()
    """) == "it hangs False\n"


def test_an_iteration_that_exits_ends_the_program_with_its_code(run_script):
    done = run_script("""
        import sys, threading, epochly
        barrier = threading.Barrier(4, timeout=20)

        def leave(item):
            barrier.wait()
            sys.exit(7)

        @epochly.optimize(level=1)
        def work(items):
            return [leave(item) for item in items]

        work(range(4))
    """, check=False)
    assert (done.returncode, done.stderr) == (7, "")


def test_an_iteration_that_asks_for_more_memory_than_there_is_raises_memory_error():
    def ask(item):
        meet(item)
        return bytearray(1 << 60) if item == 2 else item

    @epochly.optimize(level=1)
    def work(items):
        return [ask(item) for item in items]

    with pytest.raises(MemoryError):
        work(range(4))


def test_items_that_do_not_pickle_are_handed_to_threads_as_they_are():
    @epochly.optimize(level=1)
    def work(items):
        return [meet(item) for item in items]

    items = [threading.Lock() for _ in range(4)]
    assert work(items) == items
    assert epochly.report(work).level == 1


def test_loops_in_loops_of_many_callers_share_the_threads_and_no_more_than_their_bound(monkeypatch):
    monkeypatch.setattr(pool, "THREADS_DEFAULT", 12)
    monkeypatch.setattr(pool, "pool", pool.Pool())
    monkeypatch.setattr("epochly.loops.threads.pool", pool.pool)
    counts = queue.SimpleQueue()

    def wait(item):
        threading.Event().wait(0.001)
        counts.put(pool.pool.threads())
        return item

    @epochly.optimize(level=1)
    def inner(items):
        return [wait(item) for item in items]

    @epochly.optimize(level=1)
    def outer(rows):
        return [inner(row) for row in rows]

    found = []
    callers = [threading.Thread(target=lambda: found.append(outer([range(5)] * 6))) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(SECONDS_MAX)
    assert found == [[list(range(5))] * 6] * 8
    assert 1 < max(counts.get() for _ in range(counts.qsize())) <= 12


WORK = """
    import atexit, os, threading, time
    import epochly

    def fetch(item):
        time.sleep(0.001)
        return item

    @epochly.optimize(level=1)
    def work(items):
        return [fetch(item) for item in items]
"""


@pytest.mark.parametrize("threads_before", [False, True], ids=["without threads", "with threads that were used"])
def test_a_finaliser_that_loops_at_the_interpreters_end_gives_the_right_answer(run_script, threads_before):
    assert run_script(WORK + f"""
    class Last:
        def __del__(self, work=work, wanted=list(range(20)), write=os.write):
            write(1, str(work(range(20)) == wanted).encode())

    last = Last()
    if {threads_before}:
        work(range(50))
        assert epochly.report(work).level == 1
    """) == "True"


def test_what_a_module_holds_is_finalised_though_threads_served_its_loop_a_moment_ago(run_script, tmp_path):
    """A file that is not closed is written out when its module goes."""
    path = tmp_path / "unclosed"
    run_script(WORK + f"""
    unclosed = open({str(path)!r}, "w")
    unclosed.write("all of it")
    work(range(50))
    """)
    assert path.read_text() == "all of it"


def test_a_loop_at_exit_uses_threads_that_are_there(run_script):
    assert run_script(WORK + """
    barrier = threading.Barrier(4, timeout=20)

    @epochly.optimize(level=1)
    def together(items):
        return [barrier.wait() >= 0 for item in items]

    assert together(range(4)) == [True] * 4
    atexit.register(lambda: print(together(range(4))))
    """) == "[True, True, True, True]\n"


def test_the_process_ends_though_a_daemon_thread_loops_for_ever(run_script):
    assert run_script(WORK + """
    begun = threading.Event()

    def forever():
        while True:
            work(range(40))
            begun.set()

    threading.Thread(target=forever, daemon=True).start()
    begun.wait(20)
    print("done")
    """) == "done\n"


def test_a_pool_says_whether_its_threads_have_let_go_of_what_they_served():
    own, gate = pool.Pool(), threading.Event()
    own.start(lambda worker: gate.wait(SECONDS_MAX))
    assert not own.rest(0.01)
    gate.set()
    assert own.rest(SECONDS_MAX)


def test_a_loop_that_calls_more_functions_than_are_looked_through_stays_in_the_callers_thread(tmp_path, monkeypatch):
    def made(count):
        """A function whose loop calls so many others, one through the other."""
        name = f"chain_of_{count}"
        lines = ["import time", "def f0(x): time.sleep(0.001); return x"]
        lines += [f"def f{i}(x): return f{i - 1}(x)" for i in range(1, count)]
        lines += ["def work(xs):", f"    return [f{count - 1}(x) for x in xs]"]
        (tmp_path / f"{name}.py").write_text("\n".join(lines))
        monkeypatch.syspath_prepend(tmp_path)
        return importlib.import_module(name).work

    for count, level in ((shared.FUNCTIONS_MAX - 1, 1), (shared.FUNCTIONS_MAX, 0)):  # the loop's own body is one
        work = epochly.optimize(made(count), level=1)
        assert work(range(20)) == list(range(20))
        report = epochly.report(work)
        assert report.level == level, report
        assert any(f"more than {shared.FUNCTIONS_MAX} functions" in why for _, why in report.declined) == (level == 0), report
