"""A long queue: how fast the scheduler accepts it, and what it costs in memory."""
import os
import time

from tests.bench.machine import resident_bytes

# The only executor sleeps for so long: nothing runs meanwhile, everything queues.
BLOCK_SECONDS = 3600
# Acceptance of a million tasks takes 20 s at most; a machine that needs ten times that has stopped.
PATIENCE_SECONDS = 240
POLL_SECONDS = 0.01


def measure(tasks):
    """Figures of ``tasks`` no-op tasks in the queue: seconds until accepted, bytes of scheduler and client, idle size."""
    import epochly.testing
    with epochly.testing.LocalCluster(workers=1, cpu_slots=1) as cluster:
        idle = resident_bytes(cluster.scheduler_pid)
        client = cluster.client
        client.submit(time.sleep, BLOCK_SECONDS, level=0)
        client.submit(abs, 0, level=0)  # the function is there before
        _await(lambda: client.metrics()["running"] >= 1)
        before, own_before = resident_bytes(cluster.scheduler_pid), resident_bytes(os.getpid())
        start = time.perf_counter()
        futures = [client.submit(abs, number, level=0) for number in range(tasks)]
        _await(lambda: _accepted(client) >= tasks)
        seconds = time.perf_counter() - start
        return {"queued": tasks, "seconds": seconds, "rss_idle": idle, "rss_before": before,
                "rss_full": resident_bytes(cluster.scheduler_pid), "argument_bytes": _argument_bytes(tasks),
                "client_bytes": (resident_bytes(os.getpid()) - own_before), "futures": len(futures)}


def _accepted(client):
    counted = client.metrics()
    return counted["queued"] + counted["running"] - 2


def _argument_bytes(tasks):
    """What the arguments themselves take: the pickle of ((number,), {})."""
    import pickle
    sample = range(0, tasks, max(1, tasks // 1000))
    return sum(len(pickle.dumps(((number,), {}), 5)) for number in sample) / len(sample) * tasks


def _await(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE_SECONDS} s")
        time.sleep(POLL_SECONDS)
