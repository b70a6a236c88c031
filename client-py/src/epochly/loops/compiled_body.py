"""A loop's body as compiled code, here and where chunks of it arrive."""

import sys

from epochly import _native, _program
from epochly.errors import EpochlyError
from epochly.levels import JIT
from epochly.loops.columns import Log
from epochly.loops.compiled import CONSTANTS, MADE_MAX, function_of

__all__ = ["CompiledBody", "made_for"]

# Nobody can tell a copy of these from the thing itself, and level 2 makes those that Python makes.
_NUMBERS = frozenset((int, float, complex, bool))


class _Functions:
    """Of a loop: those made of its columns."""

    def __init__(self):
        self.made = {}

    def get(self, key, make):
        known = self.made.get(key)
        if known is None:
            if len(self.made) >= MADE_MAX:
                self.made.pop(next(iter(self.made)))
            known = self.made[key] = make()
        return known[0]


def made_for(loop, columns, body, original, iterable):
    """The CompiledBody of a loop's body as it is bound now, or a sentence that says why there is none."""
    over_range = type(iterable) is range
    cells = dict(zip(body.__code__.co_freevars, body.__closure__ or ()))
    try:
        inputs = {name: cells[name].cell_contents for name in sorted(columns.names() & cells.keys())}
    except ValueError:
        return f"line {loop.line}: a variable that it reads is not bound yet"
    constants = {name: value for name, value in inputs.items() if isinstance(value, CONSTANTS)}
    values = {name: value for name, value in inputs.items() if name not in constants}

    def make():
        node = columns.function(over_range, values, loop.node)
        return function_of(node, original, body.__globals__, constants), constants  # which lives as long as their ids are a key

    key = (over_range, *values, *map(id, constants.values()), id(body.__globals__))
    function = loop.learned(_Functions).get(key, make)
    return CompiledBody(body, columns.form, function, tuple(values.values()))


class CompiledBody:
    """Called as the body itself, with items and a log, or gives another log in its stead. Where compiled code cannot run them, or
    an iteration raises, the body does, from the first item on: they are independent, and nothing of them has been noted.

    level: at which it runs. ran: the highest at which it has. why: why the body ran instead, the last time it did
    """

    def __init__(self, body, form, function, values):
        self.body, self.form, self.function, self.values = body, form, function, values
        self.level, self.ran, self.why = JIT, 0, None

    def __reduce__(self):
        return _arrived, (self.body, self.form, self.function, _program.node_of(self.function.__code__), self.values)

    def __call__(self, items, log):
        self.why = None
        noted = self._compiled(items)
        if noted is None:
            self.body(items, log)
        return noted

    def inputs(self):
        """Everything but numbers that it is given."""
        return [value for value in self.values if type(value) not in _NUMBERS]

    def _compiled(self, items):
        """A log; None: the body has to run."""
        first = (items.start, items.stop, items.step) if type(items) is range else (items,)
        try:
            ran, result, declined = _native.try_level(self.function, self.level, (*first, *self.values))
        except EpochlyError:
            raise
        except Exception:  # the body raises it again, where it belongs
            return None
        if ran is None:
            self.why = declined[-1][1] if declined else "no level took it"
            return None
        self.ran = max(self.ran, ran)
        if not all(_of_numbers(column) for column in self.form.columns(result)):
            self.why = "what it leaves behind are not only numbers"
            return None
        return Log(self.form, result)


def _of_numbers(column):
    numpy = sys.modules.get("numpy")
    kinds = set(map(type, column))
    return all(kind in _NUMBERS or (numpy is not None and issubclass(kind, numpy.generic)) for kind in kinds)


def _arrived(body, form, function, node, values):
    _program.add(function.__code__, node)
    return CompiledBody(body, form, function, values)
