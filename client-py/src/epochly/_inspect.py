"""``inspect``: what level 2 made of a function, for people."""
from __future__ import annotations

from epochly import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Inspection:
    """What level 2 knows of a function. ``str()`` of it is for people.

    name: of the function, with its module
    versions: one dict for each set of argument types it was compiled for: arguments, returns, runs, given_back (calls whose
        guards failed and that CPython ran), infer_ms, compile_ms
    declined: {argument types: why not}, with the source line where one is to blame
    arguments, returns, typed, llvm, assembly: of the arguments that inspect() was given, else None; typed is the typed code
        of each function compiled, as text
    """

    __slots__ = ("name", "versions", "declined", "arguments", "returns", "typed", "llvm", "assembly")

    name: str
    versions: list[dict[str, Any]]
    declined: dict[str, str]
    arguments: list[str] | None
    returns: str | None
    typed: list[str] | None
    llvm: str | None
    assembly: str | None

    def __init__(self, name: str, versions: list[dict[str, Any]], declined: dict[str, str], code: dict[str, Any]) -> None:
        self.name, self.versions, self.declined = name, versions, declined
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
        if len(lines) == 1:
            lines.append("  level 2 has not seen a call of it yet")
        return "\n".join(lines)


def inspect(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Inspection:
    """What level 2 made of ``function``: types, what was compiled, what declined and why.

    With arguments: also the typed code, LLVM IR and assembly for such arguments; it is compiled for them, not called.
    Raises ModuleNotFoundError if epochly was built without LLVM.
    """
    from epochly import _jit

    inner, fastmath = function, False
    if _native.is_wrapped(function):
        inner, _, _, given = _native.options(function)
        fastmath = given == 1
    known = _jit.known(inner, fastmath)
    code, declined = {}, dict(known["declined"])
    if args or kwargs:
        code = _jit.Jit(inner, fastmath).explain(*args, **kwargs)
        if "declined" in code:
            declined[", ".join(type(a).__name__ for a in (*args, *kwargs.values()))] = code["declined"]
    name = f"{getattr(inner, '__module__', '?')}.{getattr(inner, '__qualname__', repr(inner))}"
    return Inspection(name, list(known["versions"]), declined, code)
