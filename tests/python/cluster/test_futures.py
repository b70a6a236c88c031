"""epochly.Future as concurrent.futures, asyncio and callers use it."""
import asyncio
import concurrent.futures
import copy
import gc
import pickle
import threading
import weakref

import pytest
import tasks

import epochly


@pytest.fixture
def held(client, tmp_path):
    """(a function that submits a task which waits, one that lets them all go)."""
    gate = tmp_path / "gate"

    def submit(**options):
        return client.submit(tasks.wait_for_file, str(gate), level=1, **options)

    yield submit, gate.touch
    gate.touch()


def test_it_is_a_future_of_concurrent_futures(client):
    future = client.submit(tasks.add, 1)
    assert isinstance(future, concurrent.futures.Future) and isinstance(future, epochly.Future)
    assert future.result() == 1 and future.done() and not future.cancelled() and not future.running()
    assert future.exception() is None


def test_the_value_is_loaded_once(client):
    future = client.submit(tasks.identity, [1, 2])
    assert future.result() is future.result()


def test_wait_and_as_completed_of_concurrent_futures(client, held):
    submit, let_go = held
    quick, slow = client.submit(tasks.add, 1), submit()
    done, pending = concurrent.futures.wait([quick, slow], return_when=concurrent.futures.FIRST_COMPLETED)
    assert (done, pending) == ({quick}, {slow})
    let_go()
    assert set(concurrent.futures.as_completed([quick, slow])) == {quick, slow}
    failing = client.submit(tasks.fail)
    done, _ = concurrent.futures.wait([failing, client.submit(tasks.add, 2)], return_when=concurrent.futures.ALL_COMPLETED)
    assert len(done) == 2


def test_waiting_for_many_ends_when_all_have(client):
    futures = [client.submit(tasks.add, i) for i in range(2000)]
    done, pending = concurrent.futures.wait(futures)
    assert len(done) == 2000 and not pending


def test_first_exception_ends_a_wait(client, held):
    submit, _ = held
    slow = submit()
    failing = client.submit(tasks.fail)
    done, pending = concurrent.futures.wait([slow, failing], return_when=concurrent.futures.FIRST_EXCEPTION)
    assert failing in done and slow in pending


def test_callbacks_are_called_once_with_the_future(client, held):
    submit, let_go = held
    future, called, event = submit(), [], threading.Event()
    future.add_done_callback(called.append)
    future.add_done_callback(lambda f: event.set())
    assert called == []
    let_go()
    assert event.wait(30) and called == [future]
    future.add_done_callback(called.append)
    assert called == [future, future]


def test_a_callback_that_raises_does_not_keep_the_others_from_being_called(client, held, caplog):
    submit, let_go = held
    future, event = submit(), threading.Event()
    future.add_done_callback(lambda f: 1 / 0)
    future.add_done_callback(lambda f: event.set())
    let_go()
    assert event.wait(30)
    assert "exception calling callback" in caplog.text


def test_a_callback_is_called_though_nobody_keeps_the_future(client, held):
    submit, let_go = held
    event = threading.Event()
    submit().add_done_callback(lambda f: event.set())
    gc.collect()
    let_go()
    assert event.wait(30)


def test_a_callback_may_submit_more(client):
    chained = concurrent.futures.Future()
    client.submit(tasks.add, 1).add_done_callback(
        lambda f: client.submit(tasks.add, f.result(), 1).add_done_callback(lambda g: chained.set_result(g.result())))
    assert chained.result(30) == 2


def test_it_can_be_awaited(client):
    async def main():
        assert await client.submit(tasks.add, 1, 2) == 3
        with pytest.raises(ValueError, match="boom"):
            await client.submit(tasks.fail)
        return await asyncio.gather(*(asyncio.wrap_future(client.submit(tasks.add, i)) for i in range(50)))

    assert asyncio.run(main()) == list(range(50))


def test_cancelling_the_asyncio_future_cancels_the_task(client, held):
    submit, _ = held

    async def main():
        future = submit()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(future), 0.05)
        return future

    assert asyncio.run(main()).cancelled()


def test_a_result_that_does_not_come_in_time_raises_and_the_task_goes_on(client, held):
    submit, let_go = held
    future = submit()
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(0.05)
    with pytest.raises(concurrent.futures.TimeoutError):
        future.exception(timeout=0)
    let_go()
    assert future.result(30)


