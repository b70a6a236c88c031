"""Ctrl-C at every level: from the signal, a real one of another process, to KeyboardInterrupt caught.

python -m tests.bench.interrupt_bench [--json FILE]; `./dev bench interrupt` prints the same table.
"""
import os
import random
import signal
import subprocess
import sys
import time

from tests.bench.interrupted import CASES
from tests.bench.report import Table, at_most, median, publish, table_options
from tests.bench.rounds import ROOT

ROUNDS = 15
# From the call's begin to the signal, drawn anew each time: what runs periodically is met anywhere.
PAUSE_SECONDS = (0.15, 0.3)
BOUND_MS = 100


def measure(case, rounds=ROUNDS):
    """Milliseconds of each round."""
    took = []
    with subprocess.Popen([sys.executable, "-m", "tests.bench.interrupted", case, str(rounds)], cwd=ROOT,
                          stdout=subprocess.PIPE, text=True) as process:
        try:
            for _ in range(rounds):
                said = process.stdout.readline()
                if said != "calling\n":
                    raise RuntimeError(f"{case}: it ended, or said {said!r}")
                time.sleep(random.uniform(*PAUSE_SECONDS))
                sent = time.monotonic()
                os.kill(process.pid, signal.SIGINT)
                took.append((float(process.stdout.readline()) - sent) * 1e3)
        finally:
            if len(took) < rounds:
                process.kill()
    return took


def table(rounds=ROUNDS):
    measured = {case: measure(case, rounds) for case in CASES}
    rows = [[case, median(each), max(each)] for case, each in measured.items()]
    targets = [at_most(f"{case}: at most {BOUND_MS} ms, the worst of {rounds}", worst, BOUND_MS, " ms") for case, _, worst in rows]
    return Table("interrupt", "Ctrl-C: milliseconds from the signal to KeyboardInterrupt", ["", "p50", "worst"], rows, targets)


def main(arguments):
    parser = table_options(__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"signals for each case ({ROUNDS})")
    options = parser.parse_args(arguments)
    publish(table(options.rounds), options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
