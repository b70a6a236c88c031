"""Level 1 on workers: tasks share an executor's threads, and the loops of each wait side by side there."""
import pytest

import epochly
from tests.python.cluster.tasks import carries, meets


@pytest.fixture(scope="module")
def client():
    with epochly.connect() as connected:
        yield connected


def test_the_loop_of_a_task_waits_side_by_side_in_the_executor(client):
    future = client.submit(meets, 8, level=1)
    assert future.result(timeout=60) == [True] * 8
    assert future.report().level == 1


def test_a_task_whose_loop_cannot_be_spread_shares_the_threads_all_the_same(client):
    future = client.submit(carries, [1, 2, 3], level=1)
    assert future.result(timeout=60) == 6
    assert future.report().level == 1


def test_many_tasks_that_loop_run_at_once(client):
    futures = [client.submit(meets, 4, level=1) for _ in range(20)]
    assert [future.result(timeout=60) for future in futures] == [[True] * 4] * 20
