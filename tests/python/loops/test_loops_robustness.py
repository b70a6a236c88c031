"""Level 1 where things go wrong: interruptions, forks, exits, loops in loops, iterables that never end."""
import contextvars
import itertools
import queue
import threading

import pytest
from together import SECONDS_MAX, convene, meet

import epochly
from epochly.loops import pool


def test_contextvars_of_the_caller_reach_every_iteration():
    variable = contextvars.ContextVar("variable")

    def fetch(item):
        return meet(item), variable.get()

    @epochly.optimize(level=1)
    def work(items):
        return [fetch(item) for item in items]

    variable.set("the caller's")
    assert work(range(4)) == [(item, "the caller's") for item in range(4)]


own = threading.local()


def of_the_thread(item):
    if not hasattr(own, "session"):
        own.session = threading.get_ident()
    return meet(item), own.user, own.session == threading.get_ident()


def test_thread_locals_of_the_caller_reach_every_iteration_and_leave_with_it():
    @epochly.optimize(level=1)
    def work(items):
        return [of_the_thread(item) for item in items]

    own.session = threading.get_ident()
    for user in ("one", "two"):
        convene(4)
        own.user = user
        assert work(range(4)) == [(item, user, True) for item in range(4)]
    del own.user
    convene(4)
    with pytest.raises(AttributeError, match="user"):
        work(range(4))


def test_an_iteration_that_loops_itself_takes_threads_too_and_never_waits_for_one_in_vain():
    @epochly.optimize(level=1)
    def inner(items):
        return [meet(item) for item in items]

    @epochly.optimize(level=1)
    def outer(rows):
        return [inner(row) for row in rows]

    assert outer([range(4)] * 8) == [[0, 1, 2, 3]] * 8


def test_without_a_free_thread_the_caller_runs_the_iterations(monkeypatch):
    monkeypatch.setattr(pool.pool, "start", lambda task: False)
    convene(1)

    @epochly.optimize(level=1)
    def work(items):
        return [(meet(item), threading.current_thread() is threading.main_thread()) for item in items]

    assert work(range(20)) == [(item, True) for item in range(20)]


def test_a_pool_never_has_more_threads_than_its_bound(monkeypatch):
    monkeypatch.setattr(pool, "THREADS_DEFAULT", 3)
    own = pool.Pool()
    gate, started = threading.Event(), queue.SimpleQueue()

    def task(worker):
        started.put(worker)
        gate.wait(SECONDS_MAX)

    assert [own.start(task) for _ in range(5)] == [True, True, True, False, False]
    assert own.threads() == 3
    gate.set()


def test_the_limit_leaves_room_for_open_files(monkeypatch):
    import resource

    used = pool._open_files()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (used + pool.FILES_RESERVED + 10, 4096))
    assert pool.limit() in (4, 5)  # reading the folder takes a file
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1, 4096))
    assert pool.limit() == 1


def test_an_iterable_that_never_ends_is_read_no_further_than_the_bound_ahead():
    taken = []

    def forever():
        for at in itertools.count():
            taken.append(at)
            yield at

    class Enough(Exception):
        pass

    def fetch(item):
        if item == 50:
            raise Enough
        return item

    @epochly.optimize(level=1)
    def work(items):
        return [fetch(item) for item in items]

    with pytest.raises(Enough):
        work(forever())
    assert len(taken) <= 50 + 9 * pool.threads_max()


def test_an_iterable_that_fails_raises_after_what_it_gave_was_done():
    class Broken(Exception):
        pass

    def items():
        yield from range(4)
        raise Broken

    found = []

    @epochly.optimize(level=1)
    def work():
        for item in items():
            found.append(meet(item))

    with pytest.raises(Broken):
        work()
    assert found == [0, 1, 2, 3]


def test_an_iteration_that_exits_raises_system_exit_in_the_caller():
    def leave(item):
        meet(item)
        raise SystemExit(item)

    @epochly.optimize(level=1)
    def work(items):
        return [leave(item) for item in items]

    with pytest.raises(SystemExit) as caught:
        work(range(4))
    assert caught.value.code == 0


@pytest.mark.parametrize("kind", [list, set])
def test_stop_iteration_of_an_iteration_is_not_the_end_of_the_loop(kind):
    def stop(item):
        meet(item)
        raise StopIteration(item)

    if kind is list:
        work = epochly.optimize(lambda items: [stop(item) for item in items], level=1)
    else:
        def work(items):
            for item in items:
                stop(item)
        work = epochly.optimize(work, level=1)
    with pytest.raises(StopIteration):
        work(range(4))


def test_when_a_call_has_failed_nothing_of_it_runs_any_more():
    running = queue.SimpleQueue()
    ended = queue.SimpleQueue()
    gate = threading.Event()

    def fetch(item):
        running.put(item)
        meet(item)
        if item == 0:
            gate.set()
            raise ValueError
        gate.wait(SECONDS_MAX)
        ended.put(item)

    @epochly.optimize(level=1)
    def work(items):
        return [fetch(item) for item in items]

    with pytest.raises(ValueError):
        work(range(4))
    assert ended.qsize() == running.qsize() - 1


def test_ctrl_c_stops_a_loop_that_waits(run_script):
    out = run_script("""
        import os, queue, signal, threading, time
        import epochly

        gate, sent = threading.Event(), queue.SimpleQueue()

        def fetch(item):
            if item == 3:
                sent.put(time.perf_counter())
                os.kill(os.getpid(), signal.SIGINT)
            gate.wait(60)

        @epochly.optimize(level=1)
        def work(items):
            return [fetch(item) for item in items]

        try:
            work(range(1000))
        except KeyboardInterrupt:
            print("stopped", time.perf_counter() - sent.get() < 0.1)
    """)
    assert out == "stopped True\n"


def test_a_process_ends_though_threads_are_idle(run_script):
    out = run_script("""
        import threading, epochly
        barrier = threading.Barrier(4, timeout=20)

        @epochly.optimize(level=1)
        def work(items):
            return [barrier.wait() for item in items]

        work(range(4))
        print("done")
    """, seconds=20)
    assert out == "done\n"


def test_a_forked_child_has_threads_of_its_own(run_script):
    out = run_script("""
        import os, sys, threading, epochly

        def once(barrier):
            @epochly.optimize(level=1)
            def work(items):
                return [barrier.wait() >= 0 for item in items]
            return work(range(4))

        once(threading.Barrier(4, timeout=20))
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            found = once(threading.Barrier(4, timeout=20))
            os._exit(0 if found == [True] * 4 else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    assert out == "0\n"


def test_a_loop_at_interpreter_shutdown_gives_the_right_answer(run_script):
    out = run_script("""
        import atexit, time, epochly

        def fetch(item):
            time.sleep(0.001)
            return item

        @epochly.optimize(level=1)
        def work(items):
            return [fetch(item) for item in items]

        atexit.register(lambda: print(work(range(20)) == list(range(20))))
    """)
    assert out == "True\n"


def test_a_loop_in_a_daemon_process(run_script):
    assert run_script("""
        import multiprocessing, threading, epochly

        @epochly.optimize(level=1)
        def work(items, barrier):
            return [barrier.wait() >= 0 for item in items]

        def child(answers):
            answers.put(work(range(4), threading.Barrier(4, timeout=20)))

        if __name__ == "__main__":
            context = multiprocessing.get_context("fork")
            answers = context.Queue()
            process = context.Process(target=child, args=(answers,), daemon=True)
            process.start()
            print(answers.get(timeout=50))
            process.join()
    """) == "[True, True, True, True]\n"
