"""How an executor ends when its worker is told to stop: by itself, cleanly, whatever user code has left running in it."""
import pytest

# Both kinds of executor: one task at a time, and many on threads.
MODES = pytest.mark.parametrize("level", [0, 1], ids=["cpu", "io"])

# {left}: what each task leaves behind in its executor's process.
SCRIPT = """
import pathlib, sys, threading, time
from epochly.testing import LocalCluster

LEVEL, MARKS = int(sys.argv[1]), pathlib.Path(sys.argv[2])

def leave_behind(marks):
    import atexit, os, pathlib
    pathlib.Path(marks, f"began-{{os.getpid()}}").touch()
    atexit.register(pathlib.Path(marks, f"ended-{{os.getpid()}}").touch)
    {left}
    time.sleep(0.01)

with LocalCluster(workers=1, cpu_slots=1, io_threads=8) as cluster:
    cluster.client.gather([cluster.client.submit(leave_behind, str(MARKS), level=LEVEL) for _ in range(16)])
"""

LEFT = {
    "nothing": "pass",
    "a text without an end of line": "sys.stdout.write('.')",
    "a thread": "threading.Thread(target=time.sleep, args=(600,)).start()",
    "a daemon thread": "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
    "a busy thread": "threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()",
    "a client of the cluster": "import epochly; epochly.connect().workers()",
    "a pool": "import concurrent.futures; concurrent.futures.ThreadPoolExecutor(1).submit(time.sleep, 600)",
    "an exit handler that raises": "atexit.register(lambda: 1 / 0)",
}


@pytest.fixture
def run_and_stop(script, tmp_path):
    """Runs tasks that leave something behind, then stops their worker. Returns what the processes wrote; the executor's exit
    handlers have run by then, which they do only if it ended by itself."""

    def run(left, level):
        marks = tmp_path / "marks"
        marks.mkdir()
        done = script(SCRIPT.format(left=LEFT[left]), str(level), str(marks))
        names = {name.name for name in marks.iterdir()}
        began = {name.removeprefix("began-") for name in names if name.startswith("began-")}
        assert began and began == {name.removeprefix("ended-") for name in names if name.startswith("ended-")}
        return done

    return run


@MODES
@pytest.mark.parametrize("left", [name for name in LEFT if name not in ("a text without an end of line",
                                                                        "an exit handler that raises")])
def test_an_executor_ends_by_itself_and_in_silence(run_and_stop, left, level):
    done = run_and_stop(left, level)
    assert (done.stdout, done.stderr) == ("", "")


@MODES
def test_what_was_printed_last_is_seen(run_and_stop, level):
    done = run_and_stop("a text without an end of line", level)
    assert (done.stdout, done.stderr) == ("." * 16, "")


@MODES
def test_an_exit_handler_that_raises_says_so_and_keeps_no_other_from_running(run_and_stop, level):
    done = run_and_stop("an exit handler that raises", level)
    assert done.stderr.count("ZeroDivisionError") == 16
    assert "terminate" not in done.stderr and "exited with" not in done.stderr
