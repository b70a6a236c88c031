"""Level 3 over two workers, each in a network namespace and pinned to a core of its own, beside one worker.

python -m tests.bench.hosts_bench [--json FILE] [--seconds N]; `./dev bench loops` prints the same table. Needs root and iproute2.
"""
import contextlib
import os
import sys
import tempfile
from pathlib import Path

import epochly
from tests.bench import ceiling
from tests.bench.processes_bench import loop, repeats_for
from tests.bench.report import Table, at_least, publish, table_options
from tests.bench.turns import timed, turns
from tests.support import level3
from tests.support.hosts import Hosts, token_file_in, until, why_none

SECONDS = 10.0
ITEMS = 4000
PINNED = 2
# Of the machine's own limit, before and after the rest.
ROUNDS = 5
# Of iterations that are compiled: numbers of each.
NUMBERS = 200_000
# Of a loop that is compiled as a whole: what an iteration adds up.
TERMS = 20_000


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


def harmonics(count, terms):
    """A sum of floats, whose bits depend on its order; a loop that is compiled."""
    total = 0.0
    for first in range(count):
        part = 0.0
        for term in range(1, terms):
            part += 1.0 / (first * terms + term)
        total += part
    return total


def count_for(seconds):
    compiled = epochly.optimize(harmonics, level=2)
    compiled(1, TERMS)
    took, _ = timed(compiled, 1000, TERMS)
    return max(1000, int(1000 * seconds / took))


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


def machine_row():
    with ceiling.ceiling() as limit:
        return ceiling.row(turns(limit.ways(), ROUNDS), columns=0)


def compare(client, function, *arguments, level=0):
    """Seconds of a call on one worker, at `level`, and split over all. Both give the same."""
    split = epochly.optimize(function, level=3)
    level3.started()
    one, wanted = timed(lambda: client.submit(function, *arguments, level=level).result())
    two, found = timed(split, *arguments)
    assert found == wanted and epochly.report(split).workers == PINNED
    return one, two


@contextlib.contextmanager
def one_core_here():
    """The process that calls is a third host, with less to compute with than the workers."""
    from epochly import _jit as jit

    before = jit.cores()
    jit.set_cores(1)
    try:
        yield
    finally:
        jit.set_cores(before)


def table(seconds=SECONDS):
    rows, targets = [machine_row()], []
    with tempfile.TemporaryDirectory() as folder, Hosts() as cluster:
        port = pinned(cluster, token_file_in(Path(folder)))
        os.environ.update(EPOCHLY_ADDRESS=f"tcp://127.0.0.1:{port}", EPOCHLY_TOKEN_FILE=f"{folder}/token")
        with epochly.connect() as client, one_core_here():
            until(lambda: len(client.workers()) == PINNED)
            for name, one, two in (
                    (f"{seconds:.3g} s of plain Python", *compare(client, loop, range(ITEMS), repeats_for(seconds))),
                    (f"{seconds:.3g} s of compiled functions", *compare(client, longests, starts_for(seconds))),
                    (f"{seconds:.3g} s of a compiled loop", *compare(client, harmonics, count_for(seconds), TERMS, level=2))):
                rows.append([name, one, two, one / two])
                targets.append(at_least(f"{name}: two workers at least 1.8x one", one / two, 1.8, "x"))
    rows.append(machine_row())
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
