"""Level 3 on processes: large arrays that iterations read. Never an old value, and no copy that is not needed."""
import gc
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy
import pytest

import epochly
from epochly.loops import arrived, kept, shipping

HERE = os.getpid()
ROOT = Path(__file__).parents[3]
MINE = f"epochly-{os.getuid()}-{HERE:08x}"


def at3(function):
    return epochly.optimize(function, level=3)


def text(item):
    return f"<{item}>", os.getpid()


def objects():
    """Names of this process's shared memory objects."""
    return {name for name in os.listdir("/dev/shm") if name.startswith(MINE)}


@pytest.fixture
def nothing_kept():
    kept.clear()
    gc.collect()
    assert objects() == set()


@pytest.mark.usefixtures("eager")
def test_arrays_are_read_where_they_are_and_items_of_arrays_are_those_of_numpy():
    table = numpy.arange(200_000.0).reshape(100, 2000)

    def row(at):
        return float(table[at].sum()), os.getpid(), str(at)

    @at3
    def by_index(count):
        return [row(at) for at in range(count)]

    @at3
    def by_row(rows):
        return [(float(each.sum()), each.shape, type(each).__name__, str(each.dtype), os.getpid()) for each in rows]

    found = by_index(100)
    assert [each[0] for each in found] == [float(each.sum()) for each in table]
    assert {each[1] for each in found} > {HERE}
    found = by_row(table)
    assert [each[:4] for each in found] == [(float(each.sum()), (2000,), "ndarray", "float64") for each in table]
    assert any(each[4] != HERE for each in found)
    scalars = at3(lambda items: [(type(item).__name__, str(item)) for item in items])(numpy.arange(5, dtype="int16"))
    assert scalars == [("int16", str(i)) for i in range(5)]


def value_of(table, at):
    return float(table[at, 0]), os.getpid(), str(at)


@at3
def firsts(table):
    return [value_of(table, at) for at in range(len(table))]


def seen(table):
    """What iterations found in the first column; some of them elsewhere."""
    found = firsts(table)
    assert {pid for _, pid, _ in found} > {HERE} and epochly.report(firsts).level == 3
    return [value for value, _, _ in found]


@pytest.mark.usefixtures("eager", "nothing_kept")
def test_an_array_is_copied_once_and_its_copy_goes_with_it():
    table = numpy.arange(100_000.0).reshape(50, 2000)
    seen(table)
    copy = objects()
    seen(table)
    assert objects() == copy and len(copy) == 1
    del table
    gc.collect()
    assert objects() == set()


@pytest.mark.usefixtures("eager", "nothing_kept")
@pytest.mark.parametrize("change", [
    lambda table: table.__setitem__((7, 0), -1.0),
    lambda table: table.fill(3.0),
    lambda table: table[10:12].reshape(-1).__setitem__(0, -2.0),
    lambda table: memoryview(table).cast("B").cast("d").__setitem__(2000 * 49, -3.0),
], ids=["an element", "all", "a view", "behind numpy's back"])
def test_what_has_changed_since_the_last_run_is_seen(change):
    table = numpy.arange(100_000.0).reshape(50, 2000)
    for _ in range(3):
        assert seen(table) == table[:, 0].tolist()
        change(table)
        assert seen(table) == table[:, 0].tolist()
        table[:] += 1


@pytest.mark.usefixtures("eager", "nothing_kept")
def test_every_kind_of_view_of_an_array_is_read_as_it_is():
    base = numpy.arange(400_000.0).reshape(200, 2000)
    for view in (base, base[50:], base[:, ::-1], base[::2], base.T[:100], numpy.asfortranarray(base), base.astype("f4")):
        assert seen(view) == view[:, 0].tolist()
        base *= -1.5
        assert seen(view) == view[:, 0].tolist()


@pytest.mark.usefixtures("eager", "nothing_kept")
def test_a_run_that_reads_a_copy_keeps_what_it_reads_while_another_has_new_values():
    """Of two threads, the second changes the array while the first is in the middle of its loop."""
    table = numpy.zeros((40, 2000))
    middle, changed = threading.Event(), threading.Event()

    def wait_after(items):
        for at in items:
            if at == 20:
                middle.set()
                assert changed.wait(60)
            yield at

    @at3
    def work(table, items):
        return [value_of(table, at)[0] for at in items]

    old = []
    first = threading.Thread(target=lambda: old.extend(work(table, wait_after(range(40)))))
    first.start()
    assert middle.wait(60)
    table[:] = 1.0
    new = seen(table)
    changed.set()
    first.join()
    assert new == [1.0] * 40
    assert old[1:20] == [0.0] * 19  # the first iteration's own run is over as well
    assert seen(table) == [1.0] * 40


