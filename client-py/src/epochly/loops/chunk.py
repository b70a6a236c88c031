"""What runs in the other process: a loop's body over some of its items, in surroundings like the caller's."""

import ast
import contextlib
import os
import sys
import time

from epochly._map import ChunkFailed
from epochly.errors import ResultNotPicklable, SpillFailed
from epochly.loops.budget import Used
from epochly.loops.columns import Log
from epochly.loops.rewrite import VARIABLES
from epochly.loops.same import Bundle, paths_of
from epochly.loops.told import Levels, Told

__all__ = ["Chunk", "Surroundings", "warm"]


class Chunk:
    """Called with items: (seconds, bytes of memory that it took if that is asked for, Noted). Raises ChunkFailed with the Noted
    up to there.

    kept: of the variables that an iteration notes at its end, those that the caller looks at; None: its log has no such notes.
    spiller: gives what is sent for the Noted; None: it is sent as it is.
    """

    def __init__(self, loop, body, surroundings, measures_memory=False, spiller=None):
        self.body, self.surroundings, self.measures_memory, self.spiller = body, surroundings, measures_memory, spiller
        self.kept = frozenset(loop.written) if isinstance(loop.node, ast.For) else None

    def __call__(self, items):
        log, told = [], Told(self.surroundings.levels)
        paths = paths_of(items)
        began = time.perf_counter()
        try:
            with _one_core(), self.surroundings, told, Used() if self.measures_memory else contextlib.nullcontext() as used:
                log = self.body(items, log) or log
        except BaseException as error:
            raise ChunkFailed(0, self.noted_before(log, told, paths)) from error
        seconds = time.perf_counter() - began
        return seconds, used and used.bytes, self.sent(Noted(self.trimmed(log), told.all, paths, getattr(self.body, "why", None)))

    def sent(self, noted):
        if self.spiller is None:
            return noted
        try:
            return self.spiller(noted)
        except SpillFailed as error:
            raise ChunkFailed(0, None) from error
        except Exception:  # it does not pickle, which is said where it is sent
            return noted

    def noted_before(self, log, told, paths):
        """What was noted before a failure; None if that cannot travel: what failed is told in any case."""
        try:
            return Noted(self.trimmed(log), told.all, paths)
        except ResultNotPicklable:
            return None

    def trimmed(self, log):
        """The log without variables that nobody looks at: they need not pickle."""
        if self.kept is None or type(log) is Log:
            return log
        return [entry if entry[0] != VARIABLES else (VARIABLES, {k: v for k, v in entry[1].items() if k in self.kept})
                for entry in log]


@contextlib.contextmanager
def _one_core():
    """Compiled loops inside of an iteration use the core that it has: the others have iterations of their own."""
    try:
        from epochly import _jit as jit
    except ImportError:  # built without LLVM: nothing is compiled
        jit = None
    before = 0 if jit is None else jit.cores()
    if before > 1:
        jit.set_cores(1)
    try:
        yield
    finally:
        if before > 1:
            jit.set_cores(before)


def warm():
    """Has the process load what every chunk needs."""
    with _one_core():
        pass


class Noted:
    """What a chunk leaves behind: the log of its iterations, what they told, see told.py, and why it ran as Python though it was
    compiled; None if it was not, or ran so."""

    __slots__ = ("log", "told", "why")

    def __init__(self, log, told, paths, why=None):
        self.log, self.told, self.why = Bundle(log, paths) if paths else log, told, why

    def log_of(self, items):
        """The log, where it has arrived and the items are."""
        return self.log.opened(items) if isinstance(self.log, Bundle) else self.log


class Surroundings:
    """What an iteration may see of its process beside the program's own values. Entered where the iteration runs.

    Left as they were found: the process may serve others too.
    """

    def __init__(self, environment, on_this_host):
        """environment: what has changed in os.environ since the other processes were started."""
        self.folder = os.getcwd() if on_this_host else None
        self.environment = environment
        self.recursion = sys.getrecursionlimit()
        self.decimals = _decimals()
        self.floats = _float_errors()
        self.levels = Levels() if "logging" in sys.modules else None
        self.before = None

    def __enter__(self):
        self.before = os.getcwd(), dict.fromkeys(self.environment), sys.getrecursionlimit(), _decimals(), _float_errors()
        self.before[1].update((name, os.environ.get(name)) for name in self.environment)
        self.set(self.folder, self.environment, self.recursion, self.decimals, self.floats)

    def __exit__(self, *_):
        self.set(*self.before)
        self.before = None

    @staticmethod
    def set(folder, environment, recursion, decimals, floats):
        if folder is not None:
            os.chdir(folder)
        for name, value in environment.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
        sys.setrecursionlimit(recursion)
        if decimals is not None:
            import decimal

            decimal.setcontext(decimals)
        if floats is not None:
            import numpy

            numpy.seterr(**floats)


def _decimals():
    decimal = sys.modules.get("decimal")
    return None if decimal is None else decimal.getcontext().copy()


def _float_errors():
    numpy = sys.modules.get("numpy")
    return None if numpy is None else numpy.geterr()
