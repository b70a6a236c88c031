"""CPython against level 2, or level 3, on random programs: value, type, exception, and what happens to the arguments, bit for bit.

    python -m tests.fuzz.differential --seconds 60
    python -m tests.fuzz.differential --level 3          loops split as finely as can be, on 1, 2 and 5 threads in turn
    python -m tests.fuzz.differential --seed 1234        one program, shown

Mismatches are written to --out; each becomes a test in tests/python/jit/test_regressions.py.
"""

import argparse
import linecache
import random
import sys
import time
import warnings

from tests.fuzz import complexes, programs, split_loops
from tests.python.jit.exact import same

THREADS = (1, 2, 5)  # of level 3, in turn
CALLS = 6  # per program: the first ones tame, so that it compiles for the types it was written for


def load(source, seed):
    """The function f of a source, with the source where inspect finds it."""
    name = f"<fuzz {seed}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    space = {"__name__": "fuzz"}
    exec(compile(source, name, "exec"), space)
    return space["f"]


def generator(seed):
    """Every third program is over arrays, where there is numpy; every fourth of the rest over complex numbers."""
    if seed % 3 == 0:
        try:
            from tests.fuzz import arrays
        except ModuleNotFoundError:
            pass
        else:
            return arrays.ArrayGenerator(seed), arrays.arguments
    if seed % 4 == 1:
        return complexes.ComplexGenerator(seed), complexes.arguments
    return programs.Generator(seed), programs.arguments


def outcome(function, args):
    """What a call gives, does to its arguments, and warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            kind, value = "value", function(*args)
        except Exception as error:
            kind, value = "raised", (type(error), str(error))
    return kind, value, args, sorted({f"{w.category.__name__}: {w.message}" for w in caught})


def agree(a, b):
    return a[0] == b[0] and same(a[1], b[1]) and same(list(a[2]), list(b[2])) and a[3] == b[3]


def split_finely(turn):
    """Every loop that splits does so from its second iteration on, on as many threads as it is the turn of."""
    from epochly import _jit

    _jit.set_cores(THREADS[turn % len(THREADS)], 1)


def run(seed, tally, out, level=2):
    from epochly._jit import Jit

    made, arguments = generator(seed) if level == 2 or seed % 2 else (split_loops.LoopGenerator(seed), split_loops.arguments)
    source, kinds = made.program()
    function = load(source, seed)
    compiled = Jit(function, False, level == 3)
    bad = False
    for at in range(CALLS):
        # Made anew for each side: a copy of an array would lie otherwise in memory.
        args, theirs, ours = (arguments(random.Random(f"{seed}:{at}"), kinds, at >= 2) for _ in range(3))
        if level == 3:
            split_finely(seed + at)
        expected = outcome(function, theirs)
        got = outcome(compiled, ours)
        tally["calls"] += 1
        tally["compiled calls"] += compiled.declined == ""
        tally["given back"] += compiled.declined.startswith("this call") or "this call went back" in compiled.declined
        if not agree(expected, got):
            bad = True
            print(f"MISMATCH seed {seed} args {args!r}\n  CPython: {expected!r}\n  level {level}: {got!r} "
                  f"declined={compiled.declined!r}", file=out)
            print(source, file=out, flush=True)
            break
    tally["programs"] += 1
    tally["compiled programs"] += bool(compiled.versions())
    tally["mismatches"] += bad
    tally["split loops run"] += sum(loop.get("ran_split", 0) for v in compiled.versions() for loop in v["loops"])
    for reason in compiled.declines().values():
        reasons = tally.setdefault("reasons", {})
        key = reason.split(": ", 1)[-1]
        reasons[key] = reasons.get(key, 0) + 1
    linecache.cache.pop(f"<fuzz {seed}>", None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--programs", type=int, default=10**9)
    parser.add_argument("--first", type=int, default=None, help="first seed; default: from the clock")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--level", type=int, choices=(2, 3), default=2)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    tally = dict.fromkeys(("programs", "compiled programs", "calls", "compiled calls", "given back", "mismatches",
                           "split loops run"), 0)
    if args.seed is not None:
        print(generator(args.seed)[0].program()[0])
        run(args.seed, tally, sys.stdout, args.level)
    else:
        first = args.first if args.first is not None else time.time_ns() % 10**9
        end = time.monotonic() + args.seconds
        seed = first
        while time.monotonic() < end and seed < first + args.programs:
            run(seed, tally, sys.stdout, args.level)
            seed += 1
        print(f"seeds {first}..{seed - 1}")
    reasons = tally.pop("reasons", {})
    print(tally)
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1])[:15]:
        print(f"  {count:5} {reason}")
    return 1 if tally["mismatches"] else 0


if __name__ == "__main__":
    sys.exit(main())
