"""Whole arrays at level 2: bits, dtypes, layout, warnings and errors are numpy's."""

import threading
import warnings

import pytest

import epochly

from .exact import same

pytest.importorskip("epochly._jit", reason="built without LLVM")
np = pytest.importorskip("numpy")

from epochly._jit import Jit  # noqa: E402

RNG = np.random.default_rng(7)
A, B = RNG.standard_normal(1000), RNG.standard_normal(1000)
M, N = RNG.standard_normal((30, 40)), RNG.standard_normal((30, 40))


NUMPY_1 = np.lib.NumpyVersion(np.__version__) < "2.0.0"


def compiled(function, *args):
    """The result of compiled code, which is CPython's to the bit."""
    jit = Jit(function)
    got = jit(*args)
    # Numpy 1 decides by a scalar's value what numpy 2 decides by its type.
    assert jit.declined == "" or NUMPY_1 and "numpy 1" in jit.declined
    assert same(got, function(*args))
    return got


@pytest.mark.parametrize("function", [
    lambda a, b: a * b + 2 - a / 3,
    lambda a, b: -a + np.abs(b),
    lambda a, b: (a > b) & ~(a < 0),
    lambda a, b: np.where(a > 0, a, b) * a**2,
    lambda a, b: np.sqrt(np.abs(a)) + np.exp(b) * np.sin(a),
    lambda a, b: np.maximum(a, b) - np.minimum(a, 0.5),
    lambda a, b: a % 0.7 + b // 0.3,
    lambda a, b: np.power(np.abs(a), 0.3) + a**3,
    lambda a, b: a[::2] + b[1::2] * a[::-2],
    lambda a, b: a[a > b] * 2,
    lambda a, b: a[:, None][:5] * b[None, :7],
    lambda a, b: a.astype(np.float32) + a.astype(np.int16),
    lambda a, b: np.zeros_like(a) + np.full(1000, 2.5) + np.ones(1000) + np.arange(1000),
    lambda a, b: a.reshape(10, 100) + b.reshape((10, -1)),
])  # fmt: skip
def test_an_expression_over_arrays_is_one_loop(function):
    compiled(function, A, B)


@pytest.mark.parametrize("function", [
    lambda a, b: a + b,
    lambda a, b: a.T + b.T,
    lambda a, b: a.T * 2,
    lambda a, b: a * b[0] + b[:, :1],
    lambda a, b: a[1:-1, 1:-1] + b[:-2, 2:],
    lambda a, b: a[3] * b[:, 2][:1],
    lambda a, b: a[-1, ::-1] - 1,
])
def test_a_result_lies_in_memory_as_numpy_lays_it(function):
    compiled(function, M, N)


# About 8 and 128 the order of numpy's pairwise sum changes, at 8192 its buffer is full.
SIZES = [1, 7, 8, 9, 127, 128, 129, 1000, 8191, 8192, 8193, 16384, 20_000, 100_000]
SHAPES = [(2, 8191), (3, 8193), (2, 20_000), (20_000, 3), (300, 200)]


def spread(shape):
    """Floats whose sum is another in any other order."""
    return RNG.standard_normal(shape) * 10.0 ** RNG.integers(-8, 8, shape)


@pytest.mark.parametrize("size", SIZES)
def test_sums_add_up_in_numpys_order(size):
    values = spread(size)
    compiled(lambda a: (a.sum(), np.sum(a * a), a.mean(), a.std(), np.var(a), a[::2].sum(), a[::-1].sum()), values)
    compiled(lambda a: (a.sum(), a.mean(), a.max(), a[::2].mean(), a[::-1].sum()), values.astype(np.float32))
    compiled(lambda a: (a.std(), a[::2].var()), values.astype(np.float32))
    for dtype in (np.complex64, np.complex128):
        compiled(lambda a: (a.sum(), a[::2].sum(), a[::-1].sum()), (values + 1j * spread(size)).astype(dtype))
    compiled(lambda a: (a.sum(), a.mean(), a.max(), a.min(), a.argmax(), a[::2].mean()), RNG.integers(-(2**62), 2**62, size))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", SIZES)
def test_products_and_extremes_go_in_numpys_order(size, dtype):
    near_one = 1 + RNG.standard_normal(size) * 1e-4
    compiled(lambda a: (a.prod(), a[::2].prod(), np.prod(a[::-1])), near_one.astype(dtype))
    # Which zero it is depends on the order alone.
    zeros = np.where(RNG.random(size) < 0.5, 0.0, -0.0).astype(dtype)
    compiled(lambda a: (a.max(), a.min(), a[::2].max(), a[::-1].min(), a[1:].max() if len(a) > 1 else a[0]), zeros)


