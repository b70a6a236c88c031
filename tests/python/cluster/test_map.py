"""Client.map: order, laziness, failures."""
import concurrent.futures
import itertools
import time
import traceback

import pytest
import tasks

import epochly
from epochly import _map


def fail_at_5(x):
    if x == 5:
        raise KeyError(x)
    return x * 2


def fail_above(x):
    if x >= 30:
        raise ValueError(f"item {x}")
    return x


def big_until_2(x):
    if x == 2:
        raise ValueError("after much")
    return bytes(_map.VALUES_BYTES_MAX)


def die_at_3(x):
    if x == 3:
        tasks.exit_hard()
    return x


@pytest.mark.parametrize("chunksize", ["auto", 1, 7, 1000])
def test_results_come_in_input_order(client, chunksize):
    assert list(client.map(tasks.add, range(500), itertools.repeat(1), chunksize=chunksize)) == list(range(1, 501))


def test_it_stops_with_the_shortest_iterable(client):
    assert list(client.map(tasks.add, [1, 2, 3], [10, 20])) == [11, 22]
    assert list(client.map(tasks.add, [])) == []


def test_an_endless_iterator_is_taken_only_as_far_as_needed(client):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            yield taken
            taken += 1

    results = client.map(tasks.add, endless())
    assert [next(results) for _ in range(2000)] == list(range(2000))
    assert taken <= 2000 + _map.ITEMS_AHEAD_MAX + _map.CHUNK_ITEMS_MAX
    results.close()
    assert list(results) == []


def test_chunks_grow_with_what_items_take(client):
    quick = client.map(tasks.add, range(20_000))
    assert list(quick) == list(range(20_000))
    assert quick._sizer.size > 100
    slow = client.map(tasks.sleep_then, itertools.repeat(0.02, 20))
    list(slow)
    assert slow._sizer.size == 1


def test_slow_items_run_on_all_workers(client):
    start = time.monotonic()
    assert len(list(client.map(tasks.sleep_then, [0.1] * 20, level=1))) == 20
    assert time.monotonic() - start < 1.5


@pytest.mark.parametrize("chunksize", ["auto", 1, 4, 100])
def test_results_before_the_failing_item_are_yielded_and_then_its_exception_is_raised(client, chunksize):
    results, seen = client.map(fail_at_5, range(100), chunksize=chunksize), []
    with pytest.raises(KeyError) as caught:
        for value in results:
            seen.append(value)
    assert seen == [0, 2, 4, 6, 8] and caught.value.args == (5,)
    text = "".join(traceback.format_exception(caught.value))
    assert "in fail_at_5" in text and "raise KeyError(x)" in text and "epochly/_map.py" not in text.partition("direct cause")[0]
    assert list(results) == []


def test_of_several_failing_items_the_lowest_is_raised(client):
    with pytest.raises(ValueError, match="item 30"):
        list(client.map(fail_above, range(100), chunksize=3))


def test_the_failing_index_is_noted(client):
    with pytest.raises(KeyError) as caught:
        list(client.map(fail_at_5, range(10), chunksize=3))
    if hasattr(caught.value, "__notes__"):  # 3.11
        assert caught.value.__notes__ == ["at index 5 of map()"]


def test_results_that_are_too_large_to_travel_with_a_failure_stay_behind(client):
    with pytest.raises(ValueError, match="after much"):
        list(client.map(big_until_2, range(4), chunksize=4))


def test_a_crash_names_the_items_that_it_may_have_been(client):
    results = client.map(die_at_3, range(8), chunksize=4)
    with pytest.raises(epochly.ExecutorDied) as caught:
        list(results)
    if hasattr(caught.value, "__notes__"):
        assert caught.value.__notes__ == ["in one of the items 0 to 3 of map()"]


def test_retries_are_of_whole_chunks(client, tmp_path):
    assert list(client.map(tasks.fail_until, [str(tmp_path / "a")], [3], retries=2)) == [3]


def test_a_timeout_names_the_first_unfinished_index(client):
    results = client.map(tasks.sleep_then, [0, 0, 60], chunksize=1, timeout=1)
    assert [next(results), next(results)] == [None, None]
    with pytest.raises(concurrent.futures.TimeoutError, match="first unfinished index is 2"):
        next(results)


def test_an_iterable_that_raises_ends_it(client):
    def items():
        yield 1
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        list(client.map(tasks.add, items()))


@pytest.mark.parametrize(("arguments", "options", "error"), [
    ((), {}, TypeError), (([1],), {"level": 9}, ValueError), (([],), {"level": 9}, ValueError),
    (([1],), {"chunksize": 0}, ValueError), (([1],), {"chunksize": "big"}, ValueError), ((5,), {}, TypeError)])
def test_wrong_arguments_are_refused_at_once(client, arguments, options, error):
    with pytest.raises(error):
        client.map(tasks.add, *arguments, **options)


def test_lambdas_map(client):
    factor = 3
    assert list(client.map(lambda x: x * factor, range(50))) == [3 * x for x in range(50)]


def test_coroutine_functions_map(client):
    assert list(client.map(tasks.add_later, range(5), range(5))) == [0, 2, 4, 6, 8]
