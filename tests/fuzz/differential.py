"""CPython against level 2, or level 3, on random programs: value, type, exception, and what happens to the arguments, bit for bit.

    ./dev fuzz                          until Ctrl-C
    ./dev fuzz --programs 100000
    ./dev fuzz --seconds 60 --level 3   loops split as finely as can be, on 1, 2 and 5 threads in turn
    ./dev fuzz --seed 1234              one program, shown

A program that differs is written to --out with the command that runs it again; it becomes a test in
tests/python/jit/test_regressions.py.
"""

import argparse
import contextlib
import io
import linecache
import math
import os
import pathlib
import random
import signal
import sys
import time
import warnings

from tests.fuzz import complexes, programs, split_loops
from tests.python.jit.exact import same

THREADS = (1, 2, 5)  # of level 3, in turn
PROGRESS_SECONDS = 10
# Of one call in CPython. An integer that is squared again and again fills the memory in half a minute.
CALL_SECONDS = 2
CALLS = 6  # per program: the first ones tame, so that it compiles for the types it was written for


def load(source, seed):
    """The function f of a source, with the source where inspect finds it."""
    name = f"<fuzz {seed}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    space = {"__name__": "fuzz"}
    exec(compile(source, name, "exec"), space)
    return space["f"]


def generator(seed):
    """Every fifth program is over arrays, where there is numpy: they take six times as long, most of it LLVM's; every fourth of
    the rest is over complex numbers."""
    if seed % 5 == 0:
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
        math.exp(0.0)  # clears errno: abs(complex) of a NaN reads what others have left there
        try:
            kind, value = "value", function(*args)
        except Exception as error:
            kind, value = "raised", (type(error), str(error))
    return kind, value, args, sorted({f"{w.category.__name__}: {w.message}" for w in caught})


# abs() of a complex NaN looks at an errno that an earlier overflow may have left behind (CPython 3.10 to 3.13): it raises or not.
STALE = ("raised", (OverflowError, "absolute value too large"))


class TooLong(BaseException):
    """CPython's own run of a call takes more than CALL_SECONDS."""


@contextlib.contextmanager
def limited():
    def stop(*_):
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, CALL_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def agree(a, b):
    """Whether CPython's outcome `a` and compiled code's `b` are one."""
    if STALE in (a[:2], b[:2]):
        return True
    return a[0] == b[0] and same(a[1], b[1]) and same(list(a[2]), list(b[2])) and a[3] == b[3]


def split_finely(turn):
    """Every loop that splits does so from its second iteration on, on as many threads as it is the turn of."""
    from epochly import _jit

    _jit.set_cores(THREADS[turn % len(THREADS)], 1)


def new_tally():
    return dict.fromkeys(("programs", "compiled programs", "calls", "compiled calls", "given back", "mismatches",
                          "split loops run", "too long"), 0)


def run(seed, tally, out, level=2):
    """One program; whether it differed, which is then written to `out`."""
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
        try:
            with limited():
                expected = outcome(function, theirs)
        except TooLong:
            tally["too long"] += 1
            break
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
    return bad


class Progress:
    """A line on stderr now and then: it may be a file that somebody follows."""

    def __init__(self):
        self.begun = self.told = time.monotonic()

    def tell(self, tally, seed, now=False):
        at = time.monotonic()
        if at - self.told < PROGRESS_SECONDS and not now:
            return
        self.told = at
        print(f"{tally['programs']:,} programs, {tally['programs'] / max(at - self.begun, 1e-9):.1f} a second, "
              f"{tally['mismatches']} mismatches; at seed {seed}", file=sys.stderr, flush=True)


def keep(seed, level, text, folder):
    """Writes a program that differed where it can be found again. Returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"level{level}-seed{seed}.txt"
    again = f"./dev fuzz --level {level} --seed {seed}"
    path.write_text(f"{again}\n\n{text}")
    print(f"{text}written to {path}; {again}", flush=True)
    return path


def search(first, args, tally):
    """Programs from seed `first` on, until time, number or Ctrl-C ends it. Returns the seed after the last."""
    end, progress, seed = time.monotonic() + args.seconds, Progress(), first
    try:
        while time.monotonic() < end and seed < first + args.programs:
            out = io.StringIO()
            if run(seed, tally, out, args.level):
                keep(seed, args.level, out.getvalue(), args.out)
            seed += 1
            progress.tell(tally, seed)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    progress.tell(tally, seed, now=True)
    return seed


def main(arguments=None):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background ignores
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--programs", type=int, default=10**9)
    parser.add_argument("--first", type=int, default=None, help="first seed; default: from the clock")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--level", type=int, choices=(2, 3), default=2)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/fuzz"))
    args = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    os.environ.setdefault("EPOCHLY_CACHE_DIR", "")  # no program comes twice
    tally = new_tally()
    if args.seed is not None:
        print(generator(args.seed)[0].program()[0])
        run(args.seed, tally, sys.stdout, args.level)
    else:
        first = args.first if args.first is not None else time.time_ns() % 10**9
        print(f"seeds {first}..{search(first, args, tally) - 1}")
    reasons = tally.pop("reasons", {})
    print(tally)
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1])[:15]:
        print(f"  {count:5} {reason}")
    return 1 if tally["mismatches"] else 0


if __name__ == "__main__":
    sys.exit(main())
