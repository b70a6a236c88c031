"""What has been measured of decorated functions."""
from __future__ import annotations

from epochly import _native
from epochly._optimize import find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def get_metrics(function: Callable[..., Any] | None = None) -> dict[str, Any]:
    """What was measured of ``function``; of all decorated functions of this process together, those gone included, without one.

    total_calls, error_count: calls begun, calls ended by an exception. A function's calls to itself are counted, and are part of
    the outermost call in everything else.
    total_time_ms, avg_time_ms, min_time_ms, max_time_ms: wall time of ``timed_calls`` calls, all whose loops were not counted.
    io_wait_ratio: share of the time, 0 to 1, that the calling thread was not on a CPU; cpu_time_ms and wait_time_ms are
    total_time_ms divided so. It rests on ``cpu_samples`` calls.
    avg_loop_iterations: iterations of Python loops per call, callees included, counted on ``loop_samples`` calls, whether they
    ran compiled or not. If that is 0,
    ``loop_samples_cut`` calls were too long to be counted to the end, and did at least so many.
    avg_data_size: elements of the largest argument, over the ``data_samples`` calls that had one with a size.

    A figure that was not measured is absent. Raises TypeError if ``function`` is not decorated.
    """
    return _native.all_figures() if function is None else _native.figures(find(function))


def reset_metrics(function: Callable[..., Any] | None = None) -> None:
    """Starts the measurements of ``function`` anew; those of all functions without one. Raises as get_metrics()."""
    if function is None:
        _native.reset_all()
    else:
        _native.reset(find(function))
