"""Generators, coroutines and asynchronous generators: measured in their own code, otherwise as undecorated."""
import asyncio
import collections.abc
import contextlib
import gc
import inspect
import time
import types
import weakref

import pytest

import epochly


@epochly.optimize
def numbers(n):
    """Numbers."""
    got = []
    for i in range(n):
        got.append((yield i))
    return got


@epochly.optimize
async def doubled(x, seconds=0):
    await asyncio.sleep(seconds)
    return 2 * x


@epochly.optimize
async def async_numbers(n):
    for i in range(n):
        await asyncio.sleep(0)
        yield i


def figures(function):
    return epochly.get_metrics(function)


@pytest.fixture(autouse=True)
def anew():
    for function in (numbers, doubled, async_numbers):
        epochly.reset_metrics(function)


# ---- generators -----------------------------------------------------------------------------------------------------------


def test_a_generator_is_one_to_python():
    generator = numbers(3)
    assert inspect.isgenerator(generator) and isinstance(generator, types.GeneratorType)
    assert isinstance(generator, collections.abc.Generator) and iter(generator) is generator
    assert generator.__name__ == "numbers" and generator.gi_frame.f_code is numbers.__code__
    assert inspect.getgeneratorstate(generator) == "GEN_CREATED"
    next(generator)
    assert inspect.getgeneratorstate(generator) == "GEN_SUSPENDED"
    assert repr(generator).startswith("<generator object numbers at")
    assert weakref.ref(generator)() is generator


def test_a_generator_yields_takes_and_returns():
    generator = numbers(2)
    assert next(generator) == 0
    assert generator.send("a") == 1
    with pytest.raises(StopIteration) as stop:
        generator.send("b")
    assert stop.value.value == ["a", "b"]
    with pytest.raises(StopIteration):
        next(generator)


@pytest.mark.parametrize("value", [(1, 2), StopIteration(3), None, {}])
def test_what_a_generator_returns_is_the_very_object(value):
    @epochly.optimize
    def returns():
        return value
        yield

    def delegates():
        return (yield from returns())

    for generator in (returns(), delegates(), returns()):
        with pytest.raises(StopIteration) as stop:
            next(generator)
        assert stop.value.value is value


def test_exceptions_thrown_in_are_caught_inside_or_come_out():
    @epochly.optimize
    def catches():
        try:
            yield 1
        except KeyError as error:
            yield error

    generator = catches()
    next(generator)
    error = KeyError("in")
    assert generator.throw(error) is error
    with pytest.raises(ValueError):
        generator.throw(ValueError("out"))
    assert figures(catches)["error_count"] == 1


def test_closing_runs_finally_and_is_no_error():
    seen = []

    @epochly.optimize
    def closes():
        try:
            yield 1
        finally:
            seen.append("closed")

    generator = closes()
    next(generator)
    generator.close()
    generator.close()
    assert seen == ["closed"] and figures(closes)["error_count"] == 0


def test_dropping_a_generator_runs_finally():
    seen = []

    @epochly.optimize
    def closes():
        try:
            yield 1
        finally:
            seen.append("closed")

    next(closes())
    gc.collect()
    assert seen == ["closed"] and figures(closes)["total_calls"] == 1


def test_sending_to_a_generator_that_has_not_begun_is_refused_and_no_error_of_the_function():
    generator = numbers(2)
    with pytest.raises(TypeError, match="just-started"):
        generator.send(1)
    assert list(generator) == [0, 1] and figures(numbers)["error_count"] == 0


def test_a_generator_that_resumes_itself_is_refused_as_undecorated():
    holder = []

    @epochly.optimize
    def itself():
        yield next(holder[0])

    holder.append(itself())
    with pytest.raises(ValueError, match="already executing"):
        next(holder[0])


def test_yield_from_delegates_values_sends_and_throws():
    @epochly.optimize
    def outer():
        return (yield from numbers(2))

    generator = outer()
    assert next(generator) == 0 and generator.send("x") == 1
    with pytest.raises(StopIteration) as stop:
        generator.send("y")
    assert stop.value.value == ["x", "y"]
    generator = outer()
    next(generator)
    with pytest.raises(ZeroDivisionError):
        generator.throw(ZeroDivisionError)


