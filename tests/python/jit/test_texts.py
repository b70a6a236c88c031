"""str and bytes that only pass through compiled code; whatever looks inside of one runs in CPython with a reason."""

import math

import pytest

from .exact import same

pytest.importorskip("epochly._jit", reason="built without LLVM")

from epochly._jit import Jit  # noqa: E402

MODE = "fast"
TAG = b"\x00\xff"


def scaled(x, mode="double", tag=None):
    if mode == "double":
        return x * 2.0, mode, tag
    if mode != MODE:
        return x, tag, "neither"
    return x * 3.0, (mode, b"raw"), tag


def counts(rows):
    good, names = 0, [""]
    for name, value in rows:
        if name == "a" or name in ("bb", MODE):
            good += value
        names.append(name)
    return good, names


def compares(a, b):
    return a == b, a != b, a == "x", a is None, a == 1, b == None, bool(a), not b, (1, a) == (1, "x"), a is not None  # noqa: E711


def helped(x, how):
    return apply(x, how) + apply(x, "square")


def apply(x, how):
    return x * x if how == "square" else -x


def smallest(values):
    best, worst = float("inf"), float("-Infinity")
    for x in values:
        best, worst = min(best, x), max(worst, x)
    return best, worst, math.isnan(float("nan"))


def tagged(x):
    """Ω: what it says is nobody's business.\0"""
    return x, TAG, "Ω\U0001f600", MODE


@pytest.mark.parametrize("function, calls", [
    (scaled, [(1.5,), (1.5, "fast"), (1.5, "Ω"), (1.5, "fa" + "st"[:], b"q"), (2.0, "double", 7)]),
    (counts, [([("a", 1), ("b", 2), ("bb", 3), ("fast", 4), ("", 5)],), ([],)]),
    (compares, [("x", "y"), ("x", "x"), ("", ""), ("x", None), ("\ud800", "\0"), ("é", "e\u0301")]),
    (helped, [(2.0, "negate"), (3, "square")]),
    (smallest, [([1.0, -2.0, math.inf],), ([],)]),
    (tagged, [(1,), (2.5,)]),
], ids=lambda value: getattr(value, "__name__", ""))  # fmt: skip
def test_a_text_is_passed_and_compared_as_cpython_does(function, calls):
    jit = Jit(function)
    for args in calls:
        assert same(jit(*args), function(*args)), args
        assert jit.declined == "", args


def test_a_text_comes_back_as_the_object_that_it_was():
    def last(rows, flag):
        return rows[-1][0] if flag else "none"

    name = "".join(["na", "me"])
    assert Jit(last)([("first", 1), (name, 2)], True) is name


def test_identity_of_equal_texts_is_cpythons_to_tell():
    def slow(mode):
        return mode is MODE

    jit = Jit(slow)
    assert jit("slow") is False and jit.declined == ""
    assert jit(MODE) is True and "one object or two" in jit.declined
    assert jit("".join(["fa", "st"])) is False


@pytest.mark.parametrize("function, reason", [
    (lambda s: s + "x", "this operator between str and str"),
    (lambda s: s.upper(), "the method 'upper' of str"),
    (lambda s: len(s), "the length of str"),
    (lambda s: [c for c in s], "a loop over str"),
    (lambda s: s[0], "an item of str"),
    (lambda s: s < "b", "comparing str and str"),
    (lambda s: f"{s}", "an f-string"),
    (lambda s: "a" in s, "'in' str is not compiled"),
    (lambda s: s * 2, "this operator between str and int"),
    (lambda s: sorted([s, "a"]), "sorting a list of str"),
    (lambda s: int(s), "int() of str"),
])  # fmt: skip
def test_what_looks_inside_a_text_declines_with_its_line(function, reason):
    def outcome(call):
        try:
            return call("abc")
        except ValueError as error:
            return str(error)

    jit = Jit(function)
    assert outcome(jit) == outcome(function)
    assert reason in jit.declined and jit.declined.startswith("line "), jit.declined
