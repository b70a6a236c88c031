"""The measurements of one peer. Raw figures only: ratios and targets are the report's business."""
import time

from tests.bench.work import noop, spin

# Tasks that find out how fast a peer is, before a batch of the wanted length is sent.
PROBE_TASKS = 200
# No batch is longer: a peer that takes 200k tasks/s is measured on 400k in 2 s, and each future costs memory.
BATCH_TASKS_MAX = 1_000_000
# METG: iterations of the kernel per task, the first as large as any peer can run at full efficiency (12 ms) ...
SPIN_ITERATIONS_FIRST = 1 << 19
# ... and as many tasks, at least, as even out the start and the end of a batch.
POINT_TASKS_PER_WORKER_MIN = 8
# Points finer than this efficiency tell nothing more of where 50 % is crossed.
EFFICIENCY_LAST = 0.35


def tasks_per_second(peer, seconds):
    """{"tasks", "seconds"}: a batch of no-op tasks, submitted one by one, until the last result is back."""
    rate = _rate(peer, noop, 1, PROBE_TASKS)
    tasks = int(min(max(rate * seconds, PROBE_TASKS), BATCH_TASKS_MAX))
    return {"tasks": tasks, "seconds": _batch(peer, noop, range(tasks))}


def round_trips(peer, count):
    """Seconds of each of ``count`` lone tasks: submitted, waited for, one after the other."""
    times = []
    for i in range(count):
        start = time.perf_counter()
        answer = peer.wait([peer.submit(noop, i)])
        times.append(time.perf_counter() - start)
        if answer != [i]:
            raise AssertionError(f"{peer.name} answered {answer} to {i}")
    return times


def granularity_points(peer, workers, seconds):
    """[{"iterations", "tasks", "seconds"}]: from coarse tasks to fine ones, until efficiency is well below one half.

    As Task Bench (Slaughter et al., SC20) measures METG: the same kernel, ever fewer iterations per task, all cores.
    """
    points = []
    iterations = SPIN_ITERATIONS_FIRST
    best = 0.0
    overhead = 1 / _rate(peer, noop, 1, PROBE_TASKS)
    while iterations >= 1:
        tasks = _tasks_for(iterations, best, overhead, workers, seconds)
        elapsed = _batch(peer, spin, [iterations] * tasks, check=False)
        points.append({"iterations": iterations, "tasks": tasks, "seconds": elapsed})
        rate = tasks * iterations / elapsed
        best = max(best, rate)
        if rate < EFFICIENCY_LAST * best:
            break
        iterations //= 2
    return points


def warm_up(peer, workers):
    """Until every worker process is there and has the functions."""
    for _ in range(3):
        _batch(peer, noop, range(20 * workers))
        _batch(peer, spin, [1000] * (20 * workers), check=False)


def _tasks_for(iterations, rate, overhead, workers, seconds):
    """How many tasks take about ``seconds``; a multiple of the workers, so that the last ones end together."""
    if rate == 0:
        return POINT_TASKS_PER_WORKER_MIN * workers
    each = max(iterations / rate, overhead)
    wanted = min(int(seconds / each / workers), BATCH_TASKS_MAX // workers)
    return max(POINT_TASKS_PER_WORKER_MIN, wanted) * workers


def _rate(peer, fn, argument, tasks):
    return tasks / _batch(peer, fn, [argument] * tasks, check=False)


def _batch(peer, fn, arguments, check=True):
    """Seconds from the first submit to the last result."""
    start = time.perf_counter()
    answers = peer.wait([peer.submit(fn, argument) for argument in arguments])
    elapsed = time.perf_counter() - start
    if check and list(answers) != list(arguments):
        raise AssertionError(f"{peer.name} gave wrong answers")
    return elapsed
