"""Level 1 on workers: tasks share an executor's threads, and the loops of each wait side by side there."""

from tests.python.cluster.tasks import carries, meets


def test_the_loop_of_a_task_waits_side_by_side_in_the_executor(embedded_client):
    future = embedded_client.submit(meets, 8, level=1)
    assert future.result(timeout=60) == [True] * 8
    assert future.report().level == 1


def test_a_task_whose_loop_cannot_be_spread_shares_the_threads_all_the_same(embedded_client):
    future = embedded_client.submit(carries, [1, 2, 3], level=1)
    assert future.result(timeout=60) == 6
    assert future.report().level == 1


def test_many_tasks_that_loop_run_at_once(embedded_client):
    futures = [embedded_client.submit(meets, 4, level=1) for _ in range(20)]
    assert [future.result(timeout=60) for future in futures] == [[True] * 4] * 20
