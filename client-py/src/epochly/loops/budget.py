"""memory_limit: what the iterations of a loop at level 3 may take together while they run."""

import contextvars
import os
import re
import tempfile
import types
import weakref
from typing import NamedTuple

from epochly import _memory

__all__ = ["Budget", "Limit", "Used", "bytes_of", "context", "limit", "limit_of", "note"]

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
# A chunk has at most so many times the items of the last: one that took little says little about the next ones.
GROWTH_MAX = 4

#: Of the innermost optimize_context() that was given one.
context = contextvars.ContextVar("epochly_memory_limit", default=None)
_of_functions = weakref.WeakKeyDictionary()


def bytes_of(limit):
    """"2GB", "512 MiB" or a number of bytes, as an int. Raises TypeError or ValueError."""
    if isinstance(limit, bool) or not isinstance(limit, (int, str)):
        raise TypeError(f'memory_limit must be a number of bytes or a text like "2GB", not {limit!r}')
    if isinstance(limit, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]I?B|B?)\s*", limit.upper())
        if match is None:
            raise ValueError(f'memory_limit must be a number of bytes or a text like "2GB" or "512MiB", not {limit!r}')
        limit = int(float(match[1]) * _UNITS[match[2]])
    if limit < 1:
        raise ValueError(f"memory_limit must be at least one byte, not {limit!r}")
    return limit


class Limit(NamedTuple):
    """bytes: that may be taken. spill: the folder where results go that do not fit; None: they stay in memory."""

    bytes: int
    spill: str | None = None


def limit(memory_limit, spill):
    """The Limit that arguments of optimize() say; None: there is none. Raises TypeError or ValueError."""
    if memory_limit is None:
        if spill:
            raise ValueError("spill needs a memory_limit: results go to disk that do not fit into it")
        return None
    if spill is not None and not isinstance(spill, (bool, str, os.PathLike)):
        raise TypeError(f"spill must be True, False or a folder, not {spill!r}")
    folder = tempfile.gettempdir() if spill is True else os.path.abspath(spill) if spill else None
    if folder is not None and not os.path.isdir(folder):
        raise ValueError(f"spill: there is no folder {folder!r}")
    return Limit(bytes_of(memory_limit), folder)


def note(function, limit):
    """A Limit is for loops of `function`."""
    if not isinstance(function, types.FunctionType):
        raise TypeError(f"memory_limit is for Python functions, whose loops are split, not {type(function).__name__}")
    _of_functions[function] = limit


def limit_of(function):
    """A Limit; None: there is none."""
    known = _of_functions.get(function)
    return context.get() if known is None else known


class Used:
    """A block that says by how many bytes the resident memory of this process rose at its highest; 0 where nothing tells."""

    __slots__ = ("bytes", "_peak", "_before")

    def __enter__(self):
        self.bytes = 0
        self._peak = _memory.Peak()
        self._peak.start()
        self._before = self._peak.megabytes()
        return self

    def __exit__(self, *_):
        after = self._peak.megabytes()
        self._peak.stop()
        if after is not None and self._before is not None:
            self.bytes = max(0, int((after - self._before) * 1e6))


class Budget:
    """How many chunks may be on their way, and of how many items, for so many bytes. bytes None: as many as anybody likes."""

    def __init__(self, bytes):
        self.limit = bytes
        self._peak = 0  # bytes of the largest chunk since `_items` was last made smaller
        self._items = 1
        self._sure = False  # a process that does nothing else has told

    def learn(self, items, used, sure=True):
        """A chunk of so many items took so many bytes. Not sure: in a process that may have taken them from what it had."""
        self._sure |= sure
        if self.limit is not None and items >= self._items:
            self._peak, self._items = max(used, self._peak if items == self._items else 0), items
        self._peak = max(self._peak, used)

    def chunks(self, wanted):
        """How many may be on their way, of those that are wanted."""
        if self.limit is None:
            return wanted
        if not self._sure:
            return 1
        if self._peak == 0:
            return wanted
        return max(1, min(wanted, self.limit // self._peak))

    def items(self, wanted, chunks):
        """How many items the next chunk may have while there are so many chunks."""
        if self.limit is None:
            return wanted
        share = self.limit // max(1, chunks)
        fitting = self._items * GROWTH_MAX if self._peak == 0 else int(self._items * min(GROWTH_MAX, share / self._peak))
        return max(1, min(wanted, fitting))

    def too_small(self):
        """A sentence if not even one iteration fits; else None."""
        if self.limit is None or self._items > 1 or self._peak <= self.limit:
            return None
        return f"one iteration takes {self._peak / 1e6:.3g} MB, more than memory_limit: they run one at a time"
