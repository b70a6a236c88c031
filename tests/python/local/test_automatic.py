"""Functions that nobody gave a level: watched, tried where that suits them, kept where it measured faster."""
import subprocess
import sys
import textwrap
import time

import pytest

import epochly

needs_jit = pytest.mark.skipif(not epochly.check_feature("jit"), reason="built without LLVM")
SECONDS_MAX = 60


def until(condition, call):
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline
        call()


def trial(function):
    rows = epochly.report(function).trials
    return rows[0] if rows else {"stage": None}


def hot(n):
    total = 0
    for i in range(n):
        total += i * i % 7
    return total


@needs_jit
def test_a_hot_loop_ends_up_compiled_with_the_same_answers():
    function, answers = epochly.optimize(hot), set()
    until(lambda: trial(function)["stage"] == "kept", lambda: answers.add(function(50_000)))
    assert answers == {hot(50_000)} and function(50_001) == hot(50_001)
    report = epochly.report(function)
    assert (report.asked, report.level) == ("auto", 2)
    row = trial(function)
    assert row["level"] == 2 and row["ms"] < row["plain_ms"] and row["arguments"].startswith("(int)")
    assert "kept" in str(report) and {0, 2} <= set(report.timings)


def test_what_cannot_be_compiled_stays_plain_and_says_why():
    @epochly.optimize
    def text(n):
        return len({str(i): i for i in range(n)})

    until(lambda: trial(text)["stage"] == "refused", lambda: text(30_000))
    assert text(10) == 10
    report = epochly.report(text)
    assert report.level == 0 and (trial(text)["why"].startswith("line ") or "LLVM" in trial(text)["why"])


def test_what_has_no_hot_loops_is_left_alone():
    @epochly.optimize
    def calls(x):
        return sum(sorted(x, key=str))

    items = list(range(3000))
    until(lambda: trial(calls)["stage"] == "refused", lambda: calls(items))
    assert "not enough work" in trial(calls)["why"] and epochly.report(calls).level == 0


def test_what_waits_is_not_overlapped_unasked():
    @epochly.optimize
    def wait(n):
        return [time.sleep(0.01) for _ in range(n)]

    until(lambda: trial(wait)["stage"] == "refused", lambda: wait(3))
    assert "level=1" in trial(wait)["why"] and epochly.report(wait).level == 0


@needs_jit
def test_argument_shapes_are_chosen_for_apart():
    @epochly.optimize
    def total(x):
        result = 0
        for item in x:
            result = result + item
        return result

    numbers, words = list(range(100_000)), [()] * 30_000
    until(lambda: trial(total)["stage"] == "kept", lambda: total(numbers))
    assert total(numbers) == sum(numbers)
    with pytest.raises(TypeError):
        total(words)
    rows = epochly.report(total).trials
    assert [row["arguments"].split(" with ")[0] for row in rows] == ["(list)", "(list)"] and rows[0]["stage"] == "kept"


@needs_jit
def test_methods_of_all_instances_share_what_was_found():
    class Model:
        @epochly.optimize
        @staticmethod
        def run(n):
            return hot(n)

    until(lambda: trial(Model.run)["stage"] == "kept", lambda: Model().run(50_000))
    assert Model().run(1000) == hot(1000)


def test_a_level_of_a_context_or_of_the_process_ends_it(script_of_levels):
    assert script_of_levels == "0 0 2\n"


@pytest.fixture
def script_of_levels(tmp_path):
    path = tmp_path / "levels.py"
    path.write_text(textwrap.dedent("""
        import epochly

        @epochly.optimize
        def loop(n):
            total = 0
            for i in range(n):
                total += i & 3
            return total

        while not epochly.report(loop).trials:
            loop(100_000)
        with epochly.optimize_context(level=0):
            loop(100_000)
        inside = epochly.report(loop).asked
        epochly.set_level(0)
        loop(100_000)
        process = epochly.report(loop).asked
        epochly.set_level(2)
        loop(100_000)
        print(inside, process, epochly.report(loop).asked)
    """))
    return subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=120, check=True).stdout


@needs_jit
def test_guards_that_fail_do_not_change_the_answer():
    @epochly.optimize
    def grow(n):
        product = 1
        for _ in range(n):
            product = product * 3 % (1 << 70)
        return product

    plain = grow.__wrapped__(60_000)
    until(lambda: trial(grow)["stage"] in ("kept", "refused"), lambda: grow(60_000))
    assert [grow(60_000) for _ in range(5)] == [plain] * 5
