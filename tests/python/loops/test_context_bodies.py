"""The body of `with epochly.optimize_context(level):` runs at that level, and leaves all as if it had run where it stands."""
import sys
import traceback

import pytest
from together import convene, meet

import epochly

# ---- level 1 --------------------------------------------------------------------------------------------------------------


def test_a_comprehension_of_the_body_waits_side_by_side():
    def pipeline(sources):
        with epochly.optimize_context(level=1) as context:
            raw = [meet(source) for source in sources]
        return raw, context.ran, context.declined

    assert pipeline(range(4)) == ([0, 1, 2, 3], 1, [])


def test_every_variable_of_the_body_has_its_value_afterwards():
    def work(items):
        before, total = "kept", 0
        with epochly.optimize_context(level=1) as context:
            found = []
            for at, item in enumerate(items):  # noqa: B007
                value = meet(item)
                found.append(value)
                total += value
            after = before + "!"
        return before, after, total, found, at, item, value, context.ran

    assert work([4, 3, 2, 1]) == ("kept", "kept!", 10, [4, 3, 2, 1], 3, 1, 1, 1)


def test_the_body_runs_once_and_only_once():
    def work(items):
        calls = 0
        with epochly.optimize_context(level=1):
            calls += 1
            found = [meet(item) for item in items]
        return calls, found

    assert work(range(4)) == (1, [0, 1, 2, 3])
    assert work(range(4)) == (1, [0, 1, 2, 3])


