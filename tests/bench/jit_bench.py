"""Level 2 side by side with Numba, in one process: run time, first call, the code cache, and whether the answers are CPython's.

    ./dev bench jit [--kernels nbody,fft] [--repeat 5] [--check]

Needs numba and numpy in the interpreter; without Numba its columns are "-" and its targets "not measured". Lists are given to
Numba as they are (reflected lists) and converted in the timed call, as level 2 converts them. Times are the best of `repeat`
calls, taken in turns, in milliseconds. The first call includes compiling: the cache on disk is off but in its own table.
"""
import argparse
import copy
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import timeit
import types
import warnings
from pathlib import Path

from tests.bench import machine
from tests.bench.kernels import load
from tests.bench.report import Table, at_least, at_most, median
from tests.bench.rounds import ROOT
from tests.python.jit.exact import same

# Scalar calls in a batch of timeit, and batches: the least is taken.
CALLS = 20_000
BATCHES = 25
# Fresh processes whose first call finds its code on disk.
STARTS = 5
# Kernels that the code cache is measured with: a loop over floats, nested loops over an array, a helper that is called.
CACHED = ("leibniz_pi", "heat", "newton_roots")
# The promises of issue 4.
RUN_RATIO, WORST_RATIO, FIRST_RATIO, CACHE_MS, CALL_US, FLOATS_RATIO, TUPLES_RATIO = 1.0, 0.5, 10, 5, 0.25, 20, 5


def timed(function, args):
    start = time.perf_counter()
    value = function(*args)
    return value, (time.perf_counter() - start) * 1e3


def best_of(functions, make, repeat):
    """The least time of each function, called in turns: what slows a turn slows all."""
    times = [[timed(function, make())[1] for function in functions] for _ in range(repeat)]
    return [min(column) for column in zip(*times)]


def numba_twin(function, numba, **options):
    """The function compiled by Numba, and with it the Python functions that it calls."""
    space = dict(function.__globals__)
    for name in function.__code__.co_names:
        if isinstance(space.get(name), types.FunctionType) and name != function.__name__:
            space[name] = numba.njit(**options)(space[name])
    twin = types.FunctionType(function.__code__, space, function.__name__, function.__defaults__, function.__closure__)
    compiled = numba.njit(**options)(twin)
    space[function.__name__] = compiled
    return compiled


def measure(kernel, repeat, numba):
    """A row of raw figures of one kernel, in ms; what Numba refuses has no Numba figures but its reason."""
    from epochly._jit import Jit

    stored = kernel.arguments(kernel.size)
    make = lambda: copy.deepcopy(stored)  # noqa: E731
    expected, cpython = timed(kernel.function, make())
    level2, relaxed = Jit(kernel.function), Jit(kernel.function, fastmath=True)
    got, first = timed(level2, make())
    if any(version["from_disk"] for version in level2.versions()):
        raise AssertionError(f"{kernel.name}: its first call found code on disk")
    row = {"kernel": kernel.name, "cpython": cpython, "first": first, "declined": level2.declined, "exact": same(got, expected)}
    relaxed(*make())
    functions, names = [level2, relaxed], ["jit", "fast"]
    try:
        if numba is not None:
            twin, relaxed_twin = numba_twin(kernel.function, numba), numba_twin(kernel.function, numba, fastmath=True)
            got, row["numba_first"] = timed(twin, make())
            row["numba_exact"] = same(got, expected) or bool(got == expected)
            relaxed_twin(*make())
            functions += [twin, relaxed_twin]
            names += ["numba", "numba_fast"]
    except Exception as error:  # its own kinds, by the dozen
        row["numba_refuses"] = type(error).__name__
        row.pop("numba_first", None)
    row.update(zip(names, best_of(functions, make, repeat)))
    return row


def geometric(values):
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def notes_of(row):
    notes = [] if row["exact"] else ["NOT EXACT"]
    notes += [row["declined"]] if row["declined"] else []
    notes += [f"Numba: {row['numba_refuses']}"] if "numba_refuses" in row else []
    notes += ["Numba is not exact"] if row.get("numba_exact") is False else []
    return "; ".join(notes)


