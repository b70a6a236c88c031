"""fastmath=True: other bits, and only where it was asked for."""

import math
import pickle

import pytest

import epochly

_jit = pytest.importorskip("epochly._jit", reason="built without LLVM")
np = pytest.importorskip("numpy")


def total(x):
    s = 0.0
    for i in range(len(x)):
        s += x[i] * 0.1
    return s


x = np.random.default_rng(1).random(100_003)


def test_sums_are_reassociated_where_it_was_asked_for_and_only_there():
    exact, relaxed = epochly.optimize(total, level=2), epochly.optimize(total, level=2, fastmath=True)
    assert exact(x) == total(x)
    assert relaxed(x) != total(x) and math.isclose(relaxed(x), total(x), rel_tol=1e-11)
    assert exact(x) == total(x)
    assert epochly.report(relaxed).level == epochly.report(exact).level == 2


def test_a_context_says_it_for_functions_that_do_not():
    plain = epochly.optimize(total)
    exact = epochly.optimize(total, fastmath=False)
    with epochly.optimize_context(level=2, fastmath=True):
        assert plain(x) != total.__call__(x) or plain(x) != exact(x)
        assert plain(x) != exact(x)
        with epochly.optimize_context(level=2):
            assert plain(x) == exact(x)
    assert repr(epochly.optimize_context(2, fastmath=True)) == "optimize_context(level=2, fastmath=True)"


def test_what_is_decorated_again_keeps_it_unless_told_otherwise():
    relaxed = epochly.optimize(epochly.optimize(total, fastmath=True), level=2)
    assert relaxed(x) != total(x)
    assert epochly.optimize(relaxed, fastmath=False)(x) == total(x)


def test_it_survives_pickling():
    inner = epochly.optimize(math.sqrt, level=2, fastmath=True)
    from epochly import _native

    assert _native.options(pickle.loads(pickle.dumps(inner)))[1:] == _native.options(inner)[1:]


def test_wrong_values_are_refused():
    with pytest.raises(TypeError, match="fastmath must be True, False or None, not 'yes'"):
        epochly.optimize(total, fastmath="yes")


def test_guards_hold_all_the_same():
    @epochly.optimize(level=2, fastmath=True)
    def divide(a, b):
        return a / b

    with pytest.raises(ZeroDivisionError):
        divide(1.0, 0.0)
    root = epochly.optimize(lambda v: v**0.5, level=2, fastmath=True)
    assert root(4.0) == 2.0
    assert isinstance(root(-4.0), complex)