def test_a_context_manager_can_be_made_of_it():
    @contextlib.contextmanager
    @epochly.optimize
    def manager():
        try:
            yield 5
        except KeyError:
            pass

    with manager() as value:
        assert value == 5
        raise KeyError
    assert figures(manager)["total_calls"] == 1


def test_a_generators_time_is_that_in_its_code():
    @epochly.optimize
    def slow():
        for _ in range(3):
            time.sleep(0.005)
            yield

    for _ in slow():
        time.sleep(0.03)
    metrics = figures(slow)
    assert metrics["timed_calls"] == 1 and 15 <= metrics["total_time_ms"] < 60
    assert metrics["io_wait_ratio"] > 0.5


def test_a_generator_call_that_is_wrong_raises_at_the_call():
    with pytest.raises(TypeError, match="numbers"):
        numbers()
    assert figures(numbers)["error_count"] == 1


def test_recursive_generators_work():
    @epochly.optimize
    def tree(depth):
        if depth:
            yield from tree(depth - 1)
            yield depth
            yield from tree(depth - 1)

    assert list(tree(4)) == [1, 2, 1, 3, 1, 2, 1, 4, 1, 2, 1, 3, 1, 2, 1]
    assert figures(tree)["total_calls"] == 31


def test_a_generator_expression_that_a_function_returns_is_not_touched():
    assert type(epochly.optimize(lambda: (x for x in "ab"))()) is types.GeneratorType


def test_partials_and_callable_objects_that_generate_are_measured_too():
    import functools

    class Makes:
        def __call__(self, n):
            yield from range(n)

    for function in (functools.partial(numbers.__wrapped__, 2), Makes()):
        measured = epochly.optimize(function)
        for _ in range(2):
            list(measured() if isinstance(function, functools.partial) else measured(2))
        assert figures(measured)["timed_calls"] == 1 and figures(measured)["loop_samples"] == 1


def test_levels_are_declined_by_generators_and_said():
    measured = epochly.optimize(level=2)(numbers.__wrapped__)
    list(measured(1))
    report = epochly.report(measured)
    assert (report.level, [level for level, _ in report.declined]) == (0, [2])


# ---- coroutines -----------------------------------------------------------------------------------------------------------


def test_a_coroutine_is_one_to_python():
    coroutine = doubled(1)
    assert inspect.iscoroutine(coroutine) and inspect.isawaitable(coroutine) and asyncio.iscoroutine(coroutine)
    assert isinstance(coroutine, types.CoroutineType) and isinstance(coroutine, collections.abc.Coroutine)
    assert asyncio.iscoroutinefunction(doubled)
    assert coroutine.__qualname__ == "doubled" and coroutine.cr_code is doubled.__code__
    assert inspect.getcoroutinestate(coroutine) == "CORO_CREATED"
    coroutine.close()
    with pytest.raises(TypeError):
        iter(coroutine)


def test_coroutines_run_as_tasks_gathered_and_awaited():
    async def main():
        task = asyncio.create_task(doubled(1), name="one")
        return await asyncio.gather(task, doubled(2), asyncio.wait_for(doubled(3), 5)), await doubled(await doubled(4))

    assert asyncio.run(main()) == ([2, 4, 6], 16)
    assert asyncio.run(doubled(5)) == 10
    assert figures(doubled)["total_calls"] == 6


def test_a_coroutines_time_is_that_in_its_code_and_not_what_it_awaits():
    @epochly.optimize
    async def waits():
        time.sleep(0.005)
        await asyncio.sleep(0.05)

    async def main():
        await asyncio.gather(*(waits() for _ in range(4)))

    asyncio.run(main())
    metrics = figures(waits)
    assert metrics["timed_calls"] == metrics["loop_samples"] == 2
    assert 5 <= metrics["avg_time_ms"] < 40


def test_cancelling_reaches_the_coroutine():
    seen = []

    @epochly.optimize
    async def waits():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def main():
        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(waits(), 0.01)

    asyncio.run(main())
    assert seen == ["cancelled"] * 2


