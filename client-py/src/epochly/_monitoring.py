"""``monitoring_context``: the CPU time, waiting and memory of a block."""
from __future__ import annotations

import time
from _thread import get_ident

from epochly._memory import Peak

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Any

_NS_PER_MS = 1e6


class Metrics(dict):
    """What monitoring_context() measures, as a dict. While the block runs, every look at it shows how far it has got.

    cpu_time_ms: CPU time of the block's thread; wait_time_ms: time in which it waited for something; total_time_ms: both together
    wall_time_ms: what a clock on the wall shows. On a busy machine it is more than total_time_ms, by the time in which the thread
    could have run and other programs had the CPUs; where the system does not tell that time, it is part of wait_time_ms.
    memory_peak_mb: the highest resident memory of the process while the block ran, in 1e6 bytes
    memory_peak_source: "kernel", or "sampled" where the system cannot say it exactly
    A figure that the system does not tell is absent.
    """

    __slots__ = ("_measuring",)

    def __init__(self) -> None:
        super().__init__()
        self._measuring: _Measuring | None = None

    def _refresh(self) -> Metrics:
        if self._measuring is not None:
            dict.update(self, self._measuring.so_far())
        return self

    def __getitem__(self, key: Any) -> Any:
        return dict.__getitem__(self._refresh(), key)

    def get(self, key: Any, default: Any = None) -> Any:
        return dict.get(self._refresh(), key, default)

    def __contains__(self, key: Any) -> bool:
        return dict.__contains__(self._refresh(), key)

    def __iter__(self) -> Iterator[Any]:
        return dict.__iter__(self._refresh())

    def __len__(self) -> int:
        return dict.__len__(self._refresh())

    def keys(self) -> Any:
        return dict.keys(self._refresh())

    def values(self) -> Any:
        return dict.values(self._refresh())

    def items(self) -> Any:
        return dict.items(self._refresh())

    def copy(self) -> dict[Any, Any]:
        return dict.copy(self._refresh())

    def __eq__(self, other: object) -> bool:
        return dict.__eq__(self._refresh(), other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return dict.__repr__(self._refresh())

    def __reduce__(self) -> Any:
        return dict, (self.copy(),)


def _ready_ns() -> int | None:
    """Nanoseconds that this thread has been ready to run without a CPU; None where the system does not tell."""
    try:
        with open("/proc/thread-self/schedstat", "rb", buffering=0) as file:
            return int(file.read().split()[1])
    except (OSError, IndexError, ValueError):
        return None


# Readings between which the thread lost its CPU do not belong together; they are taken anew, so often at most.
_LOST_NS_MAX = 50_000
_READINGS_MAX = 5


class _Reading:
    """The clocks of this thread at one moment: ``before`` and ``after`` are (wall, CPU) around the reading of ``ready``."""

    __slots__ = ("before", "after", "ready")

    def __init__(self) -> None:
        for _ in range(_READINGS_MAX):
            self.before = time.perf_counter_ns(), time.thread_time_ns()
            self.ready = _ready_ns()
            self.after = time.perf_counter_ns(), time.thread_time_ns()
            (wall, cpu), (wall_after, cpu_after) = self.before, self.after
            if wall_after - wall - (cpu_after - cpu) < _LOST_NS_MAX:
                break


class _Measuring:
    """The clocks and the memory of one block, from its beginning."""

    __slots__ = ("_thread", "_memory", "_start")

    def __init__(self) -> None:
        self._thread = get_ident()
        self._memory = Peak()
        self._memory.start()
        self._start = _Reading()

    def _times(self) -> dict[str, float]:
        now, start = _Reading(), self._start
        wall = now.before[0] - start.after[0]
        if get_ident() != self._thread:  # another thread's clocks say nothing of the block
            return {"total_time_ms": wall / _NS_PER_MS, "wall_time_ms": wall / _NS_PER_MS}
        cpu = min(now.before[1] - start.after[1], wall)
        robbed = 0 if now.ready is None or start.ready is None else now.ready - start.ready
        waited = max(0, wall - cpu - robbed)
        return {"cpu_time_ms": cpu / _NS_PER_MS, "wait_time_ms": waited / _NS_PER_MS,
                "total_time_ms": (cpu + waited) / _NS_PER_MS, "wall_time_ms": wall / _NS_PER_MS}

    def _memory_peak(self) -> dict[str, Any]:
        peak = self._memory.megabytes()
        return {} if peak is None else {"memory_peak_mb": peak, "memory_peak_source": self._memory.source}

    def so_far(self) -> dict[str, Any]:
        return {**self._times(), **self._memory_peak()}

    def stop(self) -> dict[str, Any]:
        times = self._times()
        self._memory.stop()
        return {**times, **self._memory_peak()}


class monitoring_context:
    """Measures the ``with`` block: ``with epochly.monitoring_context() as metrics``. See Metrics for what it holds.

    Blocks nest, and any number of threads may be in one at once. Exceptions pass through, with the metrics filled in.
    """

    __slots__ = ("_metrics",)

    def __init__(self) -> None:
        self._metrics: list[Metrics] = []

    def __enter__(self) -> Metrics:
        metrics = Metrics()
        self._metrics.append(metrics)
        metrics._measuring = _Measuring()
        return metrics

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        metrics = self._metrics.pop()
        measuring, metrics._measuring = metrics._measuring, None
        if measuring is not None:
            dict.update(metrics, measuring.stop())
