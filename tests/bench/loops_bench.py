"""Level 1 beside a hand-written ThreadPoolExecutor, and beside plain Python where nothing waits.

python -m tests.bench.loops_bench [--json FILE]; `./dev bench loops` prints the same table.
"""
import concurrent.futures
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from tests.bench.report import Table, at_least, at_most, publish, table_options
from tests.bench.turns import in_turns, ratio, timed, turns

REQUESTS = 200
REQUEST_SECONDS = 0.05
FILES = 10_000
ROUNDS = 5
BUSY_ROUNDS = 11
# Worker counts that a hand-written pool is tried with; its best is what counts.
WORKERS_TRIED = (16, 32, 64, 100, 200)


def get(url):
    with urllib.request.urlopen(url) as answer:
        return answer.read()


def requests(urls):
    return [get(url) for url in urls]


def read_files(paths):
    return [open(path).read() for path in paths]  # the guide's own line


def squares(numbers):
    return [square(number) for number in numbers]


def square(number):
    return number * number


def with_pool(workers, function, items):
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, items))


def request_rows():
    """(rows, sequential seconds, best pool's, level 1's)."""
    import epochly

    level1 = epochly.optimize(requests, level=1)
    # In a process of its own, so that it takes nothing of the interpreter that is measured.
    with subprocess.Popen([sys.executable, "-m", "tests.bench.echo_server", str(REQUEST_SECONDS)],
                          stdout=subprocess.PIPE, text=True) as server:
        try:
            base = server.stdout.readline().strip()
            urls = [f"{base}/{at}" for at in range(REQUESTS)]
            sequential, _ = timed(requests, urls)
            first, _ = timed(level1, urls)
            ways = {f"pool of {count}": lambda count=count: with_pool(count, get, urls) for count in WORKERS_TRIED}
            ways["level 1"] = lambda: level1(urls)
            medians = in_turns(ways, ROUNDS)
        finally:
            server.terminate()
    ours = medians.pop("level 1")
    best = min(medians, key=medians.get)
    rows = [[f"{REQUESTS} requests of {REQUEST_SECONDS * 1e3:.0f} ms", sequential, medians[best], ours, sequential / ours],
            ["the same, first call of the process", sequential, None, first, sequential / first]]
    return rows, sequential, medians[best], ours


def busy_rows():
    """Rows of loops that do not wait, and what level 1 takes for the files over what plain Python takes: (rows, CPU, clock)."""
    import epochly

    rows, ratios = [], []
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, str(at)) for at in range(FILES)]
        for at, path in enumerate(paths):
            Path(path).write_text(str(at))
        # CPU time, of all threads, too: nothing waits, and other programs take nothing of it.
        for what, function, items in ((f"{FILES} file reads", read_files, paths),
                                      ("a million calls of x * x", squares, range(1_000_000))):
            level1 = epochly.optimize(function, level=1)
            ways = {"plain": lambda f=function, i=items: f(i), "level 1": lambda f=level1, i=items: f(i)}
            for of, clock in (("CPU", time.process_time), ("clock", time.perf_counter)):
                seconds = turns(ways, BUSY_ROUNDS, clock)
                plain, ours = seconds["plain"], seconds["level 1"]
                ratios.append(ratio(ours, plain))
                rows.append([f"{what}, {of}", statistics.median(plain), None, statistics.median(ours), 1 / ratios[-1]])
    return rows, *ratios[:2]


def table():
    waiting, sequential, best, ours = request_rows()
    computing, cpu_ratio, clock_ratio = busy_rows()
    targets = [at_least("requests: at least 40x sequential", sequential / ours, 40, "x"),
               at_most("requests: within 10 % of the best pool", ours / best, 1.1, "x"),
               at_most("file reads: no more CPU time than sequential (3 % for noise)", cpu_ratio, 1.03, "x"),
               at_most("file reads: no slower than sequential (3 % for noise)", clock_ratio, 1.03, "x")]
    return Table("loops", "Level 1: loops that wait, and loops that do not; seconds",
                 ["", "sequential", "best pool", "level 1", "level 1 is ... times"], [*waiting, *computing], targets)


def main(arguments):
    options = table_options(__doc__).parse_args(arguments)
    publish(table(), options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
