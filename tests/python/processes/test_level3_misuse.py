"""Level 3 on processes: iterations and callers that misbehave. The right answer or a typed error, and nothing left behind."""
import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import epochly
from epochly.loops import split
from tests.support.gone import await_gone

HERE = os.getpid()
ROOT = Path(__file__).parents[3]


def at3(function):
    return epochly.optimize(function, level=3)


def text(item):
    return f"<{item}>", os.getpid()


@pytest.mark.usefixtures("eager")
def test_an_endless_iterator_ends_with_the_error_that_ends_its_loop():
    def until(item):
        if item == 1000:
            raise ValueError("enough")
        return text(item)

    @at3
    def work(items):
        return [until(item) for item in items]

    taken = itertools.count()
    with pytest.raises(ValueError, match="enough"):
        work(taken)
    # What was taken ahead is bounded: chunks on their way, of 10 ms each by what the first took.
    assert next(taken) < 1_000_000


def killed(item, folder, times):
    """Item 5 kills its process so many times. What it leaves in `folder` counts them."""
    if item == 5 and os.getpid() != HERE:
        count = len(os.listdir(folder))
        if count < times:
            Path(folder, str(count)).touch()
            os.kill(os.getpid(), 9)
    return text(item)


@at3
def fragile(items, folder, times):
    return [killed(item, folder, times) for item in items]


@pytest.mark.usefixtures("eager")
def test_a_chunk_runs_again_when_its_process_is_killed(tmp_path):
    found = fragile(range(20), str(tmp_path), split.ATTEMPTS_MAX - 1)
    assert [each for each, _ in found] == [f"<{i}>" for i in range(20)]
    assert HERE not in {pid for _, pid in found[5:]}
    assert len(os.listdir(tmp_path)) == split.ATTEMPTS_MAX - 1


@pytest.mark.usefixtures("eager")
def test_an_iteration_that_kills_its_process_each_time_is_a_typed_error_and_others_take_their_places(tmp_path):
    with pytest.raises(epochly.ExecutorDied):
        fragile(range(20), str(tmp_path), 100)
    assert len(os.listdir(tmp_path)) == split.ATTEMPTS_MAX

    @at3
    def again(items):
        return [text(item) for item in items]

    assert [each for each, _ in again(range(20))] == [f"<{i}>" for i in range(20)]


@pytest.mark.usefixtures("eager")
def test_a_chunk_that_a_process_died_under_never_runs_here(tmp_path, monkeypatch):
    sent = split.Split._sent

    def sent_once(self, members, shipped, items):
        if not self.died:
            return sent(self, members, shipped, items)
        self.judge.stays = "Overloaded: for once"
        return None

    monkeypatch.setattr(split.Split, "_sent", sent_once)
    with pytest.raises(epochly.ExecutorDied):
        fragile(range(20), str(tmp_path), 1)


@pytest.mark.usefixtures("eager")
def test_an_iteration_may_start_and_end_processes_of_its_own():
    def ask(item):
        return subprocess.run([sys.executable, "-S", "-c", f"print({item})"], capture_output=True, text=True).stdout

    @at3
    def work(items):
        return [ask(item) for item in items]

    assert work(range(3)) == ["0\n", "1\n", "2\n"]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("child_ends", [True, False], ids=["whose child ends", "whose child runs on"])
def test_an_iteration_that_forks_counts_once_and_leaves_no_process_behind(child_ends, tmp_path):
    def fork(item):
        if item != 7 or os.getpid() == HERE:
            return str(item)
        parent, child = os.getpid(), os.fork()
        if child == 0 and child_ends:
            os._exit(0)
        if os.getpid() == parent:
            (tmp_path / "child").write_text(str(child))
            os.waitpid(child, 0)
        return str(item)

    @at3
    def work(items):
        return [fork(item) for item in items]

    assert work(range(20)) == [str(item) for item in range(20)]
    await_gone([int((tmp_path / "child").read_text())])
    assert [each for each, _ in texts(range(20))] == [f"<{item}>" for item in range(20)]


@at3
def texts(items):
    return [text(item) for item in items]


@pytest.mark.usefixtures("eager")
def test_an_iteration_that_asks_for_more_memory_than_there_is_raises_what_it_would_here():
    def ask(item):
        return str(len(bytearray(1 << 60 if item == 5 else 10)))

    @at3
    def work(items):
        return [ask(item) for item in items]

    with pytest.raises(MemoryError):
        work(range(20))
    assert len(texts(range(20))) == 20