def test_the_sum_and_the_product_of_nothing_are_numpys():
    for dtype in ("float32", "float64", "int64", "bool"):
        compiled(lambda a: (a.sum(), a.prod()), np.zeros(0, dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_of_two_dimensions_add_up_in_numpys_order(shape, dtype):
    values = spread(shape).astype(dtype)
    compiled(lambda a: (a.sum(), a.mean(), a.max(), a.T.sum(), a.T.mean()), values)
    compiled(lambda a: (a.std(), a.T.var()), values)
    compiled(lambda a: (a.sum(axis=0), a.sum(axis=1), a.mean(axis=0), np.mean(a, axis=1)), values)
    zeros = np.where(RNG.random(shape) < 0.5, 0.0, -0.0).astype(dtype)
    compiled(lambda a: (a.max(axis=0), a.max(axis=1), a.min(axis=1), a.min()), zeros)
    compiled(lambda a: (a.mean(), a.std()), RNG.integers(-(2**62), 2**62, shape))


def test_another_size_of_numpys_buffer_is_seen():
    jit = Jit(lambda a: a.mean())
    values = RNG.integers(-(2**62), 2**62, 20_000)
    usual = values.mean()
    assert same(jit(values), usual) and jit.declined == ""
    before = np.setbufsize(16)
    try:
        assert not same(values.mean(), usual), "these values do not tell the order of additions"
        assert same(jit(values), values.mean()) and "numpy.setbufsize()" in jit.declined
        assert same(Jit(lambda a: (a.sum(), a.max()))(A), (A.sum(), A.max()))
        elsewhere = threading.Thread(target=lambda: seen.append((jit(values), jit.declined)))
        seen = []
        elsewhere.start()
        elsewhere.join()
        assert same(seen, [(usual, "")]), "the size is the other thread's own"
    finally:
        np.setbufsize(before)
    assert same(jit(values), usual) and jit.declined == ""
    with np.errstate(all="ignore"):
        assert same(jit(values), usual) and jit.declined == ""


def test_reductions_know_nan_and_the_sign_of_zero():
    compiled(lambda a: (a.max(), a.argmax(), a.argmin(), a.min()), np.array([1.0, np.nan, 3.0, np.nan]))
    compiled(lambda a: (a.max(), a.min(), a.sum()), np.array([-0.0, 0.0, -0.0]))
    compiled(lambda a: (np.any(a), a.all(), a.sum(), a.mean()), np.array([True, False, True]))


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32"])
def test_integers_wrap_around_as_numpys_do(dtype):
    info = np.iinfo(dtype) if dtype != "float32" else np.finfo(dtype)
    values = np.array([0, 1, 2, 100, info.max, info.min], dtype)

    def wrap(a):
        return a + a, a * 3, a - 1, -a, a * a

    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert same(Jit(wrap)(values), wrap(values))
    compiled(lambda a: (a + a, a / 2, a > 1, a == a[1]), values[:4])


def test_arrays_are_written_in_place_and_overlap_as_numpy_has_it():
    def change(a, m):
        a[1:] += a[:-1]
        a[::-1] = a * 2
        a[:3] = 7
        a[a > 5] = 0
        a *= 0.5
        m[1:-1] = 0.25 * (m[:-2] + m[2:])
        m[:, 0] = m[0, 0]
        return a.sum()

    jit = Jit(change)
    mine, theirs = (A.copy(), M.copy()), (A.copy(), M.copy())
    assert same(jit(*mine), change(*theirs)) and same(list(mine), list(theirs))
    assert jit.declined == ""


def test_memory_of_a_loop_is_taken_again():
    def relax(a, n):
        x = np.zeros(len(a))
        for _ in range(n):
            y = x[1:] - x[:-1]
            x = x * 0.5 + a
            x[1:] += y * 0.1
        return x

    # 2000 arrays of 8 MB: far more than a call may have at once.
    jit = Jit(relax)
    values = RNG.standard_normal(1000)
    assert same(jit(values, 50), relax(values, 50)) and jit.declined == ""
    jit(RNG.standard_normal(1_000_000), 200)
    assert jit.declined == ""


@pytest.mark.parametrize("shape", [2**61, 2**62 + 1, (2**31, 2**31), (2**20, 2**20, 2**24), -1])
def test_an_array_too_large_for_memory_raises_as_in_numpy(shape):
    def make(shape):
        return np.ones(shape)

    with pytest.raises((ValueError, MemoryError)) as expected:
        make(shape)
    with pytest.raises(type(expected.value)) as got:
        Jit(make)(shape)
    assert str(got.value) == str(expected.value)


def test_what_numpy_warns_about_it_warns_about_once():
    def divide(a, b):
        return a / b + 1

    jit = Jit(divide)
    with pytest.warns(RuntimeWarning, match="divide by zero") as caught:
        jit(np.array([1.0, 2.0]), np.array([0.0, 1.0]))
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(jit(np.array([np.inf, np.nan]), np.array([1.0, 2.0])), np.array([np.inf, np.nan]))
    assert jit.declined == "", "infinities and NaN that were there before are no reason to go back"


@pytest.mark.parametrize("function, error", [
    (lambda a, b: a + b[:-1], ValueError), (lambda a, b: a[:0].max(), ValueError), (lambda a, b: a[2000], IndexError),
    (lambda a, b: a.reshape(3, 5), ValueError), (lambda a, b: (a > 0) - (b > 0), TypeError), (lambda a, b: a & b, TypeError),
])  # fmt: skip
def test_errors_are_numpys(function, error):
    with pytest.raises(error) as expected:
        function(A, B)
    with pytest.raises(error) as got:
        Jit(function)(A, B)
    assert str(got.value) == str(expected.value)


def test_a_result_that_is_an_argument_is_that_object_and_a_new_one_owns_its_memory():
    @epochly.optimize(level=2)
    def both(a):
        return a, a * 2

    first, second = both(A)
    assert first is A
    assert second.base is None and second.flags.owndata
    second[:] = 0.0
    assert both(A)[1][0] == A[0] * 2


@pytest.mark.skipif(NUMPY_1, reason="numpy 1 wraps it around")
@pytest.mark.parametrize("store", [
    lambda a, x: a.__setitem__(-1, x), lambda a, x: a.fill(x), lambda a, x: a.__setitem__(slice(None), x),
])  # fmt: skip
def test_assignment_of_a_number_that_does_not_fit_raises_in_cpython(store):
    for value in (np.int64(300), 300, np.uint64(2**63)):
        with pytest.raises(OverflowError):
            store(np.zeros(3, np.int8), value)


def test_an_array_takes_or_refuses_a_number_as_numpy_does():
    def item(a, x):
        a[-1] = x

    def view(a, x):
        a[:] = x

    def mask(a, x):
        a[a == 0] = x

    for function in (item, view, mask):
        jit = Jit(function)
        for value in (np.int64(300), 300, np.uint64(2**63)):
            outcomes = []
            for run in (function, jit):
                array = np.zeros(3, np.int8)
                try:
                    run(array, value)
                except OverflowError as error:
                    outcomes.append(str(error))
                else:
                    outcomes.append(array.tolist())
            assert outcomes[0] == outcomes[1], (function, value)
    compiled(lambda a: a.astype(np.int8) + 0, np.array([300, -129, 5]))


def test_warnings_of_elements_that_are_broadcast_to_none_are_not_lost():
    def f(a, b):
        b += 3 // a
        return b

    jit = Jit(f)
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        jit(np.zeros((9, 1), np.int64), np.zeros((9, 0)))
    with pytest.raises(ValueError, match="zero-size"):
        Jit(lambda a: a.max())(np.zeros(0, bool))


def test_a_read_only_target_raises_as_in_numpy():
    def fill(a):
        a[:] = 1.0

    values = np.zeros(3)
    values.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        Jit(fill)(values)


@pytest.mark.parametrize("array", [
    np.array([1, "x", None], dtype=object), np.zeros(3, dtype=[("x", "f8")]), np.ma.masked_array([1.0, 2.0]),
    np.array([1.0, 2.0]).astype(">f8"), np.array(["a", "b"]), np.zeros(2, np.float16),
    np.zeros(2, np.clongdouble), np.zeros((1,) * 5),
    np.zeros(17, np.uint8)[1:9].view(np.float64),
], ids=lambda a: f"{type(a).__name__} {a.dtype} {a.ndim}d")  # fmt: skip
def test_other_arrays_run_in_cpython_with_a_reason(array):
    def first(a):
        return a.shape, a.dtype.kind

    jit = Jit(first)
    assert jit(array) == first(array)
    assert "not compiled" in jit.declined


@pytest.mark.parametrize("left", ["int16", "uint16", "int32", "uint32", "int64", "float32"])
@pytest.mark.parametrize("right", ["int8", "uint16", "int32", "float32", "float64"])
def test_functions_of_two_types_give_the_type_that_numpy_gives(left, right):
    a, b = np.arange(1, 9).astype(left), np.arange(2, 10).astype(right)
    for function in (lambda a, b: np.arctan2(a, b), lambda a, b: np.hypot(a, b)):
        assert same(Jit(function)(a, b), function(a, b))
