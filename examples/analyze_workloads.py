"""The main job: your kinds of Python work measured, classified, routed to a worker, run and timed per level.

    python examples/analyze_workloads.py [--quick] [--stay]

Each workload is run three ways in this one process: as plain Python (the time everything is compared with), at level 0 with
Epochly's monitoring (what it is classified by), and through the cluster. The three answers must be equal, or the exit code
is 1. Uses numpy and rich where they are installed: pip install "epochly-client[demo]".
"""
import argparse
import contextlib
import functools
import json
import os
import random
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from slow_server import SlowServer
from terminal import Terminal

import epochly
from epochly import levels

try:
    import numpy
except ImportError:
    numpy = None

# The guide's words for what the processor's share of the time says.
CPU_RATIO_CPU_BOUND = 0.8
CPU_RATIO_IO_BOUND = 0.3
# Seconds that the local server takes to answer.
LATENCY_WAITING = 0.05
LATENCY_MIXED = 0.02
# Of a worker's name in the table.
WORKER_CHARACTERS = 14


# ---- the work, as its authors wrote it ----------------------------------------------------------------------------------
def fetch(url):
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def read_file(path):
    with open(path) as file:
        return file.read()


def compute_heavy(data):
    result = 0
    for x in data:
        result += x ** 2 + x ** 0.5
    return result


def complex_transform(record):
    a, b = record
    s = 0.0
    for k in range(1, 60):
        s += (a * k) % 7 + (b / k)
    return s


def smooth(values):
    """A moving sum over a part of a signal: parts do not depend on each other."""
    out = []
    for i in range(2, len(values)):
        out.append(values[i] * 0.5 + values[i - 1] * 0.3 + values[i - 2] * 0.2)
    return out


def memory_heavy(arr):
    return [arr[i:i + 1000].sum() for i in range(0, len(arr), 1000)]


def energy(matrix):
    return float(((matrix * 1.5 - 0.25) ** 2).sum())


def fetch_and_transform(url):
    """Waits, then computes: neither is most of it."""
    return [complex_transform(record) for record in fetch(url) * 12]


# ---- the workloads: a function and the inputs it is called with -----------------------------------------------------------
@dataclass
class Workload:
    name: str
    function: Callable
    items: list
    before: Callable = lambda: None  # called ahead of each of the three runs
    needs: str = ""                  # what is missing to run it; then there are no items


def workloads(server, folder, quick):
    """All of them; ``quick`` ones are a few times smaller. server: of the URLs; folder: where the files may be written."""
    draw = random.Random(7)
    scale = 1 if quick else 3
    signal = [draw.random() for _ in range(150_000)]
    paths = write_files(folder, 16 * scale)
    return [
        Workload("web requests", fetch, [server.url(i, LATENCY_WAITING) for i in range(8 * scale)]),
        Workload("files", read_file, paths, before=functools.partial(drop_from_cache, paths)),
        Workload("compute_heavy", compute_heavy, [[draw.random() for _ in range(60_000)] for _ in range(8 * scale)]),
        Workload("signal parts", smooth, [signal[i:] + signal[:i] for i in range(4 * scale)]),
        *array_workloads(scale),
        Workload("pipeline", fetch_and_transform, [server.url(i, LATENCY_MIXED) for i in range(8 * scale)]),
    ]


def array_workloads(scale):
    if numpy is None:
        return [Workload(name, function, [], needs="needs numpy")
                for name, function in (("array slices", memory_heavy), ("large arrays", energy))]
    draw = numpy.random.default_rng(7)
    return [Workload("array slices", memory_heavy, [draw.random(2_000_000) for _ in range(2 * scale)]),
            Workload("large arrays", energy, [draw.random((3200, 3200)) for _ in range(scale)])]


