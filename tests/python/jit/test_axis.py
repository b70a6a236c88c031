"""Reductions along an axis: every dtype, axis and number of dimensions, to the bit and in numpy's layout."""

import pytest

from .exact import same
from .sources import define, lambda_of

np = pytest.importorskip("numpy")
pytest.importorskip("epochly._jit", reason="built without LLVM")

from epochly._jit import Jit  # noqa: E402

SHAPES = [(4, 5), (3, 4, 5), (2, 3, 4, 5), (2, 130), (130, 3), (1, 6), (6, 1), (3, 1, 4)]
INTEGERS = ["int8", "int64", "uint8", "uint64", "int32"]


def made(shape, dtype):
    values = np.random.default_rng(3).normal(size=shape) * 50
    return (values > 0) if dtype == "bool" else values.astype("int64").astype(dtype) if dtype in INTEGERS else values.astype(dtype)


def along(name, axis, keeps):
    """A function of its own for each: an axis is part of the program."""
    source = f"def f(a):\n    return a.{name}(axis={axis}{', keepdims=True' if keeps else ''})\n"
    return source


@pytest.mark.parametrize("name, dtypes", [
    ("sum", ["float64", "float32", "bool", *INTEGERS]), ("prod", ["float64", "int64", "uint8"]),
    ("min", ["float64", "bool", *INTEGERS]),
    ("max", ["float32", "bool", *INTEGERS]), ("any", ["float64", "int8", "bool"]), ("all", ["float32", "bool", "uint64"]),
    ("argmin", ["float64", "uint64", "bool"]), ("argmax", ["float32", "int8"]), ("mean", ["float64", "float32"]),
    ("std", ["float64", "float32"]), ("var", ["float64"]),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_a_reduction_along_an_axis_has_numpys_bits(name, dtypes):
    ran = 0
    for axis, keeps in [(0, False), (1, False), (-1, False), (-2, True), (0, True)]:
        function = define(along(name, axis, keeps))
        for dtype in dtypes:
            jit = Jit(function)
            for shape in SHAPES:
                a = made(shape, dtype)
                assert same(jit(a), function(a)), (dtype, shape, axis, keeps)
                ran += jit.declined == ""
    assert ran > 5 * len(dtypes) * 3, "most of these run compiled"


def test_the_first_nan_is_the_extreme_of_its_row():
    def where(a):
        return np.argmax(a, axis=1), np.argmin(a, axis=0), a.max(axis=1)

    a = np.array([[1.0, np.nan, 3.0, np.nan], [5.0, 5.0, -0.0, 0.0]])
    assert same(Jit(where)(a), where(a))


@pytest.mark.parametrize("shape, axis", [((0, 3), 0), ((3, 0), 1), ((2, 0, 3), 0)])
def test_nothing_along_an_axis_is_as_numpy_has_it(shape, axis):
    for name in ("sum", "max", "all"):
        function = define(along(name, axis, False))
        a = np.zeros(shape, "int64")
        outcomes = []
        for call in (Jit(function), function):
            try:
                outcomes.append(call(a))
            except ValueError as error:
                outcomes.append(str(error))
        assert same(*outcomes)


@pytest.mark.parametrize("text, reason", [
    ("a.sum(axis=len(a) - 1)", "an axis that is no constant number"),
    ("a.sum(axis=0, dtype='f4')", "the keyword 'dtype' of a reduction"), ("np.cumsum(a, axis=0)", "keywords of numpy.cumsum"),
])  # fmt: skip
def test_other_reductions_decline_with_their_line(text, reason):
    function = define(f"import numpy as np\ndef f(a):\n    return {text}\n")
    jit, a = Jit(function), np.arange(6.0).reshape(2, 3)
    assert same(jit(a), function(a))
    assert jit.declined.startswith("line 3: ") and reason in jit.declined


def test_several_axes_are_reduced_as_numpy_does():
    r = np.random.default_rng(12)
    for dtype in ("float64", "float32", "int64", "uint8", "bool"):
        a = (r.standard_normal((5, 7, 300)) * 50).astype(dtype)
        for name in ("sum", "prod", "min", "max", "any", "all", "mean", "std", "var"):
            for axis in ("(0, 1)", "(1, 2)", "(-1, 1)", "(0, 1, 2)", "(1,)", "None"):
                for keeps in ("", ", keepdims=True", ", keepdims=False"):
                    f = lambda_of("a", f"np.{name}(a, axis={axis}{keeps})", np=np)
                    with np.errstate(all="ignore"):
                        jit = Jit(f)
                        got, expected = jit(a), f(a)
                    assert same(got, expected), (dtype, name, axis, keeps)
                    if "float" in dtype and name != "prod":
                        assert jit.declined == "", (dtype, name, axis, keeps, jit.declined)


def test_axes_that_numpy_refuses_raise_as_there():
    a = np.zeros((2, 3, 4))
    for axis in ("(0, 0)", "(0, 3)", "3"):
        f = lambda_of("a", f"a.sum(axis={axis})")
        for call in (Jit(f), f):
            with pytest.raises(ValueError):
                call(a)
    f = lambda_of("a", "a.sum(axis=(0, 2))")
    jit = Jit(f)
    assert same(jit(a), f(a)) and "not neighbours" in jit.declined
