"""Level 3 on processes in a daemon process of multiprocessing, which may have no children of that module: it has a cluster of
its own, and that goes with it, however it ends."""
import signal
from pathlib import Path

import pytest

from tests.support.gone import await_gone

ROOT = Path(__file__).parents[3]

# The daemon prints the processes that its iterations ran on.
SCRIPT = """
import multiprocessing, os, signal, sys, threading
sys.path.insert(0, {root!r})
import epochly

def place(item):
    return str(item), os.getpid()

@epochly.optimize(level=3)
def work(items):
    return [place(item) for item in items]

def child(stays):
    from tests.support import level3
    level3.started()
    level3.send_everything()
    found = work(range(50))
    assert [text for text, _ in found] == [str(item) for item in range(50)]
    print(*sorted({{pid for _, pid in found}} - {{os.getpid()}}), flush=True)
    if stays:
        signal.pause()

def daemon(stays):
    process = multiprocessing.get_context("fork").Process(target=child, args=(stays,), daemon=True)
    process.start()
    return process
"""


@pytest.fixture
def run_script(run_python, tmp_path):
    def run(code):
        script = tmp_path / "script.py"
        script.write_text(SCRIPT.format(root=str(ROOT)) + code)
        return run_python(f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')")
    return run


def numbers(printed):
    found = [int(word) for word in printed.split()]
    assert found, "nothing ran on processes"
    return found


@pytest.mark.timeout(120)
def test_its_processes_go_when_it_returns(run_script):
    printed = run_script("""
process = daemon(stays=False)
process.join()
assert process.exitcode == 0, process.exitcode
""")
    await_gone(numbers(printed))


# Starts one that stays, and passes on what it has printed.
STAYING = """
read, write = os.pipe()
saved = os.dup(1)
os.dup2(write, 1)
process = daemon(stays=True)
os.dup2(saved, 1)
print(os.read(read, 1000).decode(), flush=True)
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["terminated", "killed"])
def test_its_processes_go_when_it_is_ended(run_script, number):
    printed = run_script(STAYING + f"""
os.kill(process.pid, {int(number)})
process.join()
assert process.exitcode == -{int(number)}
""")
    await_gone(numbers(printed))


@pytest.mark.timeout(120)
def test_its_processes_go_when_its_parent_ends(run_script):
    printed = run_script(STAYING)
    await_gone(numbers(printed))