def kernel_table(rows):
    """Each kernel: times in ms, and how many times as fast as Numba."""
    cells = [[r["kernel"], r["cpython"], r["jit"], r.get("numba"), _over(r, "numba", "jit"), _over(r, "numba_fast", "fast"),
              r["cpython"] / r["jit"], r["first"], r.get("numba_first"), notes_of(r)] for r in rows]
    both = [r for r in rows if "numba" in r]
    ratios = {r["kernel"]: r["numba"] / r["jit"] for r in both}
    relaxed_ratios = {f"{r['kernel']} (fastmath)": r["numba_fast"] / r["fast"] for r in both}
    every = ratios | relaxed_ratios
    worst = min(every, key=every.get, default="no kernel")
    mean = geometric(ratios.values())
    relaxed = geometric(relaxed_ratios.values())
    first = geometric(r["numba_first"] / r["first"] for r in both)
    inexact = sum(not r["exact"] or bool(r["declined"]) for r in rows)
    targets = [at_most("kernels that do not run compiled, or not as in CPython", inexact, 0),
               at_least(f"no slower than Numba, geometric mean over {len(both)}", mean, RUN_RATIO, "x"),
               at_least("no slower than Numba with fastmath=True", relaxed, RUN_RATIO, "x"),
               at_least(f"no kernel below half of Numba's speed; the worst is {worst}", every.get(worst, math.nan), WORST_RATIO,
                        "x"),
               at_least("first call 10x faster than Numba's, geometric mean", first, FIRST_RATIO, "x")]
    head = ["", "CPython ms", "level 2 ms", "Numba ms", "x Numba", "x, fastmath", "x CPython", "first ms", "Numba's first", ""]
    return Table("jit", "Kernels", head, cells, targets)


def _over(row, other, ours):
    return row[other] / row[ours] if other in row and ours in row else None


def call_table():
    """What a call of compiled code costs, all of it, through the decorator."""
    import epochly

    functions = []
    for title, plain, args in SCALARS:
        compiled = epochly.optimize(plain, level=2)
        compiled(*args)
        if epochly.report(compiled).level != 2:
            raise AssertionError(f"{title} does not run compiled: {epochly.report(compiled)}")
        functions += [(plain, args), (compiled, args)]
    times = nanoseconds(functions)
    rows = [[title, *times[2 * i:2 * i + 2]] for i, (title, _, _) in enumerate(SCALARS)]
    added = max(row[2] for row in rows) / 1e3
    return Table("jit calls", "Calls on scalars, in ns", ["", "CPython", "level 2"], rows,
                 [at_most("a compiled call takes at most 0.25 us", added, CALL_US, " us")])


def of_float(x):
    return x + 1.0


def of_int(x):
    return x + 1


def of_three(x, y, n):
    return x * y + n


SCALARS = [("f(float)", of_float, (2.0,)), ("f(int)", of_int, (2,)), ("f(float, float, int)", of_three, (2.0, 3.0, 4))]


def call_timer(function, args):
    names = {"f": function, **{f"a{i}": value for i, value in enumerate(args)}}
    return timeit.Timer(f"f({', '.join(f'a{i}' for i in range(len(args)))})", globals=names)


def nanoseconds(calls):
    """The least time of each (function, args), called in turns: what slows the machine slows no function alone."""
    timers = [call_timer(function, args) for function, args in calls]
    batches = [[timer.timeit(CALLS) for timer in timers] for _ in range(BATCHES)]
    return [min(column) / CALLS * 1e9 for column in zip(*batches)]


def sum_of_products(pairs):
    total = 0.0
    for a, b in pairs:
        total += a * b + a
    return total


def list_table(repeat):
    """Loops over Python lists, conversion included."""
    from epochly._jit import Jit
    from tests.bench.kernels.guide import compute_heavy, floats, pairs

    rows = []
    for title, function, data in (("1M floats", compute_heavy, floats(1_000_000)),
                                  ("1M tuples of two floats", sum_of_products, pairs(1_000_000))):
        compiled = Jit(function)
        exact = same(compiled(data), function(data)) and not compiled.declined
        plain, ours = best_of([function, compiled], lambda data=data: (data,), repeat)
        rows.append([title, plain, ours, plain / ours, "" if exact else "NOT EXACT"])
    return Table("jit lists", "Lists", ["", "CPython ms", "level 2 ms", "x CPython", ""], rows,
                 [at_least("floats: at least 20x CPython", rows[0][3], FLOATS_RATIO, "x"),
                  at_least("tuples: at least 5x CPython", rows[1][3], TUPLES_RATIO, "x")])


