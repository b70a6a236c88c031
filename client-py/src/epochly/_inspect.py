"""``inspect``: what levels 2 and 3 made of a function, for people."""
from __future__ import annotations

from epochly import _native
from epochly.levels import MULTICORE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Inspection:
    """What levels 2 and 3 know of a function. ``str()`` of it is for people.

    name: of the function, with its module
    versions: one dict for each set of argument types it was compiled for: arguments, returns, runs, given_back (calls whose
        guards failed and that CPython ran), infer_ms, compile_ms
    declined: {argument types: why not}, with the source line where one is to blame
    loops: of level 3: one dict for each loop: line, depth (loops around it), function, shape ("map", "carried", ...), splits
        (whether it may run on several cores), reason (why not, else None), and where it splits: ran_split and ran_alone
        (executions on several cores, and on one), ns_per_iteration (0: not measured yet)
    arguments, returns, typed, llvm, assembly: of the arguments that inspect() was given, else None; typed is the typed code
        of each function compiled, as text
    """

    __slots__ = ("name", "versions", "declined", "loops", "arguments", "returns", "typed", "llvm", "assembly")

    name: str
    versions: list[dict[str, Any]]
    declined: dict[str, str]
    loops: list[dict[str, Any]]
    arguments: list[str] | None
    returns: str | None
    typed: list[str] | None
    llvm: str | None
    assembly: str | None

    def __init__(self, name: str, versions: list[dict[str, Any]], declined: dict[str, str], code: dict[str, Any]) -> None:
        self.name, self.versions, self.declined = name, versions, declined
        self.loops = code.get("loops") or next((v["loops"] for v in versions if v["loops"]), [])
        for field in ("arguments", "returns", "typed", "llvm", "assembly"):
            setattr(self, field, code.get(field))

    def __repr__(self) -> str:
        return f"<Inspection of {self.name}: {len(self.versions)} versions, {len(self.declined)} declined>"

    def __str__(self) -> str:
        lines = [self.name]
        for v in self.versions:
            lines.append(f"  ({', '.join(v['arguments'])}) -> {v['returns']}: {v['runs']} runs, {v['given_back']} given "
                         f"back to CPython, compiled in {v['infer_ms'] + v['compile_ms']:.1f} ms")
        lines += [f"  ({types}) declined: {reason}" for types, reason in self.declined.items()]
        for loop in self.loops:
            how = "splits" if loop["splits"] else f"does not split: {loop['reason']}"
            lines.append(f"  the loop of line {loop['line']} ({loop['shape']}) {how}")
        if len(lines) == 1:
            lines.append("  level 2 has not seen a call of it yet")
        return "\n".join(lines)


def inspect(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Inspection:
    """What levels 2 and 3 made of ``function``: types, what was compiled, what declined and why, the shapes of its loops.

    With arguments: also the typed code, LLVM IR and assembly for such arguments; it is compiled for them, not called.
    Raises ModuleNotFoundError if epochly was built without LLVM.
    """
    from epochly import _jit

    inner, fastmath, level = function, False, None
    if _native.is_wrapped(function):
        inner, level, _, given = _native.options(function)
        fastmath = given == 1
    versions, declined = [], {}
    for multicore in (False, True):
        known = _jit.known(inner, fastmath, multicore)
        versions += known["versions"]
        declined.update(known["declined"])
    code = {}
    if args or kwargs:
        code = _explain(inner, fastmath, level == MULTICORE, args, kwargs)
        if "declined" in code:
            declined[", ".join(type(a).__name__ for a in (*args, *kwargs.values()))] = code["declined"]
    name = f"{getattr(inner, '__module__', '?')}.{getattr(inner, '__qualname__', repr(inner))}"
    return Inspection(name, versions, declined, code)


def _explain(function, fastmath, multicore, args, kwargs):
    """The code for these arguments; of level 2 with the loops' shapes of level 3 where level 3 declines."""
    from epochly import _jit

    split = _jit.Jit(function, fastmath, True).explain(*args, **kwargs)
    if multicore and "declined" not in split:
        return split
    code = _jit.Jit(function, fastmath, False).explain(*args, **kwargs)
    code["loops"] = split["loops"]
    return code
