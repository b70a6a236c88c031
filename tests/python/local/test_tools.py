"""Profilers, debuggers, coverage and tracebacks see the user's function and nothing of ours."""
import bdb
import cProfile
import io
import linecache
import pstats
import subprocess
import sys
import textwrap
import time
import traceback

import line_profiler
import pytest

import epochly


def helper(x):
    return x * 2


def work(data):
    total = 0
    for x in data:
        total += helper(x)
    return total


def failing(x):
    return 1 / x


DATA = list(range(50))


# ---- tracebacks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [None, 0, 2])
def test_tracebacks_show_the_users_lines_only(level):
    try:
        epochly.optimize(level=level)(failing)(0)
    except ZeroDivisionError as error:
        frames = traceback.extract_tb(error.__traceback__)
    assert [frame.name for frame in frames] == [test_tracebacks_show_the_users_lines_only.__name__, "failing"]
    assert frames[-1].line == "return 1 / x"


def test_tracebacks_of_generators_and_coroutines_show_the_users_lines_only():
    import asyncio

    @epochly.optimize
    def numbers():
        yield 1
        raise KeyError("generator")

    @epochly.optimize
    async def inner():
        raise KeyError("coroutine")

    @epochly.optimize
    async def outer():
        await inner()

    def names(error):
        return [frame.name for frame in traceback.extract_tb(error.__traceback__)]

    with pytest.raises(KeyError) as caught:
        list(numbers())
    assert names(caught.value)[-1] == "numbers" and len(names(caught.value)) == 2
    with pytest.raises(KeyError) as caught:
        asyncio.run(outer())
    assert names(caught.value)[-2:] == ["outer", "inner"]


def test_the_stack_inside_holds_no_frame_of_ours():
    @epochly.optimize
    def stack():
        return [frame.f_code.co_name for frame, _ in traceback.walk_stack(sys._getframe())]

    for _ in range(4):  # plain and counted calls
        assert stack()[:2] == ["stack", test_the_stack_inside_holds_no_frame_of_ours.__name__]


# ---- cProfile -------------------------------------------------------------------------------------------------------------


def test_cprofile_shows_the_function_and_its_callees_and_nothing_of_ours():
    measured = epochly.optimize(level=0)(work)
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(5):
        measured(DATA)
    profiler.disable()
    out = io.StringIO()
    pstats.Stats(profiler, stream=out).sort_stats("cumulative").print_stats()
    stats = {name: calls for (_, _, name), (calls, *_) in pstats.Stats(profiler).stats.items()}
    assert stats["work"] == 5 and stats["helper"] == 250
    assert "epochly" not in out.getvalue().replace(__file__, "")


def test_loops_are_not_counted_under_a_profiler_and_are_then_absent():
    measured = epochly.optimize(work)
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        for _ in range(10):
            measured(DATA)
        assert not epochly.check_feature("loop_counting")
    finally:
        profiler.disable()
    metrics = epochly.get_metrics(measured)
    assert "avg_loop_iterations" not in metrics and metrics["timed_calls"] == 10


# ---- line_profiler --------------------------------------------------------------------------------------------------------


def hits(profiler, function):
    """{source line: hits} of the function's code."""
    timings = profiler.get_stats().timings
    found = {}
    for (filename, _, name), lines in timings.items():
        if name.split(".")[-1] == function.__name__:  # the qualified name from 3.11 on
            for number, count, _ in lines:
                line = linecache.getline(filename, number).strip()
                found[line] = found.get(line, 0) + count
    return found


def check_lines(profiler, function):
    seen = hits(profiler, function)
    assert seen["total += helper(x)"] == 50
    assert seen["return total"] == 1


def fresh_work():
    def work(data):
        total = 0
        for x in data:
            total += helper(x)
        return total
    return work


# It says so of everything that functools.wraps() has touched.
@pytest.mark.filterwarnings("ignore:Adding a function with a `.__wrapped__` attribute")
def test_line_profiler_takes_a_decorated_function():
    measured = epochly.optimize(fresh_work())
    profiler = line_profiler.LineProfiler()
    assert profiler(measured)(DATA) == 2450
    check_lines(profiler, measured)


@pytest.mark.filterwarnings("ignore:Adding a function with a `.__wrapped__` attribute")
def test_line_profiler_can_be_given_it_by_add_function():
    measured = epochly.optimize(fresh_work())
    profiler = line_profiler.LineProfiler()
    profiler.add_function(measured)
    profiler.enable()
    measured(DATA)
    profiler.disable()
    check_lines(profiler, measured)


