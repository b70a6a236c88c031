"""Level 2 side by side with Numba, in one process: run time, first call, and whether the answers are CPython's.

    python tests/bench/jit_bench.py [--kernels nbody,fft] [--repeat 5] [--json out.json]

Needs numba and numpy in the interpreter. Lists are given to Numba as they are (reflected lists) and converted in the timed
call, as level 2 converts them. Times are the best of `repeat` calls, in milliseconds; the first call includes compiling.
"""

import argparse
import copy
import importlib
import json
import math
import pathlib
import sys
import time
import types
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from kernels import load  # noqa: E402

from tests.python.jit.exact import same  # noqa: E402


def timed(function, args):
    start = time.perf_counter()
    value = function(*args)
    return value, (time.perf_counter() - start) * 1e3


def best(function, make, repeat):
    return min(timed(function, make())[1] for _ in range(repeat))


def numba_twin(function, numba):
    """The function compiled by Numba, and with it the Python functions that it calls."""
    space = dict(function.__globals__)
    for name in function.__code__.co_names:
        if isinstance(space.get(name), types.FunctionType) and name != function.__name__:
            space[name] = numba.njit(space[name])
    twin = types.FunctionType(function.__code__, space, function.__name__, function.__defaults__, function.__closure__)
    compiled = numba.njit(twin)
    space[function.__name__] = compiled
    return compiled


def measure(kernel, repeat, numba):
    jit = importlib.import_module("epochly._jit").Jit(kernel.function)
    make = lambda: copy.deepcopy(stored)  # noqa: E731
    stored = kernel.arguments(kernel.size)
    expected, row = None, {"kernel": kernel.name}
    expected, row["cpython"] = timed(kernel.function, make())
    got, row["first"] = timed(jit, make())
    row["declined"] = jit.declined
    row["exact"] = same(got, expected)
    row["jit"] = best(jit, make, repeat)
    if numba is None:
        return row
    try:
        twin = numba_twin(kernel.function, numba)
        got, row["numba_first"] = timed(twin, make())
        row["numba"] = best(twin, make, repeat)
        row["numba_exact"] = same(got, expected) or got == expected
    except Exception as error:
        row["numba_refuses"] = type(error).__name__
    return row


def geometric(values):
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", default="")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    try:
        import numba
    except ImportError:
        numba = None
        print("numba is not installed: its columns are left out")
    wanted = set(filter(None, args.kernels.split(",")))
    if numba is not None:
        numba.njit(lambda: 0)()  # its own start-up is nobody's first call
    importlib.import_module("epochly._jit").Jit(geometric).explain([1.0])
    rows = []
    print(f"{'kernel':22}{'CPython':>10}{'level 2':>10}{'Numba':>10}{'vs Numba':>9}{'vs CPy':>8}{'first':>9}{'N first':>9}")
    for kernel in load():
        if wanted and kernel.name not in wanted:
            continue
        row = measure(kernel, args.repeat, numba)
        rows.append(row)
        n = row.get("numba", math.nan)
        notes = [] if row["exact"] else ["NOT EXACT"]
        notes += [row["declined"]] if row["declined"] else []
        notes += [f"Numba: {row['numba_refuses']}"] if "numba_refuses" in row else []
        notes += ["Numba is not exact"] if row.get("numba_exact") is False else []
        print(f"{kernel.name:22}{row['cpython']:10.2f}{row['jit']:10.3f}{n:10.3f}{n / row['jit']:9.2f}"
              f"{row['cpython'] / row['jit']:8.1f}{row['first']:9.1f}{row.get('numba_first', math.nan):9.1f}  {'; '.join(notes)}", flush=True)
    both = [r for r in rows if "numba" in r]
    print(f"geometric means: {geometric(r['cpython'] / r['jit'] for r in rows):.1f}x CPython over {len(rows)}; "
          f"{geometric(r['numba'] / r['jit'] for r in both):.2f}x Numba's run and "
          f"{geometric(r['numba_first'] / r['first'] for r in both):.1f}x its first call over {len(both)}")
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(rows, indent=1))
    return 0 if all(r["exact"] for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