def write_files(folder, count):
    """Paths of ``count`` text files of 256 KiB, on the disk and not only in its cache."""
    paths = []
    for number in range(count):
        paths.append(os.path.join(folder, f"{number}.txt"))
        with open(paths[-1], "w") as file:
            file.write(f"line of file {number:04}\n" * (256 * 1024 // 18))
            file.flush()
            os.fsync(file.fileno())
    return paths


def drop_from_cache(paths):
    """Asks the kernel to forget the files, so that reading them waits for the disk."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


# ---- the three ways to run one --------------------------------------------------------------------------------------------
@dataclass
class Finding:
    """What came of one workload."""
    workload: Workload
    metrics: dict = None        # epochly.get_metrics of its function, and the block's own, measured at level 0
    plain_seconds: float = 0.0
    cluster_seconds: float = 0.0
    futures: list = None
    equal: bool = True


def analyze(client, workload):
    """Runs it in all three ways and compares."""
    if workload.needs:
        return Finding(workload)
    plain, plain_seconds = run_plain(workload)
    measured, observed, metrics = run_measured(workload)
    spread, futures, cluster_seconds = run_on_cluster(client, workload, measured)
    return Finding(workload, metrics, plain_seconds, cluster_seconds, futures, same(plain, observed) and same(plain, spread))


def run_plain(workload):
    workload.before()
    start = time.perf_counter()
    answers = [workload.function(item) for item in workload.items]
    return answers, time.perf_counter() - start


def run_measured(workload):
    """The function decorated, its answers, and what Epochly measured of it."""
    measured = epochly.optimize(level=0)(workload.function)
    workload.before()
    with epochly.monitoring_context() as block:
        answers = [measured(item) for item in workload.items]
    metrics = {**epochly.get_metrics(measured), "cpu_ratio": block.get("cpu_time_ms") / block.get("total_time_ms"),
               "memory_peak_mb": block.get("memory_peak_mb")}
    return measured, answers, metrics


def run_on_cluster(client, workload, measured):
    """One task per item; the cluster picks the level, from what was measured."""
    client.submit(measured, workload.items[0]).result()  # the function travels once: not in the time
    workload.before()
    start = time.perf_counter()
    futures = [client.submit(measured, item) for item in workload.items]
    answers = client.gather(futures)
    return answers, futures, time.perf_counter() - start


def same(expected, answers):
    """Equal to the last bit and of the same types."""
    return len(expected) == len(answers) and all(
        type(a) is type(b) and (a == b if not isinstance(a, list) else same(a, b)) for a, b in zip(expected, answers))


# ---- what is shown --------------------------------------------------------------------------------------------------------
HEAD = ["workload", "io", "loops", "size", "class", "level chosen", "ran", "worker", "time", "speed-up"]


def row(finding):
    """The cells of one workload's line."""
    workload, metrics = finding.workload, finding.metrics
    if workload.needs:
        return [workload.name, workload.needs] + [""] * (len(HEAD) - 2)
    report = finding.futures[-1].placement
    return [workload.name, f"{metrics['io_wait_ratio']:.2f}", short(metrics.get("avg_loop_iterations")),
            short(metrics.get("avg_data_size")), kind(metrics), level_text(report.level_chosen), str(report.level),
            shorter(report.worker), seconds_text(finding.cluster_seconds),
            f"{finding.plain_seconds / finding.cluster_seconds:.1f}x" if finding.equal else "WRONG"]


def why(finding):
    """The line below it: why that level, and who declined."""
    if finding.workload.needs:
        return ""
    report = finding.futures[-1].placement
    declined = [f"level {level} declined: {reason}" for level, reason in report.declined]
    return "; ".join([report.why, *declined])


def kind(metrics):
    """The guide's class of a workload."""
    if metrics["cpu_ratio"] < CPU_RATIO_IO_BOUND:
        return "I/O-bound"
    if metrics["cpu_ratio"] <= CPU_RATIO_CPU_BOUND:
        return "mixed"
    loops, size = metrics.get("avg_loop_iterations", 0), metrics.get("avg_data_size", 0)
    if size > levels.DATA_SIZE_GPU:
        return "large arrays"
    if size > levels.DATA_SIZE_PARALLEL:
        return "data-parallel" if loops > levels.LOOP_ITERATIONS else "memory-bound"
    return "CPU-bound"


def level_text(level):
    return f"{level} {levels.NAMES[level]}"


def shorter(name):
    """A worker's name, its end: host names are long, and the process id is there."""
    return name if len(name) <= WORKER_CHARACTERS else "…" + name[1 - WORKER_CHARACTERS:]


def short(figure):
    """1234567 as "1.2M"; "-" for what was not measured."""
    if figure is None:
        return "-"
    for unit, scale in (("M", 1e6), ("k", 1e3)):
        if figure >= scale:
            return f"{figure / scale:.3g}{unit}"
    return f"{figure:.3g}"


def seconds_text(seconds):
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.0f} ms"


def show_metrics(terminal, client):
    """Where the figures are for machines, with some of them."""
    if client.http_url is None:
        terminal.say("REST is off on this scheduler.")
        return
    with urllib.request.urlopen(f"{client.http_url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    figures = "epochly_task_phase_seconds_sum", "epochly_task_phase_seconds_count"
    wanted = [line for line in lines if line.startswith(figures)]
    terminal.say(f"Prometheus:  {client.http_url}/metrics      for instance, time by level and phase:")
    for line in wanted:
        terminal.say(f"  {line}")
    terminal.say(f"REST:        curl -s {client.http_url}/api/v1/functions")


# ---- the main job ---------------------------------------------------------------------------------------------------------
def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller workloads: a few seconds instead of many")
    parser.add_argument("--stay", action="store_true", help="keep the cluster at the end, for curl, until Ctrl-C")
    return parser.parse_args()


def main():
    options, terminal = parse(), Terminal()
    epochly.set_level(0)
    with SlowServer() as server, tempfile.TemporaryDirectory() as folder, epochly.connect() as client:
        terminal.say(f"cluster: {client.address}, workers: {', '.join(worker['name'] for worker in client.workers())}\n")
        findings = run_all(terminal, client, workloads(server, folder, options.quick))
        terminal.table(HEAD, [row(finding) for finding in findings], [why(finding) for finding in findings])
        terminal.say()
        show_metrics(terminal, client)
        wrong = [finding.workload.name for finding in findings if not finding.equal]
        terminal.say(f"\nWRONG ANSWERS: {', '.join(wrong)}" if wrong
                     else "\nEvery answer is plain Python's, to the last bit.")
        if options.stay:
            stay(terminal)
        elif client.http_url is not None and "EPOCHLY_ADDRESS" not in os.environ:
            terminal.say("The cluster ends with this program; --stay keeps it, for a look with curl.")
    return 1 if wrong else 0


def run_all(terminal, client, todo):
    findings = []
    with terminal.progress("measuring", len(todo)) as advance:
        for workload in todo:
            findings.append(analyze(client, workload))
            advance(workload.name)
    return findings


def stay(terminal):
    with contextlib.suppress(KeyboardInterrupt):
        terminal.say("The cluster stays until Ctrl-C.")
        threading.Event().wait()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
