import pytest

import epochly
from epochly._features import levels_here, why_not
from epochly.levels import NAMES

ABSENT = [level for level, why in levels_here().items() if why is not None]


def test_before_the_first_call_there_is_no_level():
    report = epochly.report(epochly.optimize(level=2)(lambda: None))
    assert (report.level, report.asked, report.declined) == (None, None, [])
    assert "not called yet" in str(report) and "not called yet" in repr(report)


@pytest.mark.parametrize("level", ABSENT)
def test_a_level_without_an_engine_declines_and_says_what_to_do(level):
    measured = epochly.optimize(level=level)(lambda x: print(end="") or x)  # nothing that an engine would take
    assert measured(1) == 1
    report = epochly.report(measured)
    assert (report.level, report.asked) == (0, level)
    declined, reason = report.declined[0]
    assert declined == level and reason == why_not(NAMES[level])
    assert reason.endswith((" is built into this version of epochly; upgrade to one that has it, or ask for level 0",
                            "; build it where that is installed, or ask for level 0"))


@pytest.mark.parametrize("level, chain", [(0, []), (1, [1]), (2, [2]), (3, [3, 2]), (4, [4, 3, 2])])
def test_what_no_engine_takes_runs_at_zero_and_every_level_between_says_why(level, chain):
    measured = epochly.optimize(level=level)(lambda x: print(end="") or x)
    assert measured(1) == 1
    report = epochly.report(measured)
    assert (report.level, list(dict.fromkeys(declined for declined, _ in report.declined))) == (0, chain)
    assert all(isinstance(reason, str) and reason for _, reason in report.declined)


def test_the_level_of_the_last_call_counts():
    measured = epochly.optimize(lambda: None)
    with epochly.optimize_context(level=3):
        measured()
    assert epochly.report(measured).asked == 3
    measured()
    assert (epochly.report(measured).asked, epochly.report(measured).declined) == (0, [])


def test_it_names_the_function_and_where_it_ran():
    @epochly.optimize
    def named():
        pass

    named()
    report = epochly.report(named)
    assert report.name == f"{__name__}.{named.__qualname__}"
    assert (report.placement, report.placement_reason) == ("local", "this process runs such calls itself")
    assert epochly.report(epochly.optimize(placement="local")(lambda: 1)).placement_reason == 'placement="local" was asked for'


def test_timings_are_by_the_level_that_ran():
    measured = epochly.optimize(lambda: None)
    assert epochly.report(measured).timings == {}
    for _ in range(5):
        measured()
    timings = epochly.report(measured).timings
    assert set(timings) == {0} and timings[0]["calls"] == 3  # the second and the fourth were counted
    assert timings[0]["avg_ms"] == pytest.approx(timings[0]["total_ms"] / 3)


def test_it_recommends_a_level_from_what_was_measured_and_says_why():
    import time

    waits = epochly.optimize(lambda: time.sleep(0.005))
    loops = epochly.optimize(lambda: [x for x in range(20_000)])
    large = epochly.optimize(lambda data: None)
    small = epochly.optimize(lambda: None)
    for _ in range(3):
        waits(), loops(), large(range(200_000)), small()
    recommended = [epochly.report(f) for f in (waits, loops, large, small)]
    assert [r.recommended for r in recommended] == [1, 2, 3, 0]
    assert "waits" in recommended[0].recommended_reason and "20,000 loop iterations" in recommended[1].recommended_reason
    assert "200,000 elements" in recommended[2].recommended_reason and "not enough work" in recommended[3].recommended_reason


def test_printed_it_is_a_table_for_people():
    @epochly.optimize(level=2)
    def work(data):
        print(end="")
        return [x for x in data]

    for _ in range(3):
        work([1, 2, 3])
    text = str(epochly.report(work))
    assert text.splitlines()[0].endswith(".work")
    for words in ("level", "0 monitor, asked for 2", "declined", "2 jit: ", "recommended", "placement", "local",
                  "avg_loop_iterations", "io_wait_ratio"):
        assert words in text
    assert repr(epochly.report(work)).startswith("<Report of ") and "3 calls" in repr(epochly.report(work))


def test_its_figures_are_those_of_get_metrics():
    measured = epochly.optimize(lambda: None)
    measured()
    assert epochly.report(measured).metrics == epochly.get_metrics(measured)


# ---- features -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["monitoring", "threads", "jit", "multicore", "gpu_acceleration", "gpu"])
def test_a_feature_is_there_or_says_why_not(name):
    assert epochly.check_feature(name) is (why_not(name) is None)
    if not epochly.check_feature(name):
        assert len(why_not(name)) > 20


def test_monitoring_is_always_there_and_both_names_of_the_gpu_agree():
    assert epochly.check_feature("monitoring")
    assert epochly.check_feature("gpu") == epochly.check_feature("gpu_acceleration")
    assert set(levels_here()) == set(range(5))


@pytest.mark.parametrize("name", ["warp_drive", "", None, 3])
def test_an_unknown_feature_is_refused_with_those_that_are_known(name):
    with pytest.raises(ValueError, match="gpu_acceleration.*loop_counting"):
        epochly.check_feature(name)


# ---- benchmark_levels -----------------------------------------------------------------------------------------------------


def test_benchmark_levels_calls_at_each_level_after_one_warmup():
    seen = []

    def work(data):
        seen.append((epochly.get_level(), data))

    timings = epochly.benchmark_levels(work, "data", levels=[0, 2], repeat=3)
    assert seen == [(0, "data")] * 4 + [(2, "data")] * 4
    assert list(timings) == [0, 2] and all(isinstance(seconds, float) and seconds > 0 for seconds in timings.values())


def test_benchmark_levels_has_the_guides_defaults():
    calls = []
    assert list(epochly.benchmark_levels(calls.append, 1)) == [0, 1, 2, 3]
    assert len(calls) == 4 * 11


def test_benchmark_levels_runs_a_decorated_function_at_each_level_whatever_its_own():
    asked = []

    @epochly.optimize(level=1)
    def work(data):
        asked.append(data)

    epochly.benchmark_levels(work, 5, levels=[3], repeat=1)
    assert asked == [5, 5] and epochly.get_metrics(work)["total_calls"] == 0


@pytest.mark.parametrize("options, error", [({"levels": [0, 7]}, ValueError), ({"levels": ["1"]}, TypeError),
                                            ({"repeat": 0}, ValueError), ({"repeat": 1.5}, TypeError),
                                            ({"repeat": True}, TypeError)])
def test_benchmark_levels_refuses_nonsense_before_it_calls_anything(options, error):
    calls = []
    with pytest.raises(error):
        epochly.benchmark_levels(calls.append, 1, **options)
    assert calls == []


def test_benchmark_levels_lets_the_functions_exception_out_and_leaves_the_level():
    def fails(data):
        raise KeyError(data)

    with pytest.raises(KeyError):
        epochly.benchmark_levels(fails, 1)
    assert epochly.get_level() == 0