def test_exceptions_come_out_of_await_and_are_counted():
    @epochly.optimize
    async def fails():
        await asyncio.sleep(0)
        raise LookupError("x")

    async def main():
        with pytest.raises(LookupError):
            await fails()
        return await asyncio.gather(fails(), doubled(1), return_exceptions=True)

    results = asyncio.run(main())
    assert isinstance(results[0], LookupError) and results[1] == 2
    assert figures(fails)["error_count"] == 2


def test_a_coroutine_never_awaited_is_warned_of():
    with pytest.warns(RuntimeWarning, match="'doubled' was never awaited"):
        doubled(1)
        gc.collect()


def test_a_coroutine_cannot_be_awaited_twice():
    async def main():
        coroutine = doubled(1)
        await coroutine
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await coroutine

    asyncio.run(main())


def test_a_task_shows_the_users_stack():
    async def main():
        task = asyncio.create_task(doubled(1, 10))
        await asyncio.sleep(0)
        names = [frame.f_code.co_name for frame in task.get_stack()]
        assert "doubled" in repr(task) and names == ["doubled"]
        task.cancel()

    asyncio.run(main())


def test_a_coroutine_driven_by_hand_behaves():
    coroutine = doubled(4)
    assert coroutine.send(None) is None
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    assert stop.value.value == 8


def test_async_with_and_methods_work():
    class Resource:
        @epochly.optimize
        async def __aenter__(self):
            await asyncio.sleep(0)
            return self

        @epochly.optimize
        async def __aexit__(self, *error):
            await asyncio.sleep(0)

        @epochly.optimize
        async def get(self):
            return "got"

    async def main():
        async with Resource() as resource:
            return await resource.get()

    assert asyncio.run(main()) == "got"


# ---- asynchronous generators ----------------------------------------------------------------------------------------------


def test_an_async_generator_is_one_to_python():
    generator = async_numbers(1)
    assert inspect.isasyncgen(generator) and isinstance(generator, collections.abc.AsyncGenerator)
    assert inspect.isasyncgenfunction(async_numbers) and generator.ag_code is async_numbers.__code__


def test_an_async_generator_yields_takes_throws_and_closes():
    @epochly.optimize
    async def echoes():
        got = None
        while True:
            try:
                got = yield got
            except KeyError as error:
                got = error

    async def main():
        generator = echoes()
        assert await generator.__anext__() is None
        assert await generator.asend("a") == "a"
        error = KeyError()
        assert await generator.athrow(error) is error
        await generator.aclose()
        with pytest.raises(StopAsyncIteration):
            await generator.__anext__()
        assert await anext(async_numbers(1), "nothing") == 0
        assert await anext(async_numbers(0), "nothing") == "nothing"
        return [i async for i in async_numbers(5)]

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]
    assert figures(echoes)["error_count"] == 0


def test_an_async_generators_errors_are_counted():
    @epochly.optimize
    async def fails():
        yield 1
        raise ValueError

    async def main():
        async for _ in fails():
            pass

    with pytest.raises(ValueError):
        asyncio.run(main())
    assert figures(fails)["error_count"] == 1


def test_an_async_generators_time_is_that_in_its_code():
    @epochly.optimize
    async def slow():
        for _ in range(3):
            time.sleep(0.004)
            await asyncio.sleep(0.03)
            yield

    async def main():
        async for _ in slow():
            await asyncio.sleep(0.03)

    asyncio.run(main())
    metrics = figures(slow)
    assert metrics["timed_calls"] == 1 and 12 <= metrics["total_time_ms"] < 60


def test_an_async_generator_left_half_way_is_closed_by_the_loop():
    seen = []

    @epochly.optimize
    async def closes():
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            seen.append("closed")

    async def main():
        async for _ in closes():
            break
        gc.collect()
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert seen == ["closed"]


def test_async_context_managers_can_be_made_of_it():
    @contextlib.asynccontextmanager
    @epochly.optimize
    async def manager():
        try:
            yield 5
        except KeyError:
            pass

    async def main():
        async with manager() as value:
            assert value == 5
            raise KeyError

    asyncio.run(main())
