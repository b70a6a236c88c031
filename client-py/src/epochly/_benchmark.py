"""``benchmark_levels``: one function at several levels."""
from __future__ import annotations

import time

from epochly import _native
from epochly._optimize import optimize
from epochly.levels import checked, optimize_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


def benchmark_levels(func: Callable[[Any], Any], data: Any, levels: Iterable[int] = (0, 1, 2, 3), *,
                     repeat: int = 10) -> dict[int, float]:
    """Mean seconds of ``func(data)`` at each level: {level: seconds}.

    repeat: timed calls at each level, after one that is not. A decorated ``func`` runs at each level whatever level it was
    given. A level that declines the call shows the time of the one that ran: report() says which. Raises ValueError or TypeError
    for a wrong level or repeat, and what ``func`` raises.
    """
    if isinstance(repeat, bool) or not isinstance(repeat, int):
        raise TypeError(f"repeat must be an int, not {type(repeat).__name__}")
    if repeat < 1:
        raise ValueError(f"repeat must be at least 1, not {repeat}")
    return {level: _measured(func, data, level, repeat) for level in [checked(level) for level in levels]}


def _measured(func, data, level, repeat):
    run = _at(func, level)
    with optimize_context(level=level):
        run(data)
        start = time.perf_counter()
        for _ in range(repeat):
            run(data)
        return (time.perf_counter() - start) / repeat


def _at(func, level):
    """``func`` itself, unless it is decorated and so may have a level of its own."""
    return optimize(func, level=level) if _native.is_wrapped(func) else func
