"""Copies of large buffers in shared memory that are kept from one run of a loop to the next.

An array that loops read again and again is compared with its copy before each run, and only the blocks that differ are copied. That
is exact, whoever has written it in what way, and takes a quarter of copying it. A copy goes when its array does.
"""

import atexit
import os
import sys
import threading
import weakref

from epochly import _native

__all__ = ["Loan", "bytes_of", "clear"]

# Seconds a byte, of one core, measured by `./dev bench loops`: into new shared memory, and compared with what is there.
COPYING_SECONDS = 0.5e-9
COMPARING_SECONDS = 0.1e-9
# Kept at once, as a part of the machine's memory: it holds the arrays twice.
KEPT_SHARE_MAX = 0.125
# Arrays that are known, with and without a copy. Past it the one that was read longest ago is forgotten.
KNOWN_MAX = 256


def bytes_of(buffer):
    with buffer.raw() as raw:
        return raw.nbytes


class _Known:
    """An array that loops have read. Guarded by `_lock`; the copy's bytes by `readers`, which are 0 while it is renewed."""

    __slots__ = ("owner", "nbytes", "copy", "readers", "renewing", "changed", "missed")

    def __init__(self, owner, nbytes):
        self.owner, self.nbytes = owner, nbytes
        self.copy = None
        self.readers = 0
        self.renewing = threading.Lock()
        self.changed = 1.0  # part of it that was copied the last time
        self.missed = 0.0  # seconds that runs would have gained, since it was copied last

    def seconds(self):
        """What a run has to wait for a copy that is as the array is. What earlier runs have missed counts for the copying: an array
        that comes often enough is worth its copy, though no single run is."""
        copying = self.changed * self.nbytes * COPYING_SECONDS
        return self.nbytes * COMPARING_SECONDS + max(0.0, copying - self.missed)


_lock = threading.Lock()
_known = {}  # (id of the owner, address, bytes): _Known, the one that was read last at the end
_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


class Loan:
    """The buffers of one run in shared memory. Given back by ``end()``."""

    def __init__(self, buffers):
        self.buffers = buffers
        self.known = [_find(buffer) for buffer in buffers]
        self.ranges = []
        self._borrowed = []
        self._owners = []

    def seconds(self):
        """What this run has to wait for them."""
        return sum(bytes_of(buffer) * COPYING_SECONDS if known is None else known.seconds()
                   for buffer, known in zip(self.buffers, self.known))

    def miss(self, gain):
        """They are not copied, and a gain of so many seconds is missed."""
        for known in self.known:
            if known is not None:
                known.missed += gain

    def take(self, stream):
        """Puts `stream` and the buffers into shared memory: their ranges, that of the stream first. None: there is no room."""
        rest = [stream]
        places = []
        for buffer, known in zip(self.buffers, self.known):
            found = None if known is None else self._borrow(buffer, known)
            places.append(found)
            if found is None:
                rest.append(buffer)
        placed = _native.share_buffers(rest)
        if placed is None:
            self.end()
            return None
        owner, ranges = placed
        self._owners.append(owner)
        new = iter(ranges)
        return [next(new), *(next(new) if place is None else place for place in places)]

    def _borrow(self, buffer, known):
        """The range of a copy that is as the buffer now; None: there is none for this run."""
        with known.renewing:
            with _lock:
                alone = known.readers == 0
                known.readers += 1  # from here on it is not taken away
            self._borrowed.append(known)
            known.missed = 0.0
            if known.copy is None:
                known.copy, known.changed = _new_copy(buffer, known), 0.0  # until it turns out to change
            elif alone:
                known.changed = known.copy.renew(buffer, _threads) / known.nbytes
            elif not known.copy.same(buffer, _threads):
                return None  # somebody reads what it was
            return None if known.copy is None else known.copy.range

    def end(self):
        with _lock:
            for known in self._borrowed:
                known.readers -= 1
        self._borrowed, self._owners = [], []


def _find(buffer):
    """What is known of a buffer; None of one whose end nobody would tell."""
    owner = _owner_of(buffer)
    if owner is None:
        return None
    nbytes = bytes_of(buffer)
    key = id(owner), _native.address_of(buffer), nbytes
    with _lock:
        known = _known.pop(key, None)
        if known is None:
            known = _Known(weakref.ref(owner, lambda _: _known.pop(key, None)), nbytes)
        _known[key] = known
        while len(_known) > KNOWN_MAX:
            _known.pop(next(iter(list(_known))), None)
    return known


def _owner_of(buffer):
    """The last object in the row of those whose memory it is that can be watched."""
    with buffer.raw() as raw:
        value = raw.obj
    numpy, owner = sys.modules.get("numpy"), None
    while value is not None:
        if getattr(type(value), "__weakrefoffset__", 0):
            owner = value
        value = value.base if numpy is not None and isinstance(value, numpy.ndarray) else None
    return owner


def _new_copy(buffer, known):
    """A copy that is kept; None: there is no room for it beside those that are read now."""
    if not _make_room(known.nbytes):
        return None
    return _native.keep_copy(buffer)


def _make_room(nbytes):
    bytes_max = KEPT_SHARE_MAX * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with _lock:
        held = sum(each.nbytes for each in list(_known.values()) if each.copy is not None)
        for each in list(_known.values()):  # what was read longest ago comes first
            if held + nbytes <= bytes_max:
                break
            if each.copy is not None and each.readers == 0:
                each.copy = None
                held -= each.nbytes
    return held + nbytes <= bytes_max


def clear():
    """Forgets everything; what is read now goes when it has been read."""
    with _lock:
        _known.clear()


def _forget():
    global _lock
    _lock = threading.Lock()
    _known.clear()


atexit.register(clear)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
