"""The highest resident memory of the process while a block runs, for any number of blocks at once.

Linux keeps the mark (VmHWM) and lets a process set it back to what is resident now, by writing "5" to /proc/self/clear_refs. The
mark is one for all threads, so every block that is open takes what it says before it is set back. Where it cannot be set back,
a thread samples the resident memory meanwhile; a mark that rises by itself during the block is exact there too.
"""
from __future__ import annotations

import os
from _thread import allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: How memory_peak_mb was found: the kernel's mark, or samples, which may miss a short peak.
KERNEL = "kernel"
SAMPLED = "sampled"

# Seconds between samples: 0.2 % of a core.
SAMPLE_INTERVAL = 0.005

_CLEAR_REFS = "/proc/self/clear_refs"
_STATUS = "/proc/self/status"
_RESET_PEAK = b"5"

_lock = allocate_lock()
# Blocks that are open, of all threads. Guarded by _lock.
_open: list[Peak] = []


def _status_kib(field: bytes) -> int | None:
    """A field of /proc/self/status in KiB; None if there is none."""
    try:
        with open(_STATUS, "rb", buffering=0) as file:
            text = file.read()
    except OSError:
        return None
    start = text.find(b"\n" + field + b":")
    if start < 0:
        return None
    return int(text[start + len(field) + 2:].split(None, 1)[0])


def _mark_kib() -> int | None:
    """The process's highest resident memory since its start or the last reset."""
    kib = _status_kib(b"VmHWM")
    if kib is not None:
        return kib
    try:
        import resource
    except ImportError:  # Windows
        return None
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak  # bytes there, KiB elsewhere


def _reset_mark() -> bool:
    try:
        fd = os.open(_CLEAR_REFS, os.O_WRONLY)
    except OSError:
        return False
    try:
        os.write(fd, _RESET_PEAK)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _take_mark() -> None:
    """Under _lock: what the mark says now belongs to every open block."""
    mark = _mark_kib()
    if mark is not None:
        for peak in _open:
            peak.raise_to(mark)


class Peak:
    """The highest resident memory from start() to stop(), in MB (1e6 bytes); readable at any time between."""

    __slots__ = ("_kib", "_sampler", "_mark_at_start", "source")

    def __init__(self) -> None:
        self._kib: int | None = None
        self._sampler: Any = None
        self._mark_at_start: int | None = None
        self.source: str | None = None

    def start(self) -> None:
        with _lock:
            _take_mark()
            if _reset_mark():
                self.source = KERNEL
            else:
                self.source = SAMPLED
                self._mark_at_start = _mark_kib()
            _open.append(self)
        if self.source == SAMPLED:
            self._sampler = _Sampler(self)

    def stop(self) -> None:
        if self._sampler is not None:
            self._sampler.stop()
        with _lock:
            self._take()
            _open.remove(self)

    def megabytes(self) -> float | None:
        """None where the system does not tell."""
        with _lock:
            self._take()
            return None if self._kib is None else self._kib * 1024 / 1e6

    def raise_to(self, kib: int) -> None:
        """Under _lock: the mark, which for a sampled block may be older than the block."""
        if self.source == SAMPLED and self._mark_at_start is not None and kib <= self._mark_at_start:
            return
        self._kib = kib if self._kib is None else max(self._kib, kib)

    def sample(self) -> None:
        kib = _status_kib(b"VmRSS")
        if kib is not None:
            with _lock:
                self._kib = kib if self._kib is None else max(self._kib, kib)

    def _take(self) -> None:
        if self in _open:
            _take_mark()


class _Sampler:
    """Samples for one block, on a thread of its own."""

    def __init__(self, peak: Peak) -> None:
        import threading

        peak.sample()
        self._peak = peak
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="epochly-memory", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.wait(SAMPLE_INTERVAL):
            self._peak.sample()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        self._peak.sample()


def _start_over_after_fork() -> None:
    """The lock may have been held by a thread that the child does not have."""
    global _lock
    _lock = allocate_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over_after_fork)