@pytest.mark.usefixtures("eager")
def test_loops_of_several_threads_share_the_processes():
    @at3
    def work(items, key):
        return [(key, text(item)[0]) for item in items]

    found = {}
    threads = [threading.Thread(target=lambda k=k: found.__setitem__(k, work(range(40), k))) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {k: [(k, f"<{i}>") for i in range(40)] for k in range(6)}


@pytest.mark.usefixtures("eager")
def test_level_3_inside_of_level_1_and_level_1_inside_of_level_3_end(started):
    @at3
    def inner(items):
        return [text(item)[0] for item in items]

    @epochly.optimize(level=1)
    def outer(items):
        return [inner(range(item, item + 3)) for item in items]

    assert outer(range(30)) == [[f"<{k}>" for k in range(i, i + 3)] for i in range(30)]
    assert len({pid for _, pid in texts(range(60))} - {HERE}) <= started.slots()

    @epochly.optimize(level=1)
    def waits(items):
        return [text(item)[0] for item in items]

    @at3
    def outermost(items):
        return [waits(range(item, item + 3)) for item in items]

    assert outermost(range(30)) == [[f"<{k}>" for k in range(i, i + 3)] for i in range(30)]


@pytest.mark.usefixtures("eager")
def test_compiled_loops_inside_of_an_iteration_have_one_core():
    jit = pytest.importorskip("epochly._jit")
    if jit.cores() < 2:
        pytest.skip("this process may use one core only")

    def cores(item):
        return str(item), jit_cores(), os.getpid()

    def jit_cores():
        import epochly._jit

        return epochly._jit.cores()

    @at3
    def work(items):
        return [cores(item) for item in items]

    away = {found for _, found, pid in work(range(8)) if pid != HERE}
    assert away == {1}
    assert jit.cores() > 1


SCRIPT = """
    import atexit, os, sys, threading, time
    sys.path.insert(0, {folder!r})
    import script_work
    sys.path.insert(0, {root!r})
    from tests.support import level3
    level3.started()
    level3.send_everything()
"""


@pytest.fixture
def script(tmp_path, run_python):
    """Runs lines in a fresh process that has the function `work` of a module, and processes."""
    (tmp_path / "script_work.py").write_text(
        "import epochly, os, time\n\n\ndef name(item):\n    time.sleep(PAUSE)\n    return str(item), os.getpid()\n\n\n"
        "PAUSE = 0\n\n\n"
        "@epochly.optimize(level=3)\ndef work(items):\n    return [name(item) for item in items]\n\n\n"
        "def hang(item):\n    while item > 2 and os.getpid() != HERE:\n        time.sleep(0.01)\n    return str(item)\n\n\n"
        "HERE = os.getpid()\n\n\n@epochly.optimize(level=3)\ndef hangs(items):\n    return [hang(item) for item in items]\n")

    def run(lines):
        return run_python(SCRIPT.format(folder=str(tmp_path), root=str(ROOT)) + lines)

    return run


@pytest.mark.timeout(120)
def test_no_process_is_left_behind(script):
    printed = script("""
    print(*{pid for _, pid in script_work.work(range(50))} - {os.getpid()})
    """)
    pids = [int(word) for word in printed.split()]
    assert pids
    await_gone(pids)


@pytest.mark.timeout(120)
def test_a_loop_at_the_interpreters_end_runs_once_and_ends(script):
    printed = script("""
    calls = []
    def last():
        print([text for text, _ in script_work.work(range(5))])
    atexit.register(last)
    """)
    assert printed.split("\n")[0] == str([str(i) for i in range(5)])


@pytest.mark.timeout(120)
def test_a_loop_of_a_thread_that_outlives_the_main_one_runs_once_and_ends(script):
    printed = script("""
    def late():
        threading.main_thread().join()
        print([text for text, _ in script_work.work(range(5))], flush=True)
    threading.Thread(target=late).start()
    """)
    assert printed.split("\n")[0] == str([str(i) for i in range(5)])


@pytest.mark.timeout(120)
def test_a_loop_in_a_daemon_thread_and_in_a_daemon_process(script):
    printed = script("""
    import multiprocessing
    found = []
    thread = threading.Thread(target=lambda: found.append([t for t, _ in script_work.work(range(5))]), daemon=True)
    thread.start(); thread.join()
    print(found[0])
    def child():
        print([t for t, _ in script_work.work(range(5))], flush=True)
    process = multiprocessing.get_context("fork").Process(target=child, daemon=True)
    process.start(); process.join()
    print(process.exitcode)
    """)
    wanted = str([str(i) for i in range(5)])
    assert printed.splitlines() == [wanted, wanted, "0"]


@pytest.mark.timeout(120)
def test_ctrl_c_ends_iterations_that_hang(script):
    printed = script("""
    import signal
    from epochly import _cluster
    def later():
        while _cluster.client().metrics()["running"] == 0:
            pause.wait(0.01)
        os.kill(os.getpid(), signal.SIGINT)
    pause = threading.Event()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=later).start()
    try:
        script_work.hangs(range(10))
    except KeyboardInterrupt:
        print("interrupted")
    print([text for text, _ in script_work.work(range(3))])
    """)
    assert printed.splitlines() == ["interrupted", "['0', '1', '2']"]


@pytest.mark.timeout(120)
def test_an_alarm_ends_iterations_that_hang_and_their_processes_are_free_again(script):
    printed = script("""
    import signal
    def too_long(*_):
        raise TimeoutError("it hangs")
    signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        script_work.hangs(range(10))
    except TimeoutError as error:
        print(error)
    found = script_work.work(range(60))
    print([text for text, _ in found] == [str(item) for item in range(60)], {pid for _, pid in found} > {os.getpid()})
    """)
    assert printed.splitlines() == ["it hangs", "True True"]


@pytest.mark.timeout(120)
def test_without_processes_it_runs_here_and_says_so(script, monkeypatch, run_python, tmp_path):
    printed = run_python(f"""
        import sys, os
        sys.path.insert(0, {str(tmp_path)!r})
        import script_work, epochly
        sys.path.insert(0, {str(ROOT)!r})
        from tests.support import level3
        from epochly.loops import team
        level3.send_everything()
        found, why = team.await_started()
        print(found)
        print([text for text, _ in script_work.work(range(5))] == list("01234"))
        print(epochly.report(script_work.work).level, any("no processes" in why for _, why in
              epochly.report(script_work.work).declined))
    """, EPOCHLY_ADDRESS=f"unix:{tmp_path}/nobody.sock")
    assert printed.splitlines() == ["None", "True", "0 True"]


@pytest.mark.timeout(120)
def test_a_cluster_that_the_environment_names_runs_it_on_its_workers(script, tmp_path, run_python):
    from epochly.embedded import Cluster

    cluster = Cluster(workers=2, cpu_slots=1)
    try:
        printed = run_python(SCRIPT.format(folder=str(tmp_path), root=str(ROOT)) + """
    script_work.PAUSE = 0.05
    found = script_work.work(range(20))
    print([text for text, _ in found] == [str(i) for i in range(20)])
    print(len({pid for _, pid in found} - {os.getpid()}))
    """, EPOCHLY_ADDRESS=cluster.address, PYTHONPATH=str(tmp_path))
    finally:
        cluster.stop()
    assert printed.splitlines() == ["True", "2"]


@pytest.mark.timeout(120)
def test_an_iteration_that_allocates_past_its_workers_limit_raises_memory_error(script, tmp_path, run_python):
    from epochly.embedded import Cluster

    cluster = Cluster(workers=1, cpu_slots=2, worker_options=["--executor-memory", "1GiB"])
    (tmp_path / "greedy.py").write_text(
        "import epochly, os\n\nHERE = os.getpid()\n\n\n"
        "def take(item):\n    return str(len(bytearray(1 << (30 if item == 9 and os.getpid() != HERE else 10))))\n\n\n"
        "@epochly.optimize(level=3)\ndef takes(items):\n    return [take(item) for item in items]\n")
    try:
        printed = run_python(SCRIPT.format(folder=str(tmp_path), root=str(ROOT)) + """
    import greedy
    try:
        greedy.takes(range(20))
    except MemoryError:
        print("no memory")
    print([text for text, _ in script_work.work(range(9))] == [str(item) for item in range(9)])
    """, EPOCHLY_ADDRESS=cluster.address, PYTHONPATH=str(tmp_path))
    finally:
        cluster.stop()
    assert printed.splitlines() == ["no memory", "True"]


def test_a_function_whose_loops_are_always_small_is_left_alone_and_looked_at_again(started):
    @at3
    def work(items):
        return [text(item)[0] for item in items]

    reasons = []
    for _ in range(40):
        assert work(range(2)) == ["<0>", "<1>"]
        reasons.append(str(epochly.report(work).declined))
    alone = ["the last times" in each for each in reasons]
    assert alone[:3] == [False] * 3 and alone[3:11] == [True] * 8 and alone[11] is False and alone[12:28] == [True] * 16
