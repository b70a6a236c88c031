"""Level 3 on workers: a loop on all the cores of one."""
import pytest

import epochly
from tests.python.cluster.tasks import doubled_sum

MEANS, _ = epochly._native.engine(3)
pytestmark = pytest.mark.skipif("oneTBB" not in MEANS, reason="this build has no oneTBB")


def test_a_worker_offers_one_at_a_time(embedded_client):
    worker, = embedded_client.workers()
    assert worker["slots"]["multicore"] == 1
    assert worker["facts"]["python.multicore"] == "oneTBB, processes"


def test_a_loop_that_splits_runs_at_level_3(embedded_client):
    future = embedded_client.submit(doubled_sum, 200_000, level=3)
    assert future.result() == doubled_sum(200_000)
    assert future.report().level == 3


def test_what_does_not_split_runs_at_level_2_and_says_why(embedded_client):
    future = embedded_client.submit(abs, -3, level=3)
    assert future.result() == 3
    assert [level for level, _ in future.report().declined][0] == 3
