import asyncio
import contextvars
import threading

import pytest

import epochly
from epochly.levels import NAMES


def ran_at(function):
    return epochly.report(function).asked


def test_the_level_is_zero_until_somebody_sets_one():
    assert epochly.get_level() == 0


@pytest.mark.parametrize("level", range(5))
def test_each_of_the_five_levels_can_be_set(level):
    epochly.set_level(level)
    assert epochly.get_level() == level


@pytest.mark.parametrize("level", [-1, 5, 1 << 70])
def test_a_number_that_is_no_level_is_refused_with_those_that_are(level):
    with pytest.raises(ValueError, match=r"from 0 to 4 \(0 monitor, 1 threads, 2 jit, 3 multicore, 4 gpu\)"):
        epochly.set_level(level)


@pytest.mark.parametrize("level", [True, "2", 1.0, None, [2]])
def test_what_is_no_int_is_refused_with_its_type(level):
    with pytest.raises(TypeError, match=f"not {type(level).__name__}"):
        epochly.set_level(level)


def test_auto_takes_the_level_back():
    epochly.set_level(3)
    epochly.set_level("auto")
    assert epochly.get_level() == 0


def test_a_refused_level_leaves_the_old_one():
    epochly.set_level(3)
    with pytest.raises(ValueError):
        epochly.set_level(9)
    assert epochly.get_level() == 3


def test_the_process_level_holds_for_every_thread():
    epochly.set_level(2)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(epochly.get_level()))
    thread.start()
    thread.join()
    assert seen == [2]


def test_a_context_holds_for_its_block_and_contexts_nest():
    epochly.set_level(1)
    with epochly.optimize_context(level=2):
        assert epochly.get_level() == 2
        with epochly.optimize_context(level=4):
            assert epochly.get_level() == 4
        assert epochly.get_level() == 2
    assert epochly.get_level() == 1


def test_a_context_of_level_zero_is_a_level_too():
    epochly.set_level(2)
    with epochly.optimize_context(0):
        assert epochly.get_level() == 0


def test_a_context_lets_exceptions_pass_and_ends():
    with pytest.raises(KeyError):
        with epochly.optimize_context(level=2):
            raise KeyError
    assert epochly.get_level() == 0


def test_one_context_object_can_be_entered_again_and_inside_itself():
    context = epochly.optimize_context(level=3)
    with context:
        with context:
            assert epochly.get_level() == 3
        assert epochly.get_level() == 3
    assert epochly.get_level() == 0
    with context:
        assert epochly.get_level() == 3


@pytest.mark.parametrize("bad, error", [(7, ValueError), (None, TypeError), (True, TypeError), ("1", TypeError)])
def test_a_context_refuses_what_set_level_refuses(bad, error):
    with pytest.raises(error):
        epochly.optimize_context(level=bad)


def test_a_context_needs_a_level():
    with pytest.raises(TypeError):
        epochly.optimize_context()


def test_a_context_does_not_reach_other_threads():
    seen = []
    with epochly.optimize_context(level=3):
        thread = threading.Thread(target=contextvars.Context().run, args=(lambda: seen.append(epochly.get_level()),))
        thread.start()
        thread.join()
    assert seen == [0]


def test_a_context_of_one_task_does_not_reach_another():
    seen = []

    async def inside(entered, checked):
        with epochly.optimize_context(level=3):
            entered.set()
            await checked.wait()
            seen.append(("inside", epochly.get_level()))

    async def outside(entered, checked):
        await entered.wait()
        seen.append(("outside", epochly.get_level()))
        checked.set()

    async def both():
        entered, checked = asyncio.Event(), asyncio.Event()
        await asyncio.gather(inside(entered, checked), outside(entered, checked))

    asyncio.run(both())
    assert seen == [("outside", 0), ("inside", 3)]


def test_the_functions_own_level_comes_before_the_contexts_and_that_before_the_processs():
    own, open_ = epochly.optimize(level=1)(lambda: None), epochly.optimize(lambda: None)
    epochly.set_level(3)
    own(), open_()
    assert (ran_at(own), ran_at(open_)) == (1, 3)
    with epochly.optimize_context(level=2):
        own(), open_()
        assert (ran_at(own), ran_at(open_)) == (1, 2)
    own(), open_()
    assert (ran_at(own), ran_at(open_)) == (1, 3)


def test_names_are_in_the_order_of_the_numbers():
    assert NAMES == ("monitor", "threads", "jit", "multicore", "gpu")


# ---- the guide's decision tree ------------------------------------------------------------------------------------------


def by_the_guide(workload_metrics):
    io_ratio = workload_metrics.get("io_wait_ratio", 0)
    loop_iters = workload_metrics.get("avg_loop_iterations", 0)
    data_size = workload_metrics.get("avg_data_size", 0)
    if io_ratio > 0.5:
        return 1
    elif loop_iters > 10000:
        if data_size > 10_000_000 and epochly.check_feature("gpu_acceleration"):
            return 4
        elif data_size > 100_000:
            return 3
        else:
            return 2
    elif data_size > 100_000:
        return 3
    else:
        return 0


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("size", [None, 0, 100_000, 100_001, 10_000_000, 10_000_001])
@pytest.mark.parametrize("loops", [None, 0, 10_000, 10_001])
@pytest.mark.parametrize("waiting", [None, 0, 0.5, 0.500001, 1])
def test_the_choice_is_the_guides_at_and_around_every_threshold(waiting, loops, size, gpu, monkeypatch):
    from epochly import _features

    monkeypatch.setattr(epochly, "check_feature", lambda name: gpu)
    monkeypatch.setattr(_features, "check_feature", lambda name: gpu)
    figures = {"io_wait_ratio": waiting, "avg_loop_iterations": loops, "avg_data_size": size}
    metrics = {name: value for name, value in figures.items() if value is not None}
    assert epochly.select_optimal_level(metrics) == by_the_guide(metrics)


def test_nothing_measured_is_not_enough_work():
    assert epochly.select_optimal_level({}) == 0
