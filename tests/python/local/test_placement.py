"""placement="cluster" sends the call away; here the cluster is a stand-in for epochly._cluster."""
import sys
import types

import pytest

import epochly


class Cluster(types.ModuleType):
    """Runs calls itself and notes them, as epochly._cluster would send them."""

    def __init__(self):
        super().__init__("epochly._cluster")
        self.calls = []
        self.executor = False

    def inside_executor(self):
        return self.executor

    def call(self, func, args, kwargs, level):
        self.calls.append((func, args, kwargs, level))
        ran = types.SimpleNamespace(level_asked=level, level=0, declined=((2, "no JIT engine on this worker"),), worker="w1")
        return func(*args, **kwargs), ran


@pytest.fixture
def cluster(monkeypatch):
    stand_in = Cluster()
    monkeypatch.setitem(sys.modules, "epochly._cluster", stand_in)
    monkeypatch.setattr(epochly, "_cluster", stand_in, raising=False)
    return stand_in


def work(x, y=1):
    return x + y


def test_the_plain_function_and_its_arguments_are_sent(cluster):
    measured = epochly.optimize(level=2, placement="cluster")(work)
    assert measured(1, y=5) == 6
    assert cluster.calls == [(work, (1,), {"y": 5}, 2)]


def test_without_a_level_the_cluster_chooses(cluster):
    epochly.optimize(placement="cluster")(work)(1)
    assert cluster.calls[0][3] == "auto"


def test_the_report_says_where_it_ran_and_how(cluster):
    measured = epochly.optimize(level=2, placement="cluster")(work)
    assert epochly.report(measured).placement == "cluster" and epochly.report(measured).level is None
    measured(1)
    report = epochly.report(measured)
    assert (report.level, report.asked, report.placement) == (0, 2, "cluster")
    assert report.declined == [(2, "no JIT engine on this worker")] and "worker w1" in report.placement_reason


def test_inside_an_executor_the_call_runs_there(cluster):
    cluster.executor = True
    measured = epochly.optimize(level=1, placement="cluster")(work)
    assert measured(1, y=2) == 3 and measured(4) == 5
    assert cluster.calls == [] and epochly.get_metrics(measured)["total_calls"] == 2


@pytest.mark.parametrize("placement", ["auto", "local"])
def test_calls_that_this_process_can_run_are_not_sent(cluster, placement):
    epochly.optimize(placement=placement)(work)(1)
    assert cluster.calls == []


def test_an_exception_of_the_cluster_comes_out(cluster):
    def fails():
        raise KeyError("remote")

    with pytest.raises(KeyError, match="remote"):
        epochly.optimize(placement="cluster")(fails)()


def test_methods_are_sent_with_their_object(cluster):
    class Holder:
        @epochly.optimize(placement="cluster")
        def method(self, x):
            return self, x

    holder = Holder()
    assert holder.method(1) == (holder, 1)
    assert cluster.calls[0][1] == (holder, 1)
