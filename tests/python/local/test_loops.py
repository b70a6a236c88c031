"""Loop iterations are counted, callees included, with the same result on every CPython."""
import asyncio
import sys
import threading

import pytest

import epochly
from tests.python.local.counting import counted


def for_loop(n):
    total = 0
    for i in range(n):
        total += i
    return total


def for_on_one_line(n):
    for _ in range(n): pass  # noqa: E701  # the line is what is tested


def for_with_continue(n):
    for i in range(n):
        if i % 3:
            continue
        str(i)


def for_with_else(n):
    for i in range(n):
        str(i)
    else:
        str(n)


def while_loop(n):
    while n:
        n -= 1


def while_compared(n):
    i = 0
    while i < n:
        i += 1
    return i


def while_and(n):
    i = 0
    while i < n and n > 0 and i >= 0:
        i += 1


def while_or(n):
    i = 0
    while i < n or i < 0 or n < 0:
        i += 1


def while_not_none(n):
    left = n
    while left is not None:
        left = left - 1 if left > 1 else None


def while_walrus(n):
    it = iter(range(1, n + 1))
    while (x := next(it, None)) is not None:
        str(x)


def while_with_continue(n):
    i = 0
    while i < n:
        i += 1
        if i % 2:
            continue
        str(i)


def while_with_if_first(n):
    i = 0
    if n:
        while i < n:
            i += 1
            if i % 2:
                str(i)


def while_with_else(n):
    while n:
        n -= 1
    else:
        str(n)


def while_over_many_lines(n):
    i = 0
    while (
        i < n
        and n > 0
    ):
        i += 1


def list_comprehension(n):
    return [i for i in range(n)]


def filtered_comprehension(n):
    return [i for i in range(n) if i % 2]


def dict_comprehension(n):
    return {i: i for i in range(n)}


def set_comprehension(n):
    return {i for i in range(n)}


def generator_expression(n):
    return sum(i for i in range(n))


def generator_function(n):
    def numbers():
        for i in range(n):  # noqa: UP028  # a loop is wanted
            yield i
    return sum(1 for _ in ()) + len(list(numbers()))


def lambda_in_map(n):
    return list(map(lambda x: [y for y in (x,)], range(n)))


def with_exceptions_inside(n):
    for i in range(n):
        try:
            if i % 2:
                raise ValueError
        except ValueError:
            str(i)
        finally:
            repr(i)


def with_context_managers(n):
    lock = threading.Lock()
    for i in range(n):
        with lock:
            str(i)


def match_inside(n):
    for i in range(n):
        if i == 0:
            str(i)
        elif i == 1:
            repr(i)
        else:
            hash(i)


@pytest.mark.parametrize("n", [0, 1, 2, 7, 1000])
@pytest.mark.parametrize("loop", [
    for_loop, for_on_one_line, for_with_continue, for_with_else, while_loop, while_compared, while_and, while_or, while_walrus,
    while_with_continue, while_with_if_first, while_with_else, while_over_many_lines, list_comprehension, filtered_comprehension,
    dict_comprehension, set_comprehension, generator_expression, generator_function, lambda_in_map, with_exceptions_inside,
    with_context_managers, match_inside], ids=lambda f: f.__name__)
def test_every_form_of_loop_counts_its_iterations(loop, n):
    assert counted(loop, n) == n


def test_a_while_over_none_counts_its_iterations():
    assert counted(while_not_none, 9) == 9


def test_while_true_counts_the_rounds_it_completes():
    def rounds(n):
        while True:
            n -= 1
            if not n:
                break
    assert counted(rounds, 10) == 9


def test_an_iteration_that_ends_the_loop_by_break_return_or_exception_is_not_complete():
    def breaks(n):
        for i in range(n):
            if i == 5:
                break

    def returns(n):
        for i in range(n):
            if i == 5:
                return i

    def raises(n):
        try:
            for i in range(n):
                if i == 5:
                    raise KeyError
        except KeyError:
            pass

    assert [counted(f, 10) for f in (breaks, returns, raises)] == [5, 5, 5]


def test_nested_loops_count_inner_and_outer():
    def nested(n):
        for i in range(n):
            for j in range(i):
                str(j)

    def nested_while(n):
        i = 0
        while i < n:
            j = 0
            while j < i:
                j += 1
            i += 1

    def nested_comprehension(n):
        return [[j for j in range(i)] for i in range(n)]

    assert [counted(f, 10) for f in (nested, nested_while, nested_comprehension)] == [55, 55, 55]


def test_code_after_and_between_loops_counts_nothing():
    def straight(n):
        a = n
        b = a + 1
        c = b if b > 3 else a
        try:
            int("x")
        except ValueError:
            c += 1
        d = [a, b, c]
        return sorted(d)
    assert counted(straight, 5) == 0


def test_a_loop_over_more_code_than_one_jump_reaches_is_counted():
    body = "\n".join(f"        total += (i * {k}) % 7" for k in range(400))
    names = {}
    exec(f"def long(n):\n    total = 0\n    for i in range(n):\n{body}\n    return total\n"
         f"def long_while(n):\n    i = total = 0\n    while i < n:\n        i += 1\n{body}\n    return total\n", names)
    assert (counted(names["long"], 25), counted(names["long_while"], 25)) == (25, 25)


def test_callees_and_recursion_count():
    def leaf(n):
        for _ in range(n):
            pass

    def tree(depth):
        for _ in range(2):
            if depth:
                tree(depth - 1)
        leaf(3)

    assert counted(tree, 3) == 15 * 5


