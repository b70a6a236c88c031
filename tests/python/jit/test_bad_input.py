"""Level 2 and what it does not compile: functions without source, methods, arrays that are not plain. As CPython does it."""
import asyncio
import math
import types

import pytest

import epochly

from .exact import same

np = pytest.importorskip("numpy")
pytest.importorskip("epochly._jit", reason="built without LLVM")


def reasons_of(function):
    return " ".join(why for _, why in epochly.report(function).declined)


def outcome(function, *arguments):
    """("value", what came), or ("raised", class, text)."""
    try:
        return "value", function(*arguments)
    except Exception as error:
        return "raised", type(error), str(error)


def total(values):
    result = 0
    for value in values:
        result += value
    return result


def doubled(values):
    for i in range(len(values)):
        values[i] = values[i] * 2
    return values


def raised(values):
    values += 1
    return values


def filled(values):
    values[1:] = 7
    return values


def field(values):
    result = 0.0
    for i in range(len(values)):
        result += values[i]["a"]
    return result


class Sevens(np.ndarray):
    """Whose items are not those in its memory."""

    def __getitem__(self, index):
        if isinstance(index, int) and index >= len(self):
            raise IndexError(index)
        return 7.0


def read_only(values):
    values.flags.writeable = False
    return values


PAIRS = [("a", "f8"), ("b", "i4")]
UNUSUAL = {
    "objects": lambda: np.array([1, 2.5, 3**50], dtype=object),
    "fields": lambda: np.zeros(3, dtype=PAIRS),
    "records": lambda: np.rec.array(np.ones(3, dtype=PAIRS)),
    "a subclass": lambda: np.arange(3.0).view(Sevens),
    "masked": lambda: np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0]),
    "a matrix": lambda: np.matrix([[1.0, 2.0], [3.0, 4.0]]),
    "other byte order": lambda: np.arange(3.0).astype(">f8"),
    "not aligned": lambda: np.frombuffer(bytearray(25), dtype="f8", offset=1, count=3),
    "texts": lambda: np.array(["a", "b", "c"]),
    "times": lambda: np.array([1, 2, 3], dtype="m8[s]"),
    "read-only": lambda: read_only(np.arange(3.0)),
    "a read-only view": lambda: read_only(np.arange(6.0).reshape(2, 3)[:, 1]),
    "one number many times": lambda: np.broadcast_to(np.float64(1.0), (3,)),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("array", UNUSUAL.values(), ids=UNUSUAL)
@pytest.mark.parametrize("function", [total, doubled, raised, filled, field], ids=lambda f: f.__name__)
def test_arrays_that_are_not_plain_are_treated_as_in_cpython(function, array):
    compiled, wanted = _fresh(function), outcome(function, array())
    for _ in range(2):
        found = outcome(compiled, array())
        assert found[0] == wanted[0]
        assert _as_wanted(found[1], wanted[1]) if wanted[0] == "value" else found == wanted


def _fresh(function):
    """Decorated, without what calls of other tests have taught."""
    copied = types.FunctionType(function.__code__, function.__globals__, function.__name__)
    return epochly.optimize(copied, level=2)


def _as_wanted(found, wanted):
    if type(found) is not type(wanted):
        return False
    if isinstance(wanted, np.ndarray):
        return found.dtype == wanted.dtype and repr(found) == repr(wanted)
    return same(found, wanted) if isinstance(wanted, (int, float)) else repr(found) == repr(wanted)


def test_a_read_only_array_that_is_only_read_runs_compiled():
    compiled = _fresh(total)
    assert compiled(read_only(np.arange(4.0))) == 6.0
    assert epochly.report(compiled).level == 2


def test_an_array_of_objects_says_why_it_is_not_compiled():
    compiled = _fresh(total)
    assert compiled(np.array([1, 2.5], dtype=object)) == 3.5
    assert "an array of this dtype" in reasons_of(compiled)
    sevens = _fresh(total)
    assert sevens(np.arange(3.0).view(Sevens)) == 21.0
    assert "an argument of type Sevens" in reasons_of(sevens)


