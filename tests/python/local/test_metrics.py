import gc
import time

import pytest

import epochly

# Figures that are there whatever was measured, and those that are absent until they have been.
COUNTS = {"total_calls", "error_count", "timed_calls", "cpu_samples", "loop_samples", "loop_samples_cut", "data_samples"}
MEASURED = {"total_time_ms", "cpu_time_ms", "wait_time_ms", "avg_time_ms", "min_time_ms", "max_time_ms", "io_wait_ratio",
            "avg_loop_iterations", "avg_data_size"}


def busy(seconds):
    """Uses the CPU for so long, whatever else runs on the machine."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_what_was_not_measured_is_absent():
    metrics = epochly.get_metrics(epochly.optimize(lambda: None))
    assert set(metrics) == COUNTS and not any(metrics.values())
    assert metrics.get("avg_loop_iterations", 0) == 0


def test_after_some_calls_everything_is_there():
    measured = epochly.optimize(lambda data: [x for x in data])
    for _ in range(5):
        measured([1, 2, 3])
    assert set(epochly.get_metrics(measured)) == COUNTS | MEASURED


def test_calls_and_errors_are_counted_and_the_exception_is_the_same():
    error = KeyError("mine")

    @epochly.optimize
    def fails(when):
        if when:
            raise error

    for when in (False, True, True, False):
        try:
            fails(when)
        except KeyError as caught:
            assert caught is error and caught.args == ("mine",)
    metrics = epochly.get_metrics(fails)
    assert (metrics["total_calls"], metrics["error_count"]) == (4, 2)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration, RecursionError, MemoryError])
def test_every_exception_passes_through(error):
    @epochly.optimize
    def raises():
        raise error

    for _ in range(3):
        with pytest.raises(error):
            raises()
    assert epochly.get_metrics(raises)["error_count"] == 3


def test_times_are_wall_times_of_the_calls():
    measured = epochly.optimize(time.sleep)
    for seconds in (0.001, 0.02, 0.005):
        measured(seconds)  # the second is counted and stays out
    metrics = epochly.get_metrics(measured)
    assert metrics["timed_calls"] == 2
    assert 1 <= metrics["min_time_ms"] <= metrics["avg_time_ms"] <= metrics["max_time_ms"] and metrics["max_time_ms"] >= 5
    assert metrics["total_time_ms"] == pytest.approx(metrics["min_time_ms"] + metrics["max_time_ms"])
    assert metrics["cpu_time_ms"] + metrics["wait_time_ms"] == pytest.approx(metrics["total_time_ms"])


def test_waiting_and_working_are_told_apart():
    waits, works = epochly.optimize(time.sleep), epochly.optimize(busy)
    for _ in range(5):
        waits(0.01)
        works(0.01)
    assert epochly.get_metrics(waits)["io_wait_ratio"] > 0.9
    assert epochly.get_metrics(works)["io_wait_ratio"] < 0.3


def test_half_waiting_is_half():
    @epochly.optimize
    def mixed():
        start = time.thread_time()
        busy(0.03)
        time.sleep(time.thread_time() - start)

    for _ in range(6):
        mixed()
    assert 0.3 < epochly.get_metrics(mixed)["io_wait_ratio"] < 0.8


def test_a_rare_long_wait_among_short_calls_is_not_missed():
    @epochly.optimize
    def cache(miss):
        if miss:
            time.sleep(0.02)

    for call in range(3000):
        cache(call % 500 == 250)
    assert epochly.get_metrics(cache)["io_wait_ratio"] > 0.8


def test_recursion_counts_every_call_and_times_the_outermost():
    @epochly.optimize
    def down(n):
        time.sleep(0.002)
        return n and down(n - 1)

    down(4)
    metrics = epochly.get_metrics(down)
    assert (metrics["total_calls"], metrics["timed_calls"]) == (5, 1)
    assert 10 <= metrics["total_time_ms"] == metrics["max_time_ms"]


def test_mutual_recursion_and_nested_functions_time_each_outermost():
    @epochly.optimize
    def even(n):
        return n == 0 or odd(n - 1)

    @epochly.optimize
    def odd(n):
        return n != 0 and even(n - 1)

    assert even(10)
    assert (epochly.get_metrics(even)["total_calls"], epochly.get_metrics(even)["timed_calls"]) == (6, 1)
    assert (epochly.get_metrics(odd)["total_calls"], epochly.get_metrics(odd)["timed_calls"]) == (5, 1)


def test_an_exception_out_of_a_recursion_leaves_the_next_call_timed():
    @epochly.optimize
    def down(n):
        if n == 0:
            raise ValueError
        down(n - 1)

    for _ in range(3):
        with pytest.raises(ValueError):
            down(3)
    metrics = epochly.get_metrics(down)
    assert metrics["error_count"] == metrics["total_calls"] == 12
    assert metrics["timed_calls"] + metrics["loop_samples"] == 3


def test_reset_starts_one_function_or_all_anew():
    one, other = epochly.optimize(lambda: None), epochly.optimize(lambda: None)
    one(), other()
    epochly.reset_metrics(one)
    assert epochly.get_metrics(one)["total_calls"] == 0 and epochly.get_metrics(other)["total_calls"] == 1
    one()
    assert epochly.get_metrics(one)["total_calls"] == 1
    epochly.reset_metrics()
    assert epochly.get_metrics(other)["total_calls"] == epochly.get_metrics()["total_calls"] == 0


def test_a_reset_inside_a_call_is_survived():
    @epochly.optimize
    def resets():
        epochly.reset_metrics()

    for _ in range(4):
        resets()
    assert epochly.get_metrics(resets)["total_calls"] == 0


def test_all_functions_together_include_those_that_are_gone():
    epochly.reset_metrics()
    for _ in range(3):
        gone = epochly.optimize(lambda data: None)
        gone([1] * 10)
    del gone
    gc.collect()
    stays = epochly.optimize(lambda data: None)
    stays([1] * 50)
    metrics = epochly.get_metrics()
    assert metrics["total_calls"] == 4 and metrics["avg_data_size"] == 20


def test_all_functions_together_weigh_loops_by_calls_and_waiting_by_time():
    epochly.reset_metrics()
    loops = epochly.optimize(lambda: [x for x in range(100)])
    waits = epochly.optimize(time.sleep)
    for _ in range(30):
        loops()
    for _ in range(10):
        waits(0.005)
    metrics = epochly.get_metrics()
    assert metrics["avg_loop_iterations"] == pytest.approx(75)
    assert metrics["io_wait_ratio"] > 0.9


def test_figures_are_found_through_methods_partials_and_other_decorators():
    import functools

    class Holder:
        @epochly.optimize
        def method(self):
            pass

    Holder().method()
    assert epochly.get_metrics(Holder().method)["total_calls"] == 1
    assert epochly.get_metrics(functools.partial(Holder.method, None))["total_calls"] == 1
    assert epochly.get_metrics(functools.lru_cache(Holder.method))["total_calls"] == 1


@pytest.mark.parametrize("ask", [epochly.get_metrics, epochly.reset_metrics, epochly.report])
@pytest.mark.parametrize("wrong", [print, lambda: 1, 5, "f", int])
def test_a_function_that_is_not_decorated_is_refused(ask, wrong):
    with pytest.raises(TypeError, match="is not decorated with epochly.optimize"):
        ask(wrong)


def test_a_chain_of_wrappers_that_bites_its_tail_is_refused():
    def f():
        pass

    f.__wrapped__ = f
    with pytest.raises(TypeError):
        epochly.get_metrics(f)


def test_what_is_returned_is_the_callers_own_dict():
    measured = epochly.optimize(lambda: None)
    epochly.get_metrics(measured)["total_calls"] = 99
    assert epochly.get_metrics(measured)["total_calls"] == 0
    assert type(epochly.get_metrics(measured)) is dict
