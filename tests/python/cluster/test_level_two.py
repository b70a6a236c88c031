"""Level 2 on workers: compiled where the worker can, and said where it could not."""
import pytest

import epochly
from tests.python.cluster.tasks import doubled_sum, joined_text

pytestmark = pytest.mark.skipif(not epochly.check_feature("jit"), reason="this build has no level 2: it was made without LLVM")


def test_workers_offer_what_their_python_can_compile(embedded_client):
    worker, = embedded_client.workers()
    assert "jit" in worker["capabilities"]
    assert worker["slots"]["jit"] == worker["slots"]["cpu"]
    assert worker["facts"]["python.jit"] == "LLVM"


def test_a_loop_runs_compiled_and_compiling_is_a_phase_of_its_own_once(embedded_client):
    reports = []
    for _ in range(8):  # of two executors each compiles once
        future = embedded_client.submit(doubled_sum, 20_000, level=2)
        assert future.result() == doubled_sum(20_000)
        reports.append(future.report())
    assert {report.level for report in reports} == {2}
    assert all(report.declined == () for report in reports)
    compiled = [report.timings.compile for report in reports if report.timings.compile is not None]
    assert 1 <= len(compiled) <= 2 and all(seconds > 0 for seconds in compiled)
    assert all(report.timings.run is not None for report in reports)


def test_keywords_reach_compiled_code(embedded_client):
    future = embedded_client.submit(doubled_sum, n=1000, level=2)
    assert (future.result(), future.report().level) == (doubled_sum(1000), 2)


def test_what_cannot_be_compiled_runs_in_python_and_says_why(embedded_client):
    future = embedded_client.submit(joined_text, ["a", "b"], level=2)
    assert future.result() == "a-b"
    report = future.report()
    assert (report.level_asked, report.level) == (2, 0)
    (level, reason), = report.declined
    assert level == 2 and "a generator expression is compiled only inside sum" in reason


def test_an_exception_of_compiled_code_is_the_users(embedded_client):
    with pytest.raises(TypeError, match="'str' object cannot be interpreted as an integer"):
        embedded_client.submit(doubled_sum, "many", level=2).result()
    with pytest.raises(ZeroDivisionError):
        embedded_client.submit(doubled_sum, 10, 0, level=2).result()


def test_a_decorated_function_that_a_task_names_is_compiled_there(embedded_client):
    decorated = epochly.optimize(lambda n: doubled_sum(n), level=2)

    def task():
        return decorated(100), epochly.report(decorated).level

    assert embedded_client.submit(task).result() == (doubled_sum(100), 2)