def test_what_the_body_raises_comes_out_of_it_with_its_line_and_nothing_of_ours_behind_it():
    def fetch(item):
        meet(item)
        raise KeyError(item)

    def work(items):
        with epochly.optimize_context(level=1):
            bound = "bound"
            found = [fetch(item) for item in items]  # this line
        return found, bound

    with pytest.raises(KeyError) as caught:
        work(range(4))
    assert caught.value.args == (0,)
    assert caught.value.__context__ is None and caught.value.__cause__ is None
    lines = [frame.line for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert "found = [fetch(item) for item in items]  # this line" in lines


def test_variables_bound_before_the_body_failed_are_bound():
    def work(items):
        try:
            with epochly.optimize_context(level=1):
                first = "bound"
                found = [meet(item) for item in items]
                second = found[9]
        except IndexError:
            return first, found
        return second

    assert work(range(4)) == ("bound", [0, 1, 2, 3])


def test_a_context_inside_of_a_loop_takes_over_each_time():
    def work(rounds):
        found = []
        for at in range(rounds):
            with epochly.optimize_context(level=1) as context:
                some = [meet(at * 4 + item) for item in range(4)]
            found.append((context.ran, some))
        return found

    assert work(2) == [(1, [0, 1, 2, 3]), (1, [4, 5, 6, 7])]


def test_the_module_itself_may_hold_the_context(run_python, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import threading, epochly\n"
        "barrier = threading.Barrier(3, timeout=20)\n"
        "def meet(x):\n"
        "    barrier.wait()\n"
        "    return x\n"
        "with epochly.optimize_context(level=1) as context:\n"
        "    found = []\n"
        "    for x in range(3):\n"
        "        found.append(meet(x))\n"
        "print(found, x, context.ran)\n")
    assert run_python(f"import runpy; runpy.run_path({str(script)!r})") == "[0, 1, 2] 2 1\n"


def test_a_method_may_hold_the_context_and_use_private_names():
    class Api:
        def __init__(self):
            self.__prefix = ">"

        def __fetch(self, item):
            return self.__prefix + meet(item)

        def all(self, items):
            with epochly.optimize_context(level=1) as context:
                found = [self.__fetch(item) for item in items]
            return found, context.ran

    assert Api().all("abcd") == ([">a", ">b", ">c", ">d"], 1)


def ran_plainly(work, *arguments):
    """What a function returns, of which the context's body has to run as it is: one iteration after the other."""
    convene(1)
    return work(*arguments)


def test_a_body_that_returns_runs_as_it_is():
    def work(items):
        with epochly.optimize_context(level=1) as context:
            return [meet(item) for item in items], context

    found, context = ran_plainly(work, range(4))
    line = work.__code__.co_firstlineno + 2
    assert (found, context.ran, context.declined) == ([0, 1, 2, 3], 0, [(1, f"line {line}: `return` leaves it")])


def test_a_body_that_yields_runs_as_it_is():
    def work(items):
        with epochly.optimize_context(level=1):
            for item in items:
                yield meet(item)

    assert ran_plainly(lambda: list(work(range(4)))) == [0, 1, 2, 3]


def test_variables_that_a_function_around_uses_run_as_they_are():
    def work(items):
        count = 0

        def counted(item):
            return meet(item) + count

        with epochly.optimize_context(level=1) as context:
            count = 10
            found = [counted(item) for item in items]
        return found, context

    found, context = ran_plainly(work, range(4))
    assert found == [10, 11, 12, 13]
    assert context.declined == [(1, "it binds `count`, which functions use that may run meanwhile")]


def test_under_a_debugger_the_body_runs_as_it_is():
    lines = set()

    def trace(frame, event, argument):
        if frame.f_code is work.__code__:
            lines.add(frame.f_lineno - work.__code__.co_firstlineno)
            return trace
        return None

    def work(items):
        with epochly.optimize_context(level=1) as context:
            found = [meet(item) for item in items]
        return found, context

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        found, context = ran_plainly(work, range(4))
    finally:
        sys.settrace(before)
    assert found == [0, 1, 2, 3] and 2 in lines
    assert context.declined == [(1, "a debugger, profiler or coverage tool watches")]


def test_one_line_bodies_and_exit_stacks_run_as_they_are():
    import contextlib

    def one_line(items):
        with epochly.optimize_context(level=1) as context: found = [meet(item) for item in items]  # noqa: E701
        return found, context

    def on_a_stack(items):
        with contextlib.ExitStack() as stack:
            context = stack.enter_context(epochly.optimize_context(level=1))
            found = [meet(item) for item in items]
        return found, context

    for work in (one_line, on_a_stack):
        found, context = ran_plainly(work, range(4))
        assert found == [0, 1, 2, 3] and context.ran == 0 and context.declined


def test_nothing_is_left_behind_on_the_thread():
    def work(items):
        with epochly.optimize_context(level=1):
            found = [meet(item) for item in items]
        return found

    before = sys.gettrace()
    work(range(4))
    assert sys.gettrace() is before


# ---- level 2 --------------------------------------------------------------------------------------------------------------

needs_jit = pytest.mark.skipif(not epochly._native.engine(2)[0], reason=epochly._native.engine(2)[1])


@needs_jit
def test_loops_of_the_body_run_compiled():
    def work(count):
        total, values = 0, []
        with epochly.optimize_context(level=2) as context:
            for at in range(count):
                total += at * at % 7
                if at % 2:
                    values.append(at)
            squares = [value * value for value in values]
            largest = sum(value for value in squares)
        return total, values, squares, largest, at, context.ran, context.declined

    def plain(count):
        total, values = 0, []
        for at in range(count):
            total += at * at % 7
            if at % 2:
                values.append(at)
        squares = [value * value for value in values]
        return total, values, squares, sum(squares), at

    assert work(1000) == (*plain(1000), 2, [])


@needs_jit
def test_a_loop_without_an_iteration_leaves_its_variable_unbound():
    def work(count):
        total = 5
        with epochly.optimize_context(level=2) as context:
            for at in range(count):
                total += at
        return total, "at" in locals(), at if count else None, context.ran

    assert work(0) == (5, False, None, 2)
    assert work(4) == (11, True, 3, 2)


@needs_jit
def test_a_loop_that_does_not_compile_runs_where_it_stands():
    def work(words):
        joined = ""
        with epochly.optimize_context(level=2) as context:
            try:
                marker = "set"
                for word in words:
                    joined += word.upper()
            except AttributeError:
                pass
        return joined, word, marker, context

    joined, word, marker, context = work(["a", "b", 3])
    assert (joined, word, marker) == ("AB", 3, "set")
    assert context.ran == 0


@needs_jit
def test_what_overflows_64_bits_comes_out_right():
    def work(count):
        product = 1
        with epochly.optimize_context(level=2) as context:
            for at in range(1, count):
                product *= at
        return product, context

    product, context = work(30)
    assert product == 8841761993739701954543616000000
    assert context.ran == 0 and context.declined[0][0] == 2