def test_line_profilers_decorator_works_below():
    profiler = line_profiler.LineProfiler()
    measured = epochly.optimize(profiler(fresh_work()))
    measured(DATA)
    check_lines(profiler, measured)


@pytest.mark.parametrize("order", ["@profile\n@epochly.optimize", "@epochly.optimize\n@profile"])
def test_kernprof_shows_every_line(tmp_path, environment, order):
    script = tmp_path / "script.py"
    script.write_text("import epochly\n" + order + textwrap.dedent("""
        def my_function(data):
            result = []
            for x in data:
                result.append(x ** 2)
            return result

        for _ in range(3):
            my_function(range(40))
        """))
    done = subprocess.run([sys.executable, "-m", "kernprof", "-l", "-v", script], cwd=tmp_path, capture_output=True, text=True,
                          env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if "result.append(x ** 2)" in line)
    assert line.split()[1] == "120"


# ---- debuggers and coverage -----------------------------------------------------------------------------------------------


class Recorder(bdb.Bdb):
    """A debugger that steps through everything and notes the lines of ``work``."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def user_line(self, frame):
        if frame.f_code.co_name == "work":
            self.lines.append(linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip())
        self.set_step()


def test_a_debugger_steps_through_it_and_keeps_the_trace_function():
    measured = epochly.optimize(work)
    for _ in range(5):
        debugger = Recorder()
        debugger.runcall(measured, [1, 2])
        assert debugger.lines.count("total += helper(x)") == 2
    assert "avg_loop_iterations" not in epochly.get_metrics(measured)


def test_a_trace_function_set_inside_a_call_stays_and_sees_lines():
    seen = []

    def tracer(frame, event, arg):
        if frame.f_code.co_name == "helper":
            seen.append(event)
        return tracer

    @epochly.optimize
    def starts_tracing():
        sys.settrace(tracer)
        helper(1)
        return sys.gettrace()

    for _ in range(4):  # the second is a counted one
        seen.clear()
        try:
            assert starts_tracing() is tracer
            assert sys.gettrace() is tracer
        finally:
            sys.settrace(None)
        assert seen == ["call", "line", "return"]


def test_gettrace_and_getprofile_say_nothing_of_a_counted_call():
    @epochly.optimize
    def ask():
        return sys.gettrace(), sys.getprofile()

    assert [ask() for _ in range(4)] == [(sys.gettrace(), None)] * 4


def test_breakpoint_inside_a_counted_call_stops_and_goes_on(tmp_path, environment):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent("""
        import epochly

        @epochly.optimize
        def work(n):
            if n == 1:
                breakpoint()
            total = 0
            for i in range(3):
                total += i
            return total

        work(0)
        print("result", work(1))
        """))
    done = subprocess.run([sys.executable, script], input="next\nnext\nnext\np total\ncontinue\n", capture_output=True, text=True,
                          env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "result 3" in done.stdout and "unknown debugging event" not in done.stdout
    assert "total += i" in done.stdout


def test_coverage_sees_every_line(tmp_path, environment):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent("""
        import epochly

        @epochly.optimize
        def work(n):
            total = 0
            for i in range(n):
                total += i
            return total

        for _ in range(5):
            work(3)
        """))
    run = [sys.executable, "-m", "coverage"]
    options = {"cwd": tmp_path, "capture_output": True, "text": True, "env": environment, "timeout": 60}
    subprocess.run([*run, "run", script], check=True, **options)
    report = subprocess.run([*run, "report", "--include", script], check=True, **options).stdout
    assert "100%" in report


def test_a_profile_function_sees_the_same_events_as_undecorated():
    def events_of(function):
        seen = []
        sys.setprofile(lambda frame, event, arg: seen.append((event, frame.f_code.co_name)) if "profile" not in event else None)
        try:
            function([1, 2])
        finally:
            sys.setprofile(None)
        return [each for each in seen if each[1] in ("work", "helper")]

    measured = epochly.optimize(work)
    for _ in range(3):
        assert events_of(measured) == events_of(work)


def test_timeit_and_time_agree_about_it():
    @epochly.optimize
    def sleeps():
        time.sleep(0.01)

    start = time.perf_counter()
    sleeps()
    took = (time.perf_counter() - start) * 1e3
    assert 10 <= epochly.get_metrics(sleeps)["total_time_ms"] <= took