def test_two_functions_on_one_line_are_not_mistaken_for_each_other():
    added, doubled = epochly.optimize(lambda x: x + 1, level=2), epochly.optimize(lambda x: x * 2, level=2)
    assert (added(5), doubled(5)) == (6, 10)
    pair = [lambda x: x - 1, lambda x: x * 3]
    first, second = (epochly.optimize(each, level=2) for each in pair)
    assert (first(5), second(5)) == (4, 15)
    assert "several functions begin on its line" in reasons_of(first)
    assert "several functions begin on its line" in reasons_of(second)


@pytest.mark.parametrize("function, argument", [(math.sqrt, 2.0), (len, [1, 2]), (str.upper, "a"), (np.sum, [1, 2])])
def test_functions_of_c_run_as_they_are(function, argument):
    decorated = epochly.optimize(function, level=2)
    assert decorated(argument) == function(argument)
    if function is not np.sum:
        assert "it is no Python function" in reasons_of(decorated)


class Counter:
    start = 10

    @epochly.optimize(level=2)
    def method(self, n):
        result = self.start
        for i in range(n):
            result += i
        return result

    @epochly.optimize(level=2)
    @classmethod
    def named(cls, n):
        result = 0
        for i in range(n):
            result += i
        return cls.__name__, result

    @classmethod
    @epochly.optimize(level=2)
    def started(cls, n):
        return cls.start + n

    @epochly.optimize(level=2)
    @staticmethod
    def static(n):
        result = 0
        for i in range(n):
            result += i
        return result


class Later(Counter):
    start = 20


def test_methods_of_every_kind_see_what_they_are_called_on():
    assert (Counter().method(4), Later().method(4)) == (16, 26)
    assert (Counter.named(4), Later.named(4), Later().named(4)) == (("Counter", 6), ("Later", 6), ("Later", 6))
    assert (Counter.started(1), Later.started(1)) == (11, 21)
    assert Counter.static(4) == Later().static(4) == 6
    assert epochly.report(Counter.static).level == 2
    assert "an argument of type type" in reasons_of(Counter.named)


def test_coroutines_run_as_they_are_and_classes_are_refused():
    @epochly.optimize(level=2)
    async def later(n):
        result = 0
        for i in range(n):
            result += i
        return result

    assert asyncio.run(later(5)) == 10
    assert "coroutines are not compiled" in reasons_of(later)
    with pytest.raises(TypeError, match="decorate its methods instead"):
        epochly.optimize(Counter, level=2)


def test_two_functions_that_call_each_other_without_end_raise_recursion_error():
    def even(n):
        return True if n == 0 else odd(n - 1)

    def odd(n):
        return False if n == 0 else even(n - 1)

    compiled = epochly.optimize(even, level=2)
    assert compiled(200) is True
    with pytest.raises(RecursionError):
        compiled(10**6)
    assert compiled(201) is False


@pytest.mark.parametrize("level", [2, 3])
def test_what_a_module_holds_is_finalised_at_the_interpreters_end(level, run_python, tmp_path):
    """A file that is not closed is written out when its module goes, though the module's function was compiled."""
    path, script = tmp_path / "unclosed", tmp_path / "script.py"
    script.write_text(f"""
import epochly

@epochly.optimize(level={level})
def total(n):
    result = 0
    for i in range(n):
        result += i
    return result

class Last:
    def __del__(self, total=total):
        print(total(10), flush=True)

last = Last()
unclosed = open({str(path)!r}, "w")
unclosed.write("all of it")
assert total(10**7) == 49999995000000 and epochly.report(total).level == {level}
""")
    assert run_python(f"exec(compile(open({str(script)!r}).read(), {str(script)!r}, 'exec'))") == "45\n"
    assert path.read_text() == "all of it"
