"""Level 2 through the public API: the same answer, a reason where it declines, and nothing lost where a guard fails."""

import math
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import epochly

from .exact import same

pytest.importorskip("epochly._jit", reason="built without LLVM")


def level_of(function):
    return epochly.report(function).level


def reasons_of(function):
    return " ".join(str(d) for d in epochly.report(function).declined)


SCALE = 2


def helper(x):
    return x + 1


@epochly.optimize(level=2)
def uses_globals(x):
    return helper(x) * SCALE + math.floor(2.5)


def test_a_changed_global_is_seen_at_the_next_call(monkeypatch):
    assert uses_globals(1) == 6
    assert level_of(uses_globals) == 2
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 10)
    assert uses_globals(1) == 22


def test_a_monkeypatched_helper_is_seen_at_the_next_call(monkeypatch):
    assert uses_globals(1) == 6
    monkeypatch.setattr(sys.modules[__name__], "helper", lambda x: x + 100)
    assert uses_globals(1) == 204
    monkeypatch.undo()
    assert uses_globals(1) == 6


def test_a_patched_module_function_is_seen_at_the_next_call(monkeypatch):
    assert uses_globals(1) == 6
    monkeypatch.setattr(math, "floor", lambda x: 50)
    assert uses_globals(1) == 54


def test_a_shadowed_builtin_is_seen_at_the_next_call(monkeypatch):
    @epochly.optimize(level=2)
    def total(data):
        return sum(data)

    assert total([1, 2]) == 3
    monkeypatch.setattr(sys.modules[__name__], "sum", lambda data: "mine", raising=False)
    assert total([1, 2]) == "mine"


def test_a_helper_whose_code_is_replaced_is_seen_at_the_next_call():
    def inner(x):
        return x * 2

    def other(x):
        return x * 3

    @epochly.optimize(level=2)
    def outer(x):
        return inner(x)

    assert outer(5) == 10
    inner.__code__ = other.__code__
    assert outer(5) == 15


def test_an_integer_beyond_64_bits_is_cpythons():
    @epochly.optimize(level=2)
    def product(values):
        result = 1
        for v in values:
            result *= v
        return result

    assert product([2, 3, 7]) == 42 and level_of(product) == 2
    assert product([10**10] * 5) == 10**50
    assert level_of(product) == 0
    assert "does not fit 64 bits" in reasons_of(product)


def test_a_guard_that_fails_leaves_no_trace_in_lists_and_arrays():
    numpy = pytest.importorskip("numpy")

    @epochly.optimize(level=2)
    def fill(values, array, top):
        for i in range(len(values)):
            values[i] += 1.0
            array[i] *= 2.0
            if i == top:
                values.append(1.0 / (i - top))
        return len(values)

    values, array = [1.0, 2.0, 3.0], numpy.ones(3)
    assert fill(values, array, 7) == 3
    assert values == [2.0, 3.0, 4.0] and array.tolist() == [2.0, 2.0, 2.0] and level_of(fill) == 2
    with pytest.raises(ZeroDivisionError, match="float division by zero"):
        fill(values, array, 1)
    # As CPython left them when it raised at the second item: once, not twice.
    assert values == [3.0, 4.0, 4.0] and array.tolist() == [4.0, 4.0, 2.0]


def test_the_same_list_twice_is_one_list():
    @epochly.optimize(level=2)
    def shift(a, b):
        a[0] = 5.0
        return b[0]

    one = [1.0, 2.0]
    assert shift(one, [7.0]) == 7.0
    assert shift(one, one) == 5.0


def test_a_list_that_is_returned_is_the_callers_own():
    @epochly.optimize(level=2)
    def bump(a):
        a[0] = a[0] + 1
        a.append(9)
        return a

    one = [1, 2]
    assert bump(one) is one and one == [2, 2, 9]
    assert level_of(bump) == 2


@pytest.mark.parametrize("call, error", [
    (lambda f: f(1, 0), ZeroDivisionError), (lambda f: f(None, 1), TypeError), (lambda f: f(1), TypeError),
    (lambda f: f(1, b=2, c=3), TypeError),
])
def test_errors_are_cpythons(call, error):
    def divide(a, b):
        return a / b

    with pytest.raises(error) as expected:
        call(divide)
    with pytest.raises(error) as got:
        call(epochly.optimize(level=2)(divide))
    assert str(got.value) == str(expected.value)


def test_defaults_and_keywords():
    @epochly.optimize(level=2)
    def f(a, b=2, *, c=3.5):
        return a * b + c

    assert same(f(1), 5.5) and same(f(1, 4), 7.5) and same(f(1, c=1), 3) and same(f(b=1, a=2), 5.5)
    assert level_of(f) == 2


def test_what_does_not_compile_says_which_line():
    @epochly.optimize(level=2)
    def f(x):
        y = x + 1
        return {y: x}

    line = f.__code__.co_firstlineno + 3
    assert f(1) == {2: 1}
    assert level_of(f) == 0
    assert f"line {line}: a dict is not compiled" in reasons_of(f)


def test_a_function_without_source_declines():
    space = {}
    exec("def f(x):\n    return x + 1\n", space)
    f = epochly.optimize(level=2)(space["f"])
    assert f(1) == 2
    assert "its source was not found" in reasons_of(f)


