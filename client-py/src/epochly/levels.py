"""Levels: what they are called, which is in force, and which one suits a workload."""
from __future__ import annotations

import sys
from types import CodeType, FunctionType, ModuleType

from epochly import _config, _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from types import FrameType, TracebackType
    from typing import Any, Literal

#: What each level does. The numbers are those of set_level().
NAMES = ("monitor", "threads", "jit", "multicore", "gpu")

# The thresholds of the guide's decision tree. Each is exclusive: a workload exactly at one is below it.
IO_WAIT_RATIO = 0.5
LOOP_ITERATIONS = 10_000
DATA_SIZE_GPU = 10_000_000
DATA_SIZE_PARALLEL = 100_000

_NOT_GIVEN = -1
JIT = 2
MULTICORE = 3


def checked(level: object, what: str = "level") -> int:
    """``level`` as an int in 0..4. TypeError if it is no integer (a bool is none), ValueError if it is another number."""
    allowed = f"{what} must be an int from 0 to {len(NAMES) - 1} ({', '.join(f'{n} {name}' for n, name in enumerate(NAMES))})"
    if isinstance(level, bool) or not isinstance(level, int):
        raise TypeError(f"{allowed}, not {type(level).__name__} {level!r}")
    if not 0 <= level < len(NAMES):
        raise ValueError(f"{allowed}, not {level}")
    return int(level)


def set_level(level: int | Literal["auto"]) -> None:
    """Sets the level of this process: of calls of decorated functions that were given none, outside every optimize_context().

    level: 0 monitor, 1 threads, 2 jit, 3 multicore, 4 gpu; "auto": it is chosen for each function by measuring, as before the
    first call of this. Raises ValueError for another number, TypeError for anything else.
    """
    _native.set_process_level(_NOT_GIVEN if level == "auto" else checked(level))


def get_level() -> int:
    """The level in force here: that of the innermost optimize_context() of this thread or task, else the process's, else 0."""
    level = _native.level_in_force()
    return 0 if level == _NOT_GIVEN else level


class optimize_context:
    """In the ``with`` block, decorated functions that were given no level of their own run at ``level``.

    From level 1 on also the undecorated Python functions that the code around the block names: its own variables and globals, and
    functions of modules among them. What such a function calls is compiled with it.

    fastmath, memory_limit, spill: as those of optimize(), for functions that were given none of their own.

    The block's own loops run at the level too: it runs as a function of its variables, which are written back. A block that
    returns, yields or awaits, or whose variables are used by functions inside of the one around, runs as it is, and so does every
    block under a debugger or coverage tool; ``declined`` says why.

    Holds for the thread, or the asyncio task, that entered it; contexts nest, the innermost counts. Exceptions pass through. Raises
    as set_level().

    ran: after a block: the level at which loops of its own ran; 0 if they ran as they are, None before the first block
    declined: [(level, reason)] of the loops, or the block, that did not
    """

    __slots__ = ("level", "fastmath", "ran", "declined", "_tokens", "_offered", "_bodies", "_limit", "_limits")

    def __init__(self, level: int, *, fastmath: bool = False, memory_limit: int | str | None = None,
                 spill: bool | str | os.PathLike[str] = False) -> None:
        self.level = checked(level)
        self.fastmath = bool(fastmath)
        self._limit, self._limits = None, []
        if memory_limit is not None or spill:
            from epochly.loops import budget

            self._limit = budget.limit(memory_limit, spill)
        self._tokens: list[Any] = []
        self._offered: list[list[Any]] = []
        self._bodies: list[Any] = []
        self.ran: int | None = None
        self.declined: list[tuple[int, str]] = []

    def __enter__(self) -> optimize_context:
        if not _config.disabled:
            self._tokens.append(_native.enter_level(self.level, self.fastmath))
            self._enter_limit()
            frame = sys._getframe(1)
            named = _functions_named(frame) if self.level > 0 else ()
            self._offered.append([function for function in named if _native.offer(function)])
            self._bodies.append(self._take_over(frame) if self.level > 0 else None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> bool:
        if not self._tokens:
            return False
        body = self._bodies.pop()
        try:
            return body is not None and body.leave(error)
        finally:
            if body is not None:
                self.ran, self.declined = body.level, body.declined
            self._leave_limit()
            _native.leave_level(self._tokens.pop())
            for function in self._offered.pop():
                _native.withdraw(function)

    def _enter_limit(self) -> None:
        if self._limit is not None:
            from epochly.loops import budget

            self._limits.append(budget.context.set(self._limit))

    def _leave_limit(self) -> None:
        if self._limits:
            from epochly.loops import budget

            budget.context.reset(self._limits.pop())

    def _take_over(self, frame: FrameType) -> Any:
        """What will run in place of the block; None: it runs as it is."""
        from epochly.loops.body import take_over

        body = take_over(frame, self.level)
        if not isinstance(body, str):
            return body
        self.ran, self.declined = 0, [(self.level, body)]
        return None

    def __repr__(self) -> str:
        return f"optimize_context(level={self.level}{', fastmath=True' if self.fastmath else ''})"


def _functions_named(frame: FrameType) -> list[FunctionType]:
    """The plain functions that the code of a frame can name now, those of modules that it names included."""
    names, attributes, todo = set(), set(), [frame.f_code]
    while todo:
        code = todo.pop()
        names.update(code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        attributes.update(code.co_names)
        todo.extend(const for const in code.co_consts if isinstance(const, CodeType))
    local, found = frame.f_locals, {}
    for name in names:
        value = local.get(name, frame.f_globals.get(name))
        if type(value) is FunctionType:
            found[id(value)] = value
        elif type(value) is ModuleType:
            for attribute in attributes:
                inner = vars(value).get(attribute)
                if type(inner) is FunctionType:
                    found[id(inner)] = inner
    return list(found.values())


def select_optimal_level(workload_metrics: Mapping[str, Any]) -> int:
    """The level that suits a workload, by the guide's decision tree.

    workload_metrics: what get_metrics() returns. A figure that is absent counts as 0.
    """
    return select_with_reason(workload_metrics)[0]


def select_with_reason(workload_metrics: Mapping[str, Any]) -> tuple[int, str]:
    """As select_optimal_level(), with a sentence that says why."""
    from epochly._features import check_feature

    io_ratio = workload_metrics.get("io_wait_ratio", 0)
    loops = workload_metrics.get("avg_loop_iterations", 0)
    size = workload_metrics.get("avg_data_size", 0)
    if io_ratio > IO_WAIT_RATIO:
        return 1, f"it waits {io_ratio:.0%} of its time"
    if loops > LOOP_ITERATIONS:
        if size > DATA_SIZE_GPU and check_feature("gpu_acceleration"):
            return 4, f"{loops:,.0f} loop iterations a call over {size:,.0f} elements, and there is a GPU"
        if size > DATA_SIZE_PARALLEL:
            return 3, f"{loops:,.0f} loop iterations a call over {size:,.0f} elements"
        return 2, f"{loops:,.0f} loop iterations a call"
    if size > DATA_SIZE_PARALLEL:
        return 3, f"{size:,.0f} elements a call"
    return 0, "there is not enough work in a call to gain by another level"
