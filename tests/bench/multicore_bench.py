"""Level 3 of compiled loops beside level 2, Numba's parallel=True and numexpr, on two cores.

python -m tests.bench.multicore_bench [--json FILE]; `./dev bench loops` prints the same table. Without Numba its column is empty.
"""
import math
import os
import sys

import numpy as np

import epochly
from tests.bench import ceiling
from tests.bench.report import Table, at_least, at_most, publish, table_options
from tests.bench.turns import medians, ratio, timed, turns

CORES = 2
SIZE = 200_000
ROUNDS = 15
# Calls of a loop that is just long enough to be split.
CALLS = 300


def logistic(x, y):
    for i in range(len(x)):
        v = x[i]
        for _ in range(60):
            v = 3.7 * v * (1.0 - v)
        y[i] = v


def mandelbrot(x, y):
    for i in range(len(x)):
        a = -2.0 + 2.5 * i / len(x)
        zr, zi, steps = 0.0, 0.0, 0
        for _ in range(100):
            zr, zi = zr * zr - zi * zi + a, 2.0 * zr * zi + x[i]
            if zr * zr + zi * zi < 4.0:
                steps += 1
            else:
                zr, zi = 0.0, 0.0
        y[i] = steps


def sum_of_sines(x, y):
    total = 0.0
    for i in range(len(x)):
        total += math.sin(x[i]) * math.exp(-x[i]) + math.cos(x[i])
    y[0] = total


def collatz(x, y):
    most = 0
    for i in range(1, len(x)):
        n, steps = i, 0
        while n > 1:
            n = n // 2 if n % 2 == 0 else 3 * n + 1
            steps += 1
        if steps > most:
            most = steps
    y[0] = most


KERNELS = (logistic, mandelbrot, sum_of_sines, collatz)
# Those with floats that may be reordered: Numba reorders the sum of a prange in any case.
RELAXED = (logistic, sum_of_sines)


def with_numba(function, fastmath=False):
    """``function`` by Numba with its outermost loop a prange; None: there is no Numba."""
    try:
        import numba
    except ImportError:
        return None
    import inspect

    source = inspect.getsource(function).replace(" in range(", " in numba.prange(", 1)
    if function is collatz:
        source = source.replace("if steps > most:\n            most = steps", "most = max(most, steps)")
    space = {"numba": numba, "math": math}
    exec(source, space)
    numba.set_num_threads(min(CORES, numba.config.NUMBA_NUM_THREADS))
    return numba.njit(parallel=True, fastmath=fastmath)(space[function.__name__])


def measure(function, fastmath=False):
    """Seconds of each round by contender, side by side."""
    x, y = np.linspace(0.1, 0.9, SIZE), np.zeros(SIZE)
    contenders = {f"level {level}": epochly.optimize(level=level, fastmath=fastmath)(function) for level in (2, 3)}
    numba = with_numba(function, fastmath)
    if numba is not None:
        contenders["numba"] = numba
    for one in contenders.values():
        one(x, y), one(x, y)  # compiled, and its iterations timed
    assert epochly.report(contenders["level 3"]).level == 3
    return turns({name: (lambda f=f: f(x, y)) for name, f in contenders.items()}, ROUNDS)


def start_seconds():
    """What a call that is split takes more than its iterations do, warm: of one whose two chunks are as short as chunks are."""
    short = epochly.optimize(level=3)(logistic)
    plain = epochly.optimize(level=2)(logistic)
    x = np.linspace(0.1, 0.9, 800)
    y = np.zeros_like(x)
    took = {}
    for name, f in (("level 3", short), ("level 2", plain)):
        f(x, y), f(x, y)
        took[name] = min(timed(f, x, y)[0] for _ in range(CALLS))
    return max(0.0, took["level 3"] - took["level 2"] / CORES)


def machine_row():
    with ceiling.ceiling() as limit:
        return ceiling.row(turns(limit.ways(), ROUNDS))


def table():
    rows, targets = [], []
    for kernel, fastmath in [*((one, False) for one in KERNELS), *((one, True) for one in RELAXED)]:
        name = f"{kernel.__name__}, fastmath" if fastmath else kernel.__name__
        rounds = measure(kernel, fastmath)
        speedup, middle = ratio(rounds["level 2"], rounds["level 3"]), medians(rounds)
        rows.append([name, middle["level 2"], middle.get("numba"), middle["level 3"], speedup])
        targets.append(at_least(f"{name}: at least 1.85x level 2", speedup, 1.85, "x"))
        if "numba" in rounds:
            targets.append(at_most(f"{name}: no slower than Numba (3 % for noise)", ratio(rounds["level 3"], rounds["numba"]), 1.03,
                                   "x"))
    rows.append(machine_row())
    start = start_seconds()
    rows.append(["start of a call, warm", None, None, start, None])
    targets.append(at_most("start of a call, warm, at most 50 us", start * 1e6, 50.0, "us"))
    return Table("multicore", f"Level 3: compiled loops, on {CORES} cores; seconds",
                 ["", "level 2", "numba", "level 3", "level 3 is ... times"], rows, targets)


def main(arguments):
    options = table_options(__doc__).parse_args(arguments)
    os.environ["EPOCHLY_MAX_WORKERS"] = str(CORES)
    publish(table(), options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