def test_recursion_that_cpython_refuses_is_refused():
    @epochly.optimize(level=2)
    def down(n):
        if n == 0:
            return 0
        return 1 + down(n - 1)

    assert down(100) == 100 and level_of(down) == 2
    with pytest.raises(RecursionError):
        down(10**6)


@epochly.optimize(level=2)
def spin(n):
    total = 0.0
    for i in range(n):
        total += i * 0.5
        if total > 1e300:
            total = 0.0
    return total


def test_ctrl_c_ends_a_compiled_loop():
    spin(10)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    sent = []

    def send():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.2, send)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        spin(10**12)
    took = time.perf_counter() - sent[0]
    timer.join()
    signal.signal(signal.SIGINT, before)
    assert took < 1.0  # 0.1 s on a machine that is not busy


def test_other_threads_run_while_a_compiled_loop_does():
    spin(10)
    ticks, done = [], threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.perf_counter()
    spin(200_000_000)
    end = time.perf_counter()
    done.set()
    thread.join()
    assert sum(start < t < end for t in ticks) > 5


def test_importing_epochly_does_not_load_llvm():
    code = "import epochly; print('LLVM' in open('/proc/self/maps').read())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


def slow_sum(data):
    s = 0.0
    for x in data:
        s += x * 0.5
    return s


def test_an_undecorated_function_runs_compiled_inside_the_context():
    from epochly import _native

    data = [float(i) for i in range(200_000)]

    def best(function):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            function(data)
            times.append(time.perf_counter() - start)
        return min(times)

    plain = best(slow_sum)
    want = slow_sum(data)
    with epochly.optimize_context(level=2):
        assert slow_sum(data) == want
        inside = best(slow_sum)
    assert inside < plain / 2
    assert best(slow_sum) > plain / 2, "outside again as it was"
    assert _native.level_in_force() in (-1, 0)


def test_under_a_tracer_the_context_steps_aside():
    lines = []

    def tracer(frame, event, arg):
        if frame.f_code is slow_sum.__code__:
            lines.append(event)
        return tracer

    with epochly.optimize_context(level=2):
        sys.settrace(tracer)
        try:
            assert slow_sum([1.0, 2.0]) == 1.5
        finally:
            sys.settrace(None)
    assert lines.count("line") >= 5


def test_numbers_keep_their_types():
    @epochly.optimize(level=2)
    def kinds(i, f, b):
        logic = (-b, not i, b and i, i or f)
        return (i, f, b, i + b, b + b, i / 2, i // 2, logic, abs(b), round(f), int(f), float(i), max(i, f), min(b, i))

    def plain(i, f, b):
        logic = (-b, not i, b and i, i or f)
        return (i, f, b, i + b, b + b, i / 2, i // 2, logic, abs(b), round(f), int(f), float(i), max(i, f), min(b, i))

    for args in [(3, 2.5, True), (0, -0.0, False), (-7, 3.5, True), (2**50, 0.5, True)]:
        assert same(kinds(*args), plain(*args)), args
    assert level_of(kinds) == 2


def test_numpy_scalars_keep_their_types_and_warnings():
    numpy = pytest.importorskip("numpy")

    def total(a):
        s = 0
        for x in a:
            s += x
        return s

    compiled = epochly.optimize(level=2)(total)
    for a in (numpy.array([1.5, 2.5]), numpy.array([1, 2]), numpy.array([1e308, 1e308, 5.0])):
        with numpy.errstate(all="ignore"):
            want = total(a)
        if numpy.isinf(want):
            with pytest.warns(RuntimeWarning, match="overflow"):
                got = compiled(a)
        else:
            got = compiled(a)
        assert same(got, want)


def test_inspect_tells_types_code_and_reasons():
    @epochly.optimize(level=2)
    def f(x, flag):
        if flag:
            return x * 2
        return x

    assert "has not seen a call" in str(epochly.inspect(f))
    f(1.5, True)
    f("text", True)
    seen = epochly.inspect(f)
    assert [v["arguments"] for v in seen.versions] == [["float", "bool"]] and seen.versions[0]["returns"] == "float"
    assert "between str and int" in " ".join(seen.declined.values())
    code = epochly.inspect(f, 2, False)
    assert code.returns == "int" and "define" in code.llvm and "ret" in code.assembly and "mul_checked" in code.typed[0]


def test_a_function_made_again_and_again_is_not_compiled_every_time():
    made = []
    for i in range(40):
        @epochly.optimize(level=2)
        def f(x):
            return x + i  # noqa: B023

        assert f(1) == 1 + i
        made.append(level_of(f))
    assert made[0] == 2 and made[-1] == 0


def test_methods_generators_and_classes_run_as_they_are():
    class Account:
        rate = 2

        @epochly.optimize(level=2)
        def interest(self, x):
            return x * self.rate

        @epochly.optimize(level=2)
        def itself(self):
            return self

        @epochly.optimize(level=2)
        @staticmethod
        def twice(x):
            return 2 * x

    @epochly.optimize(level=2)
    def count(n):
        for i in range(n):  # noqa: UP028
            yield i

    assert Account().interest(3) == 6 and Account.twice(4) == 8 and list(count(3)) == [0, 1, 2]
    one = Account()
    assert one.itself() is one and "'self' is used for more" in reasons_of(Account.itself)
    assert level_of(Account.interest) == 2
