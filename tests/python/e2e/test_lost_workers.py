"""Nothing accepted is lost: workers are killed, frozen and cut off under load, and every task ends exactly once."""
import collections
import os
import signal
import threading
import time

import epochly.testing
from tests.support.hosts import until

TASKS = 10_000


def work(n):
    end = time.perf_counter() + 0.001
    while time.perf_counter() < end:
        pass
    return n * n


def test_a_worker_killed_every_second_under_10_000_tasks_loses_none_and_each_result_is_seen_once():
    seen = collections.Counter()
    lock = threading.Lock()

    def count(future):
        with lock:
            seen[future.result()] += 1

    with epochly.testing.LocalCluster(workers=2) as cluster:
        futures = [cluster.client.submit(work, n) for n in range(TASKS)]
        for future in futures:
            future.add_done_callback(count)
        killed = 0
        while not all(future.done() for future in futures):
            cluster.add_worker()
            cluster.kill_worker(0)
            killed += 1
            deadline = time.monotonic() + 1
            while time.monotonic() < deadline and not futures[-1].done():
                time.sleep(0.01)
        assert cluster.client.gather(futures) == [n * n for n in range(TASKS)]
        totals = cluster.client.metrics()
    assert killed >= 2, "the tasks ended before any worker was killed under them"
    assert seen == collections.Counter({n * n: 1 for n in range(TASKS)})
    assert (totals["succeeded"], totals["failed"], totals["cancelled"]) == (TASKS, 0, 0)


def test_a_frozen_workers_tasks_run_elsewhere_and_it_may_come_back():
    with epochly.testing.LocalCluster(workers=1) as cluster:
        client = cluster.client
        frozen = cluster.worker_pids[0]
        held = client.submit(time.sleep, 0.5, level=0)
        until(lambda: client.workers()[0]["load"]["inflight"] == 1)
        os.kill(frozen, signal.SIGSTOP)
        try:
            cluster.add_worker()
            assert held.result(30) is None
            assert held.placement.attempt == 2
            until(lambda: [w["pid"] for w in client.workers()] != [frozen] and len(client.workers()) == 1)
        finally:
            os.kill(frozen, signal.SIGCONT)
        until(lambda: len(client.workers()) == 2)
        assert client.gather([client.submit(work, n) for n in range(100)]) == [n * n for n in range(100)]