def test_a_cancelled_task_ends_at_once_and_says_so(client, held):
    submit, _ = held
    future = submit()
    assert future.cancel() and future.cancelled() and future.done()
    for ask in (future.result, future.exception):
        try:
            assert isinstance(ask(), epochly.TaskCancelled)
        except concurrent.futures.CancelledError as error:
            assert isinstance(error, epochly.TaskCancelled)
    assert future.cancel(), "once more is no harm"


def test_a_running_task_that_is_cancelled_is_ended(client, tmp_path):
    future = client.submit(tasks.note_start, str(tmp_path), 600, level=0)
    while not list(tmp_path.iterdir()):
        pass
    assert future.cancel()
    # Both workers' only slots are free again.
    assert client.gather([client.submit(tasks.add, i, level=0) for i in range(4)]) == [0, 1, 2, 3]


def test_what_has_ended_cannot_be_cancelled(client):
    future = client.submit(tasks.add, 1)
    future.result()
    assert not future.cancel() and not future.cancelled()


def test_its_end_is_the_clusters_business(client):
    with pytest.raises(concurrent.futures.InvalidStateError):
        client.submit(tasks.add, 1).set_result(5)


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy])
def test_it_stays_where_it_is(client, copied):
    with pytest.raises(TypeError, match="cannot be sent elsewhere"):
        copied(client.submit(tasks.add, 1))


def test_it_is_freed_with_its_value(client):
    class Holder:
        pass

    future = client.submit(tasks.Counter, 1)
    watched = weakref.ref(future)
    value = future.result()
    value.me = future   # a cycle
    del future, value
    gc.collect()
    assert watched() is None


def test_gather_keeps_the_order(client):
    assert client.gather(client.submit(tasks.add, i) for i in range(10)) == list(range(10))
    assert client.gather([]) == []
    with pytest.raises(TypeError, match="takes futures, not int"):
        client.gather([1])
    with pytest.raises(ValueError, match="first"):
        client.gather([client.submit(tasks.add, 1), client.submit(tasks.fail, "first"), client.submit(tasks.fail, "second")])


def test_as_completed_yields_in_the_order_of_their_ends(client, held):
    submit, let_go = held
    slow = submit()
    quick = [client.submit(tasks.add, i) for i in range(3)]
    ended = client.as_completed([slow, *quick])
    assert {next(ended) for _ in range(3)} == set(quick)
    let_go()
    assert list(ended) == [slow]
    assert list(client.as_completed([])) == []


def test_as_completed_past_its_timeout_says_how_many_are_left(client, held):
    submit, _ = held
    with pytest.raises(concurrent.futures.TimeoutError, match="1 of 2"):
        list(client.as_completed([submit(), client.submit(tasks.add, 1)], timeout=0.5))


def test_as_completed_takes_futures_of_one_client(client, cluster):
    other = cluster.connect()
    with pytest.raises(ValueError, match="not all of one client"):
        client.as_completed([client.submit(tasks.add, 1), other.submit(tasks.add, 1)])
    other.close()
    with pytest.raises(TypeError, match="takes this client's futures"):
        client.as_completed([concurrent.futures.Future()])


def test_the_report_says_how_and_where_it_ran(client):
    future = client.submit(tasks.sleep_then, 0.05, level=0)
    report = future.report()
    assert (report.level_asked, report.level_chosen, report.level) == (0, 0, 0)
    assert report.why and report.worker and report.attempt == 1
    assert 0.05 <= report.timings.run <= report.timings.total
    assert report.timings.compile is None and report.timings.queue is not None
    assert future.placement == report


def test_the_report_of_a_failure_does_not_raise_it(client):
    assert client.submit(tasks.fail).report().level is not None


def test_explain_tells_of_pending_and_of_ended_tasks(client, held):
    submit, let_go = held
    future = submit()
    assert client.explain(future)
    let_go()
    future.result()
    assert "ran at level 1 on" in client.explain(future)


def test_a_pending_future_says_so(client, held):
    submit, let_go = held
    future = submit()
    assert "pending" in repr(future) and future.placement is None
    let_go()
    future.result()
    assert "done" in repr(future)
