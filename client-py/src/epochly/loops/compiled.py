"""Loops of a block at level 2 and up, by the engines that decorated functions use."""

import types

from epochly import _native, _program
from epochly.loops import rewrite, sites

__all__ = ["CONSTANTS", "MADE_MAX", "Plan", "Run", "function_of", "plan_of_block"]

# Functions made of one loop: for kinds of values, and for functions that it calls, as many as level 2 makes of a code object.
MADE_MAX = 16
# What a loop calls or takes from is part of its code, as a function's globals are.
CONSTANTS = (types.FunctionType, types.BuiltinFunctionType, types.ModuleType, type)


class Plan:
    """A block with its loops taken out. code: of the rest, None if there is no loop, then `reason` says so."""

    __slots__ = ("code", "reason", "sites", "original")

    def __init__(self, original):
        self.original, self.code, self.reason, self.sites = original, None, None, []


def plan_of_block(block, inputs, frame):
    made = Plan(block.code)
    local = {*inputs, *block.stored, *block.unbound(inputs, block.code)}
    function = block.as_function(inputs)
    body = function.body[-1].body  # of the try statement
    function.body[-1].body, made.sites = sites.extract(body, inputs, local, block.live)
    if made.sites:
        made.code = rewrite.compiled(function, block.code, block.class_name, ())
    else:
        made.reason = "no loop of its own leaves anything behind"
    return made


class Run:
    """One run of a block. ran: the highest level at which a loop ran; declined: [(level, sentence)]."""

    __slots__ = ("plan", "level", "globals", "ran", "declined")

    def __init__(self, plan, level, module_globals):
        self.plan, self.level, self.globals = plan, level, module_globals
        self.ran, self.declined = 0, []

    # ---- called by the block ----

    def at_level(self, index, values):
        """What the loop binds, in a tuple; None if no level took it, and nothing has happened."""
        return self._tried(index, values)[1]

    def value_at_level(self, index, values, plainly):
        """The value of an expression."""
        taken, value = self._tried(index, values)
        return value if taken else plainly()

    def _tried(self, index, values):
        site = self.plan.sites[index]
        function, arguments = self._function(site, values)
        ran, value, declined = _native.try_level(function, self.level, arguments)
        if not ran:
            for level, why in declined:
                why = why if why.startswith("line ") else f"line {site.line}: {why}"
                if (level, why) not in self.declined:
                    self.declined.append((level, why))
        self.ran = max(self.ran, ran or 0)
        return ran is not None, value

    def _function(self, site, values):
        constants = tuple(name for name, value in zip(site.inputs, values) if isinstance(value, CONSTANTS))
        kept = [value for value in values if isinstance(value, CONSTANTS)]
        key = (constants, id(self.globals), *map(id, kept))
        known = site.made.get(key)
        if known is None:
            if len(site.made) >= MADE_MAX:
                site.made.pop(next(iter(site.made)))
            known = site.made[key] = self._make(site, constants, kept)
        return known, tuple(value for value in values if not isinstance(value, CONSTANTS))

    def _make(self, site, constants, kept):
        original = self.plan.original
        node = site.function([name for name in site.inputs if name not in constants])
        made = function_of(node, original, self.globals, dict(zip(constants, kept)))
        made.__qualname__ = f"{original.co_name} (block at line {site.line})"
        return made


def function_of(node, original, module_globals, constants):
    """A function of a FunctionDef that stands in the code `original`, for level 2 to compile. constants: the values of its free
    variables, by name."""
    code = rewrite.compiled(node, original, None, tuple(constants))
    closure = tuple(types.CellType(constants[name]) for name in code.co_freevars)
    made = types.FunctionType(code, module_globals, original.co_name, None, closure)
    _program.add(code, node)
    return made
