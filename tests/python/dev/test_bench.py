"""The benchmark harness: its arithmetic on made-up figures, and one tiny real run."""
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from tests.bench import interrupt_bench, measure, metg, report, tables, turns  # noqa: E402
from tests.bench.peers import Peer  # noqa: E402

# The tiny run starts two embedded clusters and two pools.
TINY_RUN_SECONDS = 120


def overhead_machine(overhead, rate, workers=2):
    """Points of an imagined system with a fixed overhead per task, seconds, and a rate of iterations per core."""
    points = []
    iterations = 1 << 20
    while iterations > 0 and len(points) < 30:
        each = iterations / rate + overhead
        points.append({"iterations": iterations, "tasks": 100, "seconds": 100 * each / workers})
        iterations //= 2
    return points


def test_metg_of_a_known_overhead_is_twice_the_overhead():
    # At half efficiency a task computes for as long as it costs.
    points = overhead_machine(overhead=20e-6, rate=30e6)
    found = metg.metg_seconds(points, peak=2 * 30e6, workers=2)
    assert found == pytest.approx(40e-6, rel=0.05)


def test_metg_is_unknown_when_efficiency_never_falls_to_half():
    points = overhead_machine(overhead=20e-6, rate=30e6)[:3]
    assert metg.metg_seconds(points, peak=2 * 30e6, workers=2) is None


def test_the_peak_is_the_best_of_all_systems():
    slow, fast = overhead_machine(1e-3, 30e6), overhead_machine(1e-6, 30e6)
    assert metg.peak_rate([slow, fast]) == metg.peak_rate([fast])


@pytest.mark.parametrize(("made", "value", "met"), [
    (report.at_least, 8.1, True), (report.at_least, 7.9, False), (report.at_most, 8.0, True), (report.at_most, 8.1, False),
    (report.at_least, math.nan, None)])
def test_targets_are_met_missed_or_not_measured(made, value, met):
    target = made("8x", value, 8)
    assert target.met is met
    assert {True: "met", False: "NOT MET", None: "not measured"}[met] in target.line()


def test_ratios_are_medians_of_each_rounds_own():
    # The second round was slow for both.
    assert report.ratio([100, 10, 90], [10, 1, 10]) == 10


def test_a_peer_missing_from_a_round_leaves_the_ratio_to_the_others():
    rounds = [{"epochly": {"tasks": {"tasks": 100, "seconds": 1}}, "pool": {"tasks": {"tasks": 10, "seconds": 1}}},
              {"epochly": {"tasks": {"tasks": 100, "seconds": 1}}}]
    table = tables.tasks_table(rounds)
    assert [target.met for target in table.targets] == [True, None, None]  # pool 10x; Ray and Dask were not there
    assert "Dask" not in [row[0] for row in table.rows]


class FakePeer(Peer):
    """Answers at once."""
    name = "fake"

    def start(self, workers):
        return "1"

    def submit(self, fn, argument):
        return fn(argument)

    def wait(self, futures):
        return futures

    def stop(self):
        pass


def test_a_peer_with_wrong_answers_is_found_out():
    class Liar(FakePeer):
        def wait(self, futures):
            return [0 for _ in futures]
    with pytest.raises(AssertionError, match="wrong answers"):
        measure.tasks_per_second(Liar(), 0.01)
    with pytest.raises(AssertionError, match="answered"):
        measure.round_trips(Liar(), 3)


def test_a_fast_peer_is_given_longer_batches():
    measured = measure.tasks_per_second(FakePeer(), 0.05)
    assert measured["tasks"] > measure.PROBE_TASKS
    assert measured["seconds"] > 0


def test_plain_figures_are_short():
    assert [report.plain(value) for value in (math.nan, None, 0.01234, 12.345, 123456.7)] == ["-", "-", "0.0123", "12.3",
                                                                                              "123,457"]


def test_a_tiny_run_measures_writes_and_prints(tmp_path):
    command = [sys.executable, "-m", "tests.bench", "tasks", "roundtrip", "metg", "--peers", "epochly,pool", "--rounds", "2",
               "--seconds", "0.05", "--round-trips", "10", "--out", tmp_path]
    ended = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=TINY_RUN_SECONDS)
    assert ended.returncode == 0, ended.stderr
    for text in ("No-op tasks", "round trip", "METG", "target: at least 8x ProcessPoolExecutor", "not measured"):
        assert text in ended.stdout
    result = json.loads(next(tmp_path.glob("*.json")).read_text())
    assert result["machine"]["cores"] > 0 and set(result["tables"]) == {"tasks", "roundtrip", "metg"}
    assert [sorted(measured) for measured in result["raw"]["rounds"]] == [["epochly", "pool"]] * 2


@pytest.mark.parametrize("case", ["level 1, requests", "level 2"])
def test_ctrl_c_is_timed_from_the_signal_to_the_exception(case):
    """The bound itself is the benchmark's: here others may use the machine."""
    if case != "level 1, requests":
        pytest.importorskip("epochly._jit", reason="built without LLVM")
    times = interrupt_bench.measure(case, 2)
    assert len(times) == 2 and all(0 < each < 30_000 for each in times)


def test_a_ratio_is_that_of_neighbours():
    """The third round was slow for both: medians of each would say 2 / 1.1."""
    assert turns.ratio([1.0, 2.0, 30.0], [1.0, 1.0, 30.0]) == 1.0
