"""One call at level 3 over workers on several hosts, and workers that are lost in the middle of it."""
import os
import signal
import threading
import time

import pytest

import epochly
from tests.support.hosts import until

HERE = os.readlink("/proc/self/ns/net")


def at3(function):
    return epochly.optimize(function, level=3)


def place():
    """The host that this runs on."""
    return os.readlink("/proc/self/ns/net")


def third(item):
    return item / 3, place()


def test_a_call_splits_over_workers_of_several_hosts_and_a_sum_has_the_bits_of_one_machine(workers):
    @at3
    def work(items):
        total, places = 0.0, []
        for item in items:
            part, where = third(item)
            total += part
            places.append(where)
        return total, places

    total, places = work(range(500))
    alone = 0.0
    for item in range(500):
        alone += item / 3
    assert total == alone
    assert len(set(places) - {HERE}) == 2 and epochly.report(work).level == 3
    workers.await_idle()


def test_memory_of_this_host_is_not_sent_to_another(workers):
    numpy = pytest.importorskip("numpy")
    table = numpy.arange(40_000.0).reshape(40, 1000)

    @at3
    def work(count):
        return [(float(table[at].sum()), place(), str(at)) for at in range(count)]

    found = work(40)
    assert [each[0] for each in found] == table.sum(axis=1).tolist()
    assert len({each[1] for each in found} - {HERE}) == 2
    assert [worker["shares_memory"] for worker in workers.client.workers()] == [False, False]


def held(item, files):
    """Waits on the first of the hosts that runs one, until it is let go or lost."""
    if place() == HERE:
        return item, HERE
    try:
        os.mkdir(files / "held")
        (files / "where").write_text(f"{place()} {os.getpid()}")
        (files / "held" / "told").touch()
    except FileExistsError:
        pass
    if (files / "held").exists() and (files / "where").exists() and (files / "where").read_text().split()[0] == place():
        while not (files / "free").exists():
            time.sleep(0.01)
    return item, place()


class Call(threading.Thread):
    """A call at level 3 on a thread, up to where an iteration is held on one of the hosts."""

    def __init__(self, workers):
        super().__init__()
        self.files = workers.files
        self.found = self.error = None
        self.work = at3(lambda items, files: [held(item, files) for item in items])
        self.start()
        until(lambda: (self.files / "held" / "told").exists())
        namespace, self.pid = (self.files / "where").read_text().split()
        at = [f"net:[{os.stat(f'/run/netns/{host.namespace}').st_ino}]" for host in workers.hosts].index(namespace)
        self.host, self.program = workers.hosts[at], workers.programs[at]

    def run(self):
        try:
            self.found = self.work(range(60), self.files)
        except Exception as error:
            self.error = error

    def ended(self):
        self.join(120)
        assert not self.is_alive()
        return self


def test_chunks_of_a_worker_that_is_killed_run_again_elsewhere(workers):
    call = Call(workers)
    os.kill(call.program.process.pid, signal.SIGKILL)
    found = call.ended().found
    assert call.error is None
    assert [item for item, _ in found] == list(range(60))
    assert epochly.report(call.work).level == 3
    until(lambda: call.host.pids() == set())  # its executors have gone with it
    workers.await_idle()


def test_chunks_of_a_host_whose_cable_is_pulled_run_again_elsewhere_and_it_may_come_back(workers):
    call = Call(workers)
    call.host.unplug()
    found = call.ended().found
    assert call.error is None
    assert [item for item, _ in found] == list(range(60))
    assert epochly.report(call.work).level == 3
    (workers.files / "free").touch()
    call.host.plug()
    until(lambda: len(workers.client.workers()) == 2, 60)
    workers.await_idle()
    again = call.work(range(30), workers.files)
    assert [item for item, _ in again] == list(range(30))


def test_the_chunk_of_a_process_that_is_killed_from_outside_runs_again_and_another_process_takes_its_place(workers):
    call = Call(workers)
    os.kill(int(call.pid), signal.SIGKILL)
    (workers.files / "free").touch()
    found = call.ended().found
    assert call.error is None
    assert [item for item, _ in found] == list(range(60))
    until(lambda: sum(worker["load"]["executor_restarts"] for worker in workers.client.workers()) == 1)
    workers.await_idle()
