"""What submit() takes and what comes back."""
import functools
import gc
import math
import operator
import threading
import weakref

import pytest
import tasks

import epochly


def test_a_function_of_a_module_runs_on_a_worker(client):
    assert client.submit(tasks.add, 2, 3).result() == 5
    assert client.submit(tasks.pid).result() not in (0, __import__("os").getpid())


def test_positional_and_keyword_arguments_arrive_as_they_were_given(client):
    assert client.submit(tasks.add, 2, b=40).result() == 42
    assert client.submit(dict, a=1, b=[2]).result() == {"a": 1, "b": [2]}


@pytest.mark.parametrize("value", [None, True, 0, -1, 2**200, 1.5, float("inf"), "", "päckchen", b"\0\xff", (), (1, (2,)), [1, [2]],
                                   {"a": {1, 2}}, frozenset({3}), range(5), 3 + 4j, bytearray(b"abc")], ids=repr)
def test_values_come_back_with_their_type(client, value):
    result = client.submit(tasks.identity, value).result()
    assert result == value and type(result) is type(value)


def test_builtins_partials_and_callables_of_c_modules_run(client):
    assert client.submit(math.hypot, 3, 4).result() == 5
    assert client.submit(functools.partial(operator.mul, 6), 7).result() == 42
    assert client.submit(operator.itemgetter(1), "abc").result() == "b"
    assert client.submit(int, "12").result() == 12


def test_lambdas_and_functions_inside_functions_run(client):
    offset = 10

    def inner(x):
        return x + offset

    assert client.submit(inner, 1).result() == 11
    assert client.submit(lambda x: x * offset, 2).result() == 20


def test_methods_run_on_the_object_as_it_is_at_submit(client):
    counter = tasks.Counter(1)
    first = client.submit(counter.plus, 10)
    counter.value = 2
    second = client.submit(counter.plus, 10)
    assert (first.result(), second.result()) == (11, 12)
    assert counter.value == 2
    assert client.submit(tasks.Counter.named, 5).result() == ("Counter", 5)
    assert client.submit(tasks.Counter.twice, 5).result() == 10
    assert client.submit(counter, 5).result() == 10


def test_coroutine_functions_are_awaited_on_the_worker(client):
    assert client.submit(tasks.add_later, 1, 2).result() == 3
    assert client.submit(tasks.add_later, 1, 2, level=1).result() == 3


def test_a_closure_is_taken_as_it_is_at_submit(client):
    number = 1

    def read():
        return number

    first = client.submit(read)
    number = 2
    second = client.submit(read)
    assert (first.result(), second.result()) == (1, 2)


def test_a_captured_list_is_taken_as_it_is_at_submit(client):
    seen = []

    def count():
        return len(seen)

    results = []
    for _ in range(3):
        results.append(client.submit(count))
        seen.append(None)
    assert [future.result() for future in results] == [0, 1, 2]


def test_more_functions_than_ids_are_all_run(client):
    futures = [client.submit(lambda i=i: i * i) for i in range(1500)]
    assert client.gather(futures) == [i * i for i in range(1500)]


def test_ten_thousand_small_tasks_each_give_their_own_result(client):
    futures = [client.submit(tasks.add, i, 1) for i in range(10_000)]
    assert client.gather(futures) == list(range(1, 10_001))


def test_threads_share_a_client(client):
    results = {}

    def work(k):
        results[k] = client.gather([client.submit(tasks.add, k, i) for i in range(200)])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {k: [k + i for i in range(200)] for k in range(5)}


def test_level_1_runs_side_by_side_on_threads(client):
    futures = [client.submit(tasks.sleep_then, 0.3, i, level=1) for i in range(16)]
    assert client.gather(futures) == list(range(16))
    assert client.submit(tasks.thread_name, level=1).result() != "MainThread"
    assert all(future.report().level == 1 for future in futures)


def test_level_0_runs_on_the_main_thread(client):
    assert client.submit(tasks.thread_name, level=0).result() == "MainThread"