FIRST_CALL = """
import sys, time
import epochly
from tests.bench.kernels import load
kernel = next(k for k in load() if k.name == sys.argv[1])
compiled = epochly.optimize(kernel.function, level=2)
args = kernel.arguments(32)
if sys.argv[2] == "warm":
    epochly.optimize(lambda x: x + 1, level=2)(1)
start = time.perf_counter()
compiled(*args)
print((time.perf_counter() - start) * 1e3)
assert epochly.report(compiled).level == 2, epochly.report(compiled)
"""


def first_call_ms(kernel, kind, folder):
    """The first call of a kernel in a fresh process; "warm": of that kernel, another function was compiled before."""
    space = dict(os.environ, EPOCHLY_CACHE_DIR=folder)
    answer = subprocess.run([sys.executable, "-c", FIRST_CALL, kernel, kind], cwd=ROOT, env=space, stdout=subprocess.PIPE,
                            text=True, check=True)
    return float(answer.stdout)


def cache_table():
    """First calls in fresh processes: nothing cached, then the code on disk."""
    rows = []
    for kernel in CACHED:
        with tempfile.TemporaryDirectory() as folder:
            compiled = first_call_ms(kernel, "cold", folder)
            cached = median([first_call_ms(kernel, "cold", folder) for _ in range(STARTS)])
            warm = median([first_call_ms(kernel, "warm", folder) for _ in range(STARTS)])
        rows.append([kernel, compiled, cached, warm])
    head = ["", "nothing cached", "from disk", "from disk, not the process's first"]
    return Table("jit cache", "First calls of fresh processes, in ms", head, rows,
                 [at_most("from disk at most 5 ms", max(row[2] for row in rows), CACHE_MS, " ms")])


def find_numba():
    """The module, its own start-up done; None, and said so, where it is not installed."""
    try:
        import numba
    except ImportError:
        print("note: numba is not installed: its columns are left out", file=sys.stderr)
        return None
    numba.njit(lambda: 0)()
    return numba


def parse(arguments):
    parser = argparse.ArgumentParser(prog="./dev bench jit", description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", default="", help="names, with commas; only these, and no other table")
    parser.add_argument("--repeat", type=int, default=7, help="times are the best of so many calls (7)")
    parser.add_argument("--out", type=Path, default=ROOT / "bench-results", help="folder for the JSON file")
    parser.add_argument("--check", action="store_true", help="exit code 1 when a target is not met")
    return parser.parse_args(arguments)


def main(arguments):
    options = parse(arguments)
    warnings.simplefilter("ignore")
    os.environ["EPOCHLY_CACHE_DIR"] = ""  # before the first compile: what an earlier run left would pass for quick compiling
    result = {"machine": machine.describe()}
    numba = find_numba()
    result["numba"] = numba and numba.__version__
    from epochly._jit import Jit

    if "declined" in Jit(of_float).explain(1.0):  # LLVM is loaded, as Numba has loaded its own
        raise AssertionError("level 2 makes no code here")
    wanted = set(filter(None, options.kernels.split(",")))
    result["raw"] = [measure(kernel, options.repeat, numba) for kernel in load() if not wanted or kernel.name in wanted]
    made = [kernel_table(result["raw"])]
    if not wanted:
        made += [call_table(), list_table(options.repeat), cache_table()]
    result["tables"] = {table.name: table.as_json() for table in made}
    print("\n\n".join(table.text() for table in made))
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"jit-{result['machine']['when'].replace(':', '').split('+')[0]}.json"
    path.write_text(json.dumps(result, indent=1))
    print(f"\nwritten: {path}")
    return 1 if options.check and any(target.met is False for table in made for target in table.targets) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
