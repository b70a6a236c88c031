"""Level 3 over two workers, each in a network namespace and pinned to a core of its own, beside one worker.

python -m tests.bench.hosts_bench [--json FILE] [--seconds N]; `./dev bench loops` prints the same table. Needs root and iproute2.
"""
import os
import sys
import tempfile
from pathlib import Path

import epochly
from tests.bench.processes_bench import loop, repeats_for
from tests.bench.report import Table, at_least, publish, table_options
from tests.bench.turns import timed
from tests.support import level3
from tests.support.hosts import Hosts, token_file_in, until, why_none

SECONDS = 10.0
ITEMS = 4000
PINNED = 2
# Of iterations that are compiled: numbers of each.
NUMBERS = 200_000


def longest_of(start, count):
    """Collatz steps: arithmetic that level 2 compiles."""
    most = 0
    for first in range(start, start + count):
        number, steps = first, 0
        while number > 1:
            number = number // 2 if number % 2 == 0 else 3 * number + 1
            steps += 1
        if steps > most:
            most = steps
    return most


longest = epochly.optimize(longest_of, level=2)


def longests(starts):
    return [str(longest(start, NUMBERS)) for start in starts]


def starts_for(seconds):
    longest(1, 1)  # compiled
    took, _ = timed(longest, 10**6, NUMBERS)
    return range(1, max(2, int(seconds / took)) * NUMBERS, NUMBERS)


def pinned(cluster, token_file):
    """The port of a scheduler with two workers, each pinned to a core."""
    port = cluster.scheduler(token_file)
    for core, host in enumerate(cluster.add(PINNED)):
        cluster.join(host, port, token_file, before=("taskset", "-c", str(core)))
    return port


def compare(client, function, *arguments):
    """Seconds of a call on one worker and split over all, and whether both gave the same."""
    split = epochly.optimize(function, level=3)
    level3.started()
    one, wanted = timed(lambda: client.submit(function, *arguments, level=0).result())
    two, found = timed(split, *arguments)
    assert found == wanted and epochly.report(split).level == 3
    return one, two


def table(seconds=SECONDS):
    rows, targets = [], []
    with tempfile.TemporaryDirectory() as folder, Hosts() as cluster:
        port = pinned(cluster, token_file_in(Path(folder)))
        os.environ.update(EPOCHLY_ADDRESS=f"tcp://127.0.0.1:{port}", EPOCHLY_TOKEN_FILE=f"{folder}/token")
        with epochly.connect() as client:
            until(lambda: len(client.workers()) == PINNED)
            for name, one, two in (
                    (f"{seconds:.3g} s of plain Python", *compare(client, loop, range(ITEMS), repeats_for(seconds))),
                    (f"{seconds:.3g} s of compiled functions", *compare(client, longests, starts_for(seconds)))):
                rows.append([name, one, two, one / two])
                targets.append(at_least(f"{name}: two workers at least 1.8x one", one / two, 1.8, "x"))
    return Table("hosts", f"Level 3 over {PINNED} workers in network namespaces, a core each; seconds",
                 ["", "one worker", "two workers", "two are ... times"], rows, targets)


def main(arguments):
    parser = table_options(__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of plain Python (10)")
    options = parser.parse_args(arguments)
    if why_none() is not None or len(os.sched_getaffinity(0)) < PINNED:
        print(f"Level 3 over several workers was not measured: {why_none() or 'it needs two cores'}")
        return
    publish(table(options.seconds), options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