def test_a_level_that_no_worker_offers_is_declined_with_a_reason(client):
    report = client.submit(tasks.add, 1, level=4).report()
    assert report.level_asked == 4 and report.level != 4
    assert [level for level, _ in report.declined][0] == 4 and all(reason for _, reason in report.declined)


@pytest.mark.parametrize("level", [5, -1, "jit", 1.0, None, True, "4"])
def test_a_wrong_level_is_a_value_error_at_once_that_names_the_right_ones(client, level):
    with pytest.raises(ValueError, match='"auto", or 0 .*4') as caught:
        client.submit(tasks.nothing, level=level)
    assert isinstance(caught.value, epochly.InvalidTask)


@pytest.mark.parametrize("options", [{"retries": -1}, {"retries": 1001}, {"timeout": 0}, {"timeout": -1}, {"timeout": 86401},
                                     {"timeout": float("nan")}])
def test_options_out_of_range_are_value_errors_at_once(client, options):
    with pytest.raises(epochly.InvalidTask):
        client.submit(tasks.nothing, **options)


def test_the_largest_options_are_taken(client):
    assert client.submit(tasks.add, 1, retries=1000, timeout=86400).result() == 1


def test_what_is_not_callable_is_refused_at_once(client):
    with pytest.raises(TypeError, match="submit\\(\\) takes a function, not int"):
        client.submit(5)


def test_a_task_that_raises_is_tried_again_as_often_as_asked(client, tmp_path):
    future = client.submit(tasks.fail_until, str(tmp_path / "tries"), 3, retries=2)
    assert future.result() == 3
    assert future.report().attempt == 3


def test_a_task_that_goes_on_raising_ends_with_the_last_exception(client, tmp_path):
    with pytest.raises(RuntimeError, match="attempt 2"):
        client.submit(tasks.fail_until, str(tmp_path / "tries"), 9, retries=1).result()


def test_a_task_over_its_timeout_ends_with_task_timeout(client):
    with pytest.raises(epochly.TaskTimeout) as caught:
        client.submit(tasks.sleep_then, 60, timeout=0.2).result()
    assert isinstance(caught.value, TimeoutError)


def test_prints_of_a_function_are_seen(script):
    done = script("""
        import sys, epochly
        def speak(name):
            print("hello", name)
            print("warning", name, file=sys.stderr)
        epochly.connect().submit(speak, "world").result()
    """)
    assert done.stdout == "hello world\n" and done.stderr == "warning world\n"


def test_a_decorated_function_travels_by_name_and_runs_undecorated_on_the_worker(client):
    from epochly import _native, serialize

    assert serialize.describe(tasks.square)[5] == "tasks"
    inner = _native.options(tasks.square)[0]
    assert serialize.describe(inner)[3] == serialize.describe(tasks.square)[3], "however one comes by it"
    assert client.submit(tasks.square, 3).result() == client.submit(inner, 3).result() == 9
    factor = 2
    decorated = epochly.optimize(lambda x: x * factor)
    assert client.submit(decorated, 5).result() == 10


def test_what_was_measured_here_is_told_to_the_scheduler(client):
    for i in range(20):
        tasks.wait_a_little(i)
    here = epochly.get_metrics(tasks.wait_a_little)
    report = client.submit(tasks.wait_a_little, 1).report()
    assert (report.level_chosen, report.level) == (1, 1), report.why
    row = next(row for row in client.metrics()["functions"] if row["name"] == "tasks.wait_a_little")
    assert row["io_wait_ratio"] == pytest.approx(here["io_wait_ratio"], abs=0.05) and row["samples"] > 1


def test_functions_that_carry_data_are_kept_alive_up_to_a_bound_of_bytes(client):
    mebibyte, cached_max = 1 << 20, 64  # client_functions.h FUNCTIONS_CACHED_BYTES_MAX
    alive = []

    def submit(number):
        data = bytes([number]) * mebibyte
        function = by_value_function(data)
        alive.append(weakref.ref(function))
        return client.submit(function)

    for number in range(cached_max + 36):
        assert submit(number).result() == mebibyte
    gc.collect()
    assert sum(ref() is not None for ref in alive) < cached_max


def by_value_function(data):
    return lambda: len(data)