def test_recursion_of_the_measured_function_counts_in_the_outermost_call():
    @epochly.optimize
    def walk(depth):
        for _ in range(2):
            if depth:
                walk(depth - 1)

    for _ in range(2):
        walk(3)
    metrics = epochly.get_metrics(walk)
    assert (metrics["avg_loop_iterations"], metrics["loop_samples"], metrics["total_calls"]) == (30, 1, 30)


def test_a_measured_callee_of_a_counted_call_gets_its_own_figure():
    @epochly.optimize
    def inner(n):
        for _ in range(n):
            pass

    @epochly.optimize
    def outer():
        for _ in range(3):
            inner(10)

    for _ in range(2):
        outer()
    assert epochly.get_metrics(outer)["avg_loop_iterations"] == 33
    assert epochly.get_metrics(inner)["avg_loop_iterations"] == 10


def test_loops_in_c_are_not_python_loops():
    assert counted(lambda n: sum(range(n)) + len(sorted(range(n))), 1000) == 0


def test_a_generator_that_is_resumed_inside_counts_what_it_does_there():
    def numbers(n):
        for i in range(n):  # noqa: UP028  # a loop is wanted
            yield i

    def takes(n):
        source = numbers(100)
        for _ in range(n):
            next(source)

    # n rounds of takes(), and n - 1 of numbers(): the last is not complete.
    assert counted(takes, 10) == 19


def test_a_call_that_raises_is_counted_too():
    @epochly.optimize
    def fails(n):
        for i in range(n):
            str(i)
        raise ValueError

    for _ in range(2):
        with pytest.raises(ValueError):
            fails(12)
    assert epochly.get_metrics(fails)["avg_loop_iterations"] == 12
    assert epochly.get_metrics(fails)["error_count"] == 2


def test_other_threads_do_not_count_in_a_counted_call():
    stop = threading.Event()

    def spin():
        while not stop.is_set():
            for _ in range(100):
                pass

    spinner = threading.Thread(target=spin)
    spinner.start()
    try:
        assert counted(for_loop, 20_000) == 20_000
    finally:
        stop.set()
        spinner.join()


def test_threads_count_at_the_same_time_each_its_own():
    def work(n, results):
        results.append((n, counted(for_loop, n)))

    results = []
    threads = [threading.Thread(target=work, args=(1000 * (i + 1), results)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6 and all(n == found for n, found in results)


def test_generators_coroutines_and_async_generators_count_over_all_their_steps():
    @epochly.optimize
    def numbers(n):
        for i in range(n):  # noqa: UP028  # a loop is wanted
            yield i

    @epochly.optimize
    async def coroutine(n):
        for _ in range(n):
            await asyncio.sleep(0)

    @epochly.optimize
    async def async_numbers(n):
        for i in range(n):
            yield i
            await asyncio.sleep(0)

    async def drain(n):
        return [i async for i in async_numbers(n)]

    for _ in range(2):
        assert list(numbers(20)) == list(range(20))
        asyncio.run(coroutine(20))
        assert asyncio.run(drain(20)) == list(range(20))
    assert epochly.get_metrics(numbers)["avg_loop_iterations"] == 20
    assert epochly.get_metrics(async_numbers)["avg_loop_iterations"] >= 20
    assert epochly.get_metrics(coroutine)["avg_loop_iterations"] >= 20


def test_awaiting_is_no_loop():
    async def three():
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    @epochly.optimize
    async def awaits(n):
        for _ in range(n):
            await three()

    for _ in range(2):
        asyncio.run(awaits(10))
    assert epochly.get_metrics(awaits)["avg_loop_iterations"] == 10


def test_an_async_for_counts_its_rounds():
    async def numbers(n):
        for i in range(n):
            yield i

    @epochly.optimize
    async def reads(n):
        async for _ in numbers(n):
            pass

    for _ in range(2):
        asyncio.run(reads(10))
    assert epochly.get_metrics(reads)["avg_loop_iterations"] == 20


def test_counted_calls_stay_out_of_the_times():
    measured = epochly.optimize(for_loop)
    for _ in range(10):
        measured(1000)
    metrics = epochly.get_metrics(measured)
    assert metrics["loop_samples"] == 3  # calls 2, 4 and 8
    assert metrics["timed_calls"] == 7 and metrics["total_calls"] == 10


def test_a_call_too_long_to_count_gives_a_lower_bound_and_is_slowed_for_a_moment_only():
    measured = epochly.optimize(for_loop)
    n = 20_000_000 if sys.version_info >= (3, 11) else 10_000_000
    for _ in range(2):
        measured(n)
    metrics = epochly.get_metrics(measured)
    assert (metrics["loop_samples"], metrics["loop_samples_cut"]) == (0, 1)
    assert 10_000 < metrics["avg_loop_iterations"] < n


def test_nothing_is_counted_twice_when_the_means_are_taken(monkeypatch):
    """While something else holds the trace function, calls are plain; afterwards they are counted again."""
    measured = epochly.optimize(for_loop)
    sys.settrace(lambda *_: None)
    try:
        for _ in range(4):
            measured(10)
        assert not epochly.check_feature("loop_counting")
    finally:
        sys.settrace(None)
    assert epochly.get_metrics(measured)["loop_samples"] == 0
    for _ in range(200):
        measured(10)
    assert epochly.get_metrics(measured)["avg_loop_iterations"] == 10


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is of 3.12 and later")
def test_without_a_free_tool_number_nothing_is_counted_and_it_is_said(run_python):
    out = run_python("""
        import sys, epochly
        for number in range(6):
            sys.monitoring.use_tool_id(number, f"tool {number}")
        from epochly._features import why_not
        f = epochly.optimize(lambda: [x for x in range(9)])
        for _ in range(5): f()
        print(epochly.get_metrics(f).get("avg_loop_iterations"), "|", why_not("loop_counting"))
    """)
    assert out.startswith("None | no tool number of sys.monitoring is free")