@pytest.mark.usefixtures("eager", "nothing_kept")
def test_copies_that_are_kept_stay_under_their_bound(monkeypatch):
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    tables = [numpy.full((50, 2000), float(k)) for k in range(6)]
    monkeypatch.setattr(kept, "KEPT_SHARE_MAX", 2.5 * tables[0].nbytes / memory)
    for table in tables:
        assert seen(table) == table[:, 0].tolist()
        assert len(objects()) <= 2
    monkeypatch.setattr(kept, "KEPT_SHARE_MAX", 0.5 * tables[0].nbytes / memory)
    kept.clear()
    assert seen(tables[0]) == [0.0] * 50
    assert objects() == set()


@pytest.mark.usefixtures("eager", "nothing_kept")
def test_no_more_arrays_are_known_than_the_bound(monkeypatch):
    monkeypatch.setattr(kept, "KNOWN_MAX", 3)
    tables = [numpy.full((50, 2000), float(k)) for k in range(5)]
    for table in tables:
        seen(table)
    assert len(kept._known) == 3 and len(objects()) == 3


@pytest.mark.usefixtures("eager", "nothing_kept")
def test_processes_do_not_hold_on_to_arrays_of_runs_that_are_over():
    def mapped(pid):
        with open(f"/proc/{pid}/maps") as maps:
            ranges = [line.split()[0].split("-") for line in maps if f"/dev/shm/{MINE}" in line]
        return sum(int(end, 16) - int(begin, 16) for begin, end in ranges)

    pids, nbytes = set(), 8 << 20
    for k in range(2 * (arrived.COLLECTED_BYTES + arrived.HELD_BYTES_MAX) // nbytes):
        table = numpy.full((64, nbytes // 64 // 8), float(k))
        pids.update(pid for _, pid, _ in firsts(table))
    assert epochly.report(firsts).level == 3
    most = arrived.HELD_BYTES_MAX + arrived.COLLECTED_BYTES + 2 * nbytes
    assert all(mapped(pid) <= most for pid in pids - {HERE})


def test_a_copy_that_costs_more_than_it_gains_is_not_made(eager, monkeypatch):
    from epochly.loops import shipping

    monkeypatch.setattr(shipping, "COPYING_SHARE_MAX", 0.0)

    @at3
    def work(items):
        return [text(item)[0] for item in items]

    assert work(range(10)) == [f"<{i}>" for i in range(10)]
    report = epochly.report(work)
    assert report.level == 0 and any("to copy, too much for a gain" in reason for _, reason in report.declined)


@pytest.mark.timeout(120)
def test_a_process_that_is_killed_leaves_no_shared_memory_behind(environment, tmp_path):
    (tmp_path / "killed.py").write_text(f"""
import os, signal, sys, numpy, epochly
sys.path.insert(0, {str(ROOT)!r})
from tests.support import level3

def value_of(table, at):
    return float(table[at, 0]), str(at)

@epochly.optimize(level=3)
def firsts(table):
    return [value_of(table, at) for at in range(len(table))]

level3.started()
level3.send_everything()
table = numpy.ones((50, 2000))
firsts(table)
print(*(name for name in os.listdir("/dev/shm") if f"{{os.getpid():08x}}" in name), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
""")
    done = subprocess.run([sys.executable, tmp_path / "killed.py"], capture_output=True, text=True, env=environment)
    names = done.stdout.split()
    assert len(names) == 1, done.stderr
    pause = threading.Event()
    while set(names) & set(os.listdir("/dev/shm")):  # a test that waits forever is ended by its timeout
        pause.wait(0.02)


@pytest.mark.parametrize("gain, misses", [(2.5, 0), (0.5, 2), (0.41, 3), (0.3, None)])
def test_an_array_that_comes_again_is_copied_once_the_runs_without_have_missed_as_much(gain, misses):
    """gain: of a run, in times of what copying takes. Comparing takes a fifth of that, which must be worth it each time."""
    table = numpy.ones(1 << 20)
    for run in range(20):
        loan = kept.Loan([pickle.PickleBuffer(table)])
        try:
            shipping.require_worth(0, loan, gain * table.nbytes * kept.COPYING_SECONDS)
        except epochly.FunctionNotPicklable:
            continue
        assert run == misses
        return
    assert misses is None
