"""memory_limit with spill: results that do not fit wait on disk, come back in order, and leave nothing there."""
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy
import pytest

import epochly
from epochly.loops import spill

pytestmark = pytest.mark.usefixtures("eager")
ROOT = Path(__file__).parents[3]
LIMIT = "16MB"  # 8 MB for results, a quarter of a megabyte for each of 32 chunks
LARGE = 1 << 20


def spilling(function, folder):
    return epochly.optimize(function, level=3, memory_limit=LIMIT, spill=folder)


def block_of(item, size):
    return {"item": str(item), "block": numpy.full(size // 8, float(item))}


def blocks(items, size):
    return [block_of(item, size) for item in items]


def files_in(folder):
    return [name for _, _, names in os.walk(folder) for name in names]


def mapped(folder):
    """Bytes of files in a folder, or once there, that are mapped here."""
    with open("/proc/self/maps") as maps:
        ranges = [line.split()[0].split("-") for line in maps if f" {folder}/" in line]
    return sum(int(end, 16) - int(begin, 16) for begin, end in ranges)


def test_large_results_come_back_from_disk_in_order_and_their_files_go(tmp_path):
    work = spilling(blocks, tmp_path)
    found = work(range(30), LARGE)
    assert [each["item"] for each in found] == [str(item) for item in range(30)]
    assert all((each["block"] == float(item)).all() for item, each in enumerate(found))
    assert epochly.report(work).level == 3
    assert mapped(tmp_path) > 20 * LARGE  # all but the first, which ran here
    assert files_in(tmp_path) == []
    found[7]["block"][:] = 5.0  # they are like any other
    assert (found[8]["block"] == 8.0).all()
    del found
    assert mapped(tmp_path) == 0


def test_results_that_fit_stay_in_memory(tmp_path):
    work = spilling(blocks, str(tmp_path))
    found = work(range(30), 1024)
    assert [each["item"] for each in found] == [str(item) for item in range(30)]
    assert epochly.report(work).level == 3 and mapped(tmp_path) == 0 and files_in(tmp_path) == []


def test_a_context_may_say_so_too_and_true_is_the_folder_for_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def undecorated(items, size):
        return [block_of(item, size) for item in items]

    with epochly.optimize_context(level=3, memory_limit=LIMIT, spill=True):
        found = undecorated(range(10), LARGE)
    assert [each["item"] for each in found] == list("0123456789")
    assert mapped(tmp_path) > 0


def test_items_that_come_back_from_disk_are_the_items(tmp_path):
    rows = [[item] for item in range(20)]

    def pairs(rows):
        return [(row, block_of(row[0], LARGE)) for row in rows]

    found = spilling(pairs, tmp_path)(rows)
    assert all(row is wanted for (row, _), wanted in zip(found, rows))
    assert mapped(tmp_path) > 0


def test_the_first_failing_iteration_raises_its_own_error_and_no_file_stays(tmp_path):
    def fails(items):
        return [block_of(1 // (12 - item), LARGE) for item in items]

    with pytest.raises(ZeroDivisionError):
        spilling(fails, tmp_path)(range(40))
    pause = threading.Event()
    while files_in(tmp_path):  # those of chunks that nobody waits for go when they have ended
        pause.wait(0.02)


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "epochly", folder]).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)  # what a failed call has returned is still mapped by its traceback


def test_a_full_disk_is_a_typed_error_and_the_disk_is_as_it_was(small_disk, tmp_path):
    work = spilling(blocks, small_disk)
    with pytest.raises(epochly.SpillFailed, match="do not fit on the disk"):
        work(range(30), LARGE)
    assert isinstance(epochly.SpillFailed(""), OSError)
    assert files_in(small_disk) == []
    assert len(spilling(blocks, tmp_path)(range(10), LARGE)) == 10


def test_a_disk_that_fills_up_while_a_file_is_written_is_the_same_error(small_disk):
    spiller = spill.Spiller(str(small_disk), 0)
    parts = [memoryview(bytes(5 << 20))]
    keeps = pytest.MonkeyPatch()
    keeps.setattr(spill, "_require_room", lambda folder, size: None)
    try:
        with pytest.raises(epochly.SpillFailed, match="No space left"):
            spiller(bytes(parts[0]))
    finally:
        keeps.undo()
    assert files_in(small_disk) == []


def test_some_of_a_disk_is_left_to_others(small_disk):
    spiller = spill.Spiller(str(small_disk), 0)
    assert isinstance(spiller(bytes(3 << 20)), spill.Spilled)
    with pytest.raises(epochly.SpillFailed, match="left to others"):
        spiller(bytes(int(0.97 * (1 << 20))))


@pytest.mark.timeout(120)
def test_a_process_that_is_killed_leaves_no_file_behind(environment, tmp_path):
    folder = tmp_path / "spilled"
    folder.mkdir()
    (tmp_path / "killed.py").write_text(f"""
import os, signal, sys, numpy, epochly
sys.path.insert(0, {str(ROOT)!r})
from tests.support import level3

def block_of(item):
    return str(item), numpy.full(1 << 17, float(item))

def until_killed():  # items are taken by this process, ahead of those that are handed on
    yield from range(20)
    while not any(names for _, _, names in os.walk({str(folder)!r})):
        yield 20
    print("spilled", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

@epochly.optimize(level=3, memory_limit="16MB", spill={str(folder)!r})
def work(items):
    return [block_of(item) for item in items]

level3.started()
level3.send_everything()
work(until_killed())
""")
    done = subprocess.run([sys.executable, tmp_path / "killed.py"], capture_output=True, text=True, env=environment)
    assert done.returncode == -signal.SIGKILL and done.stdout == "spilled\n", done.stderr
    pause = threading.Event()
    while os.listdir(folder):  # a test that waits forever is ended by its timeout
        pause.wait(0.02)


@pytest.mark.parametrize("limit, wanted, error", [
    (None, True, ValueError), ("1GB", "/no/such/folder", ValueError), ("1GB", 3.5, TypeError)])
def test_what_is_no_place_for_results_is_refused(limit, wanted, error):
    with pytest.raises(error, match="spill"):
        epochly.optimize(lambda: None, level=3, memory_limit=limit, spill=wanted)
    with pytest.raises(error, match="spill"):
        epochly.optimize_context(3, memory_limit=limit, spill=wanted)
