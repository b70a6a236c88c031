"""CPython against level 2 on random programs: value, type, exception, and what happens to the arguments, bit for bit.

    python -m tests.fuzz.differential --seconds 60
    python -m tests.fuzz.differential --seed 1234        one program, shown

Mismatches are written to --out; each becomes a test in tests/python/jit/test_regressions.py.
"""

import argparse
import copy
import linecache
import random
import sys
import time
import warnings

from tests.fuzz.programs import Generator, argument
from tests.python.jit.exact import same

CALLS = 6  # per program: the first ones tame, so that it compiles for the types it was written for


def load(source, seed):
    """The function f of a source, with the source where inspect finds it."""
    name = f"<fuzz {seed}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    space = {"__name__": "fuzz"}
    exec(compile(source, name, "exec"), space)
    return space["f"]


def outcome(function, args):
    try:
        return "value", function(*args), args
    except Exception as error:
        return "raised", (type(error), str(error)), args


def agree(a, b):
    return a[0] == b[0] and same(a[1], b[1]) and same(list(a[2]), list(b[2]))


def run(seed, tally, out):
    from epochly._jit import Jit

    source, kinds = Generator(seed).program()
    function = load(source, seed)
    compiled = Jit(function)
    r = random.Random(seed)
    bad = False
    for at in range(CALLS):
        args = [argument(r, kind, wild=at >= 2) for kind in kinds]
        expected = outcome(function, copy.deepcopy(args))
        got = outcome(compiled, copy.deepcopy(args))
        tally["calls"] += 1
        tally["compiled calls"] += compiled.declined == ""
        tally["given back"] += compiled.declined.startswith("this call") or "this call went back" in compiled.declined
        if not agree(expected, got):
            bad = True
            print(f"MISMATCH seed {seed} args {args!r}\n  CPython: {expected[:2]!r}\n  level 2: {got[:2]!r} "
                  f"declined={compiled.declined!r}", file=out)
            print(source, file=out, flush=True)
            break
    tally["programs"] += 1
    tally["compiled programs"] += bool(compiled.versions())
    tally["mismatches"] += bad
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
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    tally = dict.fromkeys(("programs", "compiled programs", "calls", "compiled calls", "given back", "mismatches"), 0)
    if args.seed is not None:
        print(Generator(args.seed).program()[0])
        run(args.seed, tally, sys.stdout)
    else:
        first = args.first if args.first is not None else time.time_ns() % 10**9
        end = time.monotonic() + args.seconds
        seed = first
        while time.monotonic() < end and seed < first + args.programs:
            run(seed, tally, sys.stdout)
            seed += 1
        print(f"seeds {first}..{seed - 1}")
    reasons = tally.pop("reasons", {})
    print(tally)
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1])[:15]:
        print(f"  {count:5} {reason}")
    return 1 if tally["mismatches"] else 0


if __name__ == "__main__":
    sys.exit(main())
