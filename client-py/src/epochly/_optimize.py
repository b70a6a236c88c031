"""``optimize``: from a function to one that is measured and run at a level."""
from __future__ import annotations

import sys

from epochly import _config, _native
from epochly.levels import checked

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from typing import Any, Literal, TypeVar, overload

    F = TypeVar("F", bound=Callable[..., Any])
    Placement = Literal["auto", "local", "cluster"]

_NOT_GIVEN = -1
# In the order of ext/local/function.h.
_PLACEMENTS = ("auto", "local", "cluster")

if TYPE_CHECKING:

    @overload
    def optimize(function: F, /, *, level: int | None = None, placement: Placement = "auto",
                 fastmath: bool | None = None, memory_limit: int | str | None = None,
                 spill: bool | str | os.PathLike[str] = False) -> F: ...
    @overload
    def optimize(*, level: int | None = None, placement: Placement = "auto",
                 fastmath: bool | None = None, memory_limit: int | str | None = None,
                 spill: bool | str | os.PathLike[str] = False) -> Callable[[F], F]: ...


def optimize(function=None, /, *, level=None, placement="auto", fastmath=None, memory_limit=None, spill=False):
    """Makes ``function`` measured, and run at a level. Use as ``@optimize``, ``@optimize(level=2)`` or ``optimize(f, level=2)``.

    function: a function, method, generator or coroutine function, lambda, partial, builtin or callable object. What comes back is
    called, inspected and pickled as the function itself. A class or property is refused: decorate its methods.
    level: 0 monitor, 1 threads, 2 jit, 3 multicore, 4 gpu. None: that of the surrounding optimize_context(), else of set_level(),
    else one that is chosen by measuring. A level that cannot run a call declines it with a reason, see report().
    placement: "local" runs calls in this process, "cluster" on the cluster; "auto" on the cluster only what cannot run here.
    fastmath: True lets level 2 reassociate, contract and vectorise sums of floats, take ``x ** 2`` for ``x * x``, not tell -0.0
    from 0.0, and leave out numpy's warnings: results may differ in their last digits. None: as the surrounding
    optimize_context() says, else False: the very bits of CPython.
    memory_limit: "2GB", or a number of bytes: what iterations of its loops on level 3's processes may take together, beside
    what they return. None: as the surrounding optimize_context() says, else as much as there is.
    spill: True, or a folder on a disk: half of ``memory_limit`` is for what iterations return then, and what is too large for that
    waits in files there. SpillFailed is raised if the disk has no room.
    Raises TypeError or ValueError for a wrong argument.
    """
    number = _NOT_GIVEN if level is None else checked(level)
    if placement not in _PLACEMENTS:
        raise ValueError(f"placement must be one of {', '.join(map(repr, _PLACEMENTS))}, not {placement!r}")
    if fastmath not in (None, False, True):
        raise TypeError(f"fastmath must be True, False or None, not {fastmath!r}")
    place = _PLACEMENTS.index(placement)
    fast = _NOT_GIVEN if fastmath is None else int(fastmath)
    limit = None
    if memory_limit is not None or spill:
        from epochly.loops import budget

        limit = budget.limit(memory_limit, spill)
    if function is None:
        return lambda function: _limited(_apply(function, number, place, fast), limit)
    return _limited(_apply(function, number, place, fast), limit)


def _limited(made, limit):
    if limit is not None and not _config.disabled:
        from epochly.loops.budget import note

        note(_native.options(getattr(made, "__func__", made))[0], limit)
    return made


def _apply(function, level, place, fast):
    if isinstance(function, (classmethod, staticmethod)):
        return type(function)(_apply(function.__func__, level, place, fast))
    _check(function)
    if _config.disabled:
        return function
    if _native.is_wrapped(function):
        return _again(function, level, place, fast)
    return _native.wrap(function, level, place, fast)


def _again(function, level, place, fast):
    """Decorated twice: measured once, and what is said last counts."""
    inner, inner_level, inner_place, inner_fast = _native.options(function)
    new_level = inner_level if level == _NOT_GIVEN else level
    new_place = inner_place if place == 0 else place
    new_fast = inner_fast if fast == _NOT_GIVEN else fast
    if (new_level, new_place, new_fast) == (inner_level, inner_place, inner_fast):
        return function
    return _native.wrap(inner, new_level, new_place, new_fast)


def _check(function):
    if isinstance(function, type):
        raise TypeError(f"optimize() takes a function, not the class {function.__qualname__}: decorate its methods instead")
    if isinstance(function, property):
        raise TypeError("optimize() takes a function, not a property: put @epochly.optimize below @property")
    if isinstance(function, int):
        raise TypeError(f"optimize() takes a function; for a level write @epochly.optimize(level={function})")
    if not callable(function):
        raise TypeError(f"optimize() takes a function, not {type(function).__name__} {function!r}")


def find(function):
    """The decorated function behind ``function``: itself, a bound method's, a partial's, or one below other decorators.

    Raises TypeError if there is none. Where nothing is decorated because of EPOCHLY_DISABLE, one that was never called.
    """
    at = function
    for _ in range(64):  # decorators on decorators; a chain that bites its tail must end
        if _native.is_wrapped(at):
            return at
        for name in ("__func__", "__wrapped__", "func"):
            inner = getattr(at, name, None)
            if inner is not None:
                at = inner
                break
        else:
            break
    if _config.disabled and callable(function):
        return _native.wrap(function, _NOT_GIVEN, _PLACEMENTS.index("local"), _NOT_GIVEN)
    raise TypeError(f"{function!r} is not decorated with epochly.optimize")


# ---- called by ext/local --------------------------------------------------------------------------------------------------


def _by_name(function):
    """The qualified name under which ``function`` is found in its module; None if it is not."""
    name = getattr(function, "__qualname__", None)
    found = sys.modules.get(getattr(function, "__module__", None))
    for part in name.split(".") if isinstance(name, str) else ():
        found = getattr(found, part, None)
    return name if found is function else None


def reduce(function):
    """How a decorated function is pickled: by name if its module has it under its name, else what it decorates and how."""
    name = _by_name(function)
    return rebuilt(function) if name is None else name


def rebuilt(function):
    """The same, never by name."""
    return rebuild, _native.options(function)


def rebuild(function, level, place, fast=_NOT_GIVEN):
    return _apply(function, level, place, fast)


def call_on_cluster(function, args, kwargs):
    from epochly import _cluster, _report

    inner, level, _, _ = _native.options(function)
    if _cluster.inside_executor():
        return _native.call_here(function, args, kwargs)
    value, ran = _cluster.call(inner, args, kwargs, "auto" if level == _NOT_GIVEN else level)
    _report.note_cluster(function, ran)
    return value
