"""Threads, forks, deep recursion, the end of the interpreter."""
import os
import sys
import threading
import time

import pytest

import epochly


def test_calls_of_many_threads_add_up_to_the_last_one():
    @epochly.optimize
    def work(data):
        return len(data)

    threads = [threading.Thread(target=lambda: [work([1, 2]) for _ in range(5000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    while epochly.get_metrics(work)["total_calls"] < 1000:  # reading goes on beside writing
        pass
    for thread in threads:
        thread.join()
    metrics = epochly.get_metrics(work)
    assert metrics["total_calls"] == 40_000 == metrics["data_samples"]
    assert metrics["timed_calls"] + metrics["loop_samples"] == 40_000


def test_threads_that_come_and_go_lose_nothing():
    work = epochly.optimize(lambda: None)
    for _ in range(200):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert epochly.get_metrics(work)["total_calls"] == 200


def test_functions_that_come_and_go_while_others_are_called():
    stop = threading.Event()
    stays = epochly.optimize(lambda: None)

    def call():
        while not stop.is_set():
            stays()

    thread = threading.Thread(target=call)
    thread.start()
    for n in range(2000):
        gone = epochly.optimize(lambda: n)  # noqa: B023  # called at once
        assert gone() == n
        assert epochly.get_metrics(gone)["total_calls"] == 1
    stop.set()
    thread.join()


def test_a_function_may_be_deleted_while_it_runs():
    holder = {}

    def deletes():
        del holder["f"]
        return 5

    holder["f"] = epochly.optimize(deletes)
    assert holder["f"]() == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_goes_on_counting_and_the_parent_does_not_notice():
    work = epochly.optimize(lambda: [x for x in range(10)])
    stop = threading.Event()
    other = threading.Thread(target=lambda: [work() for _ in iter(stop.is_set, True)])
    other.start()
    try:
        for _ in range(10):
            before = epochly.get_metrics(work)["total_calls"]
            child = os.fork()
            if child == 0:
                for _ in range(100):
                    work()
                with epochly.monitoring_context() as metrics:
                    pass
                counted = epochly.get_metrics(work)["total_calls"]
                os._exit(0 if counted >= before + 100 and metrics["total_time_ms"] >= 0 else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        other.join()


def test_a_recursion_without_end_raises_recursion_error_as_undecorated():
    @epochly.optimize
    def forever(n):
        return forever(n + 1)

    for _ in range(3):
        with pytest.raises(RecursionError):
            forever(0)
    metrics = epochly.get_metrics(forever)
    assert metrics["error_count"] == metrics["total_calls"]


def test_a_recursion_as_deep_as_the_limit_allows_works():
    def depth_of(decorate):
        deepest = 0

        @decorate
        def down(n):
            nonlocal deepest
            deepest = n
            down(n + 1)

        with pytest.raises(RecursionError):
            down(0)
        return deepest

    plain, measured = depth_of(lambda f: f), depth_of(epochly.optimize)
    assert measured >= plain - 3


def test_a_recursion_deeper_than_the_stack_raises_and_does_not_crash(run_python):
    done = run_python("""
        import sys, threading, epochly
        sys.setrecursionlimit(10**6)
        threading.stack_size(1 << 20)

        @epochly.optimize
        def down(n):
            return down(n + 1)

        def body():
            try:
                down(0)
            except RecursionError:
                print("RecursionError")

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
    """, check=False)
    assert (done.returncode, done.stdout) == (0, "RecursionError\n"), done.stderr[-500:]


def test_keyboard_interrupt_reaches_the_program(run_python):
    out = run_python("""
        import _thread, epochly, threading, time

        @epochly.optimize
        def sleeps():
            threading.Timer(0.05, _thread.interrupt_main).start()
            for _ in range(500):
                time.sleep(0.01)

        for _ in range(2):
            try:
                sleeps()
            except KeyboardInterrupt:
                print("interrupted")
        print(epochly.get_metrics(sleeps)["error_count"])
    """)
    assert out == "interrupted\ninterrupted\n2\n"


def test_the_interpreter_ends_cleanly_with_everything_alive(run_python):
    done = run_python("""
        import atexit, epochly, sys, threading, time

        @epochly.optimize
        def work(n):
            yield from range(n)

        generator = work(5)
        next(generator), next(work(3))

        @epochly.optimize
        def sleeps():
            time.sleep(10)

        threading.Thread(target=sleeps, daemon=True).start()
        sys.modules["kept"] = work
        atexit.register(lambda: print(sum(work(4)), epochly.get_metrics(work)["total_calls"]))

        class AtEnd:
            def __del__(self):
                list(work(2))
        kept = AtEnd()
        context = epochly.monitoring_context()
        context.__enter__()
    """, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "6 3\n", "")


def test_decorating_many_functions_does_not_keep_them():
    import gc
    import weakref

    made = [epochly.optimize(eval("lambda: 1")) for _ in range(1000)]
    for function in made:
        function()
    references = [weakref.ref(function.__wrapped__) for function in made]
    del made, function
    gc.collect()
    assert not any(reference() for reference in references)


def test_calls_leave_no_references_behind():
    import gc

    @epochly.optimize
    def work(data, key=None):
        return data

    @epochly.optimize
    def generates(data):
        yield data

    marker = object()
    data = [marker]

    def calls():
        for _ in range(300):
            work(data, key=marker)
            list(generates(data))
            try:
                work(data, wrong=marker)
            except TypeError:
                pass
    calls()
    gc.collect()
    before = sys.getrefcount(marker), sys.getrefcount(data), sys.getrefcount(work)
    calls()
    gc.collect()
    assert (sys.getrefcount(marker), sys.getrefcount(data), sys.getrefcount(work)) == before


def test_a_thread_may_end_inside_nothing_and_its_figures_stay():
    work = epochly.optimize(time.sleep)
    thread = threading.Thread(target=work, args=(0.002,))
    thread.start()
    thread.join()
    assert epochly.get_metrics(work)["total_time_ms"] >= 2


def test_an_audit_hook_that_refuses_tracing_stops_the_counting_and_not_the_program(run_python):
    out = run_python("""
        import sys, epochly

        def refuse(event, args):
            if event == "sys.settrace" or event.startswith("sys.monitoring"):
                raise RuntimeError("not here")
        sys.addaudithook(refuse)

        f = epochly.optimize(lambda: sum([x for x in range(10)]))
        print([f() for _ in range(4)] == [45] * 4, "avg_loop_iterations" in epochly.get_metrics(f))
    """)
    assert out == "True False\n"
