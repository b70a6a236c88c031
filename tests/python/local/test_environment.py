"""What the environment asks for; each in a fresh process."""
import pytest


def test_epochly_level_is_the_processs_level(run_python):
    code = "import epochly; print(epochly.get_level()); epochly.set_level(1); print(epochly.get_level())"
    assert run_python(code, EPOCHLY_LEVEL="3") == "3\n1\n"


@pytest.mark.parametrize("value", ["5", "-1", "fast", "2.5", "99999999999999999999"])
def test_a_level_that_is_none_is_warned_of_once_and_not_used(run_python, value):
    done = run_python("import epochly; print(epochly.get_level())", check=False, EPOCHLY_LEVEL=value)
    assert done.stdout == "0\n"
    assert done.stderr.count("RuntimeWarning") == 1
    assert f"EPOCHLY_LEVEL='{value}' is not a whole number from 0 to 4; it is ignored" in done.stderr


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_variable_is_as_good_as_none(run_python, value):
    done = run_python("import epochly; print(epochly.get_level())", check=False, EPOCHLY_LEVEL=value, EPOCHLY_MAX_WORKERS=value,
                      EPOCHLY_LOG=value, EPOCHLY_DISABLE=value)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_epochly_max_workers_is_read(run_python):
    code = "from epochly import _config; print(_config.max_workers)"
    assert run_python(code, EPOCHLY_MAX_WORKERS="3") == "3\n"
    assert run_python(code) == "None\n"


@pytest.mark.parametrize("value", ["0", "-2", "many", "100000"])
def test_a_wrong_number_of_workers_is_warned_of(run_python, value):
    done = run_python("from epochly import _config; print(_config.max_workers)", check=False, EPOCHLY_MAX_WORKERS=value)
    assert done.stdout == "None\n"
    assert f"EPOCHLY_MAX_WORKERS='{value}' is not a whole number from 1 to 4096" in done.stderr


def test_epochly_log_sets_the_level_of_our_logger_and_shows_it(run_python):
    code = """
        import epochly, logging
        logger = logging.getLogger("epochly")
        print(logging.getLevelName(logger.level))
        logger.info("shown")
        logger.debug("not shown")
    """
    done = run_python(code, check=False, EPOCHLY_LOG="info")
    assert done.stdout == "INFO\n" and "epochly INFO shown" in done.stderr and "not shown" not in done.stderr


def test_a_wrong_log_level_is_warned_of(run_python):
    done = run_python("import epochly", check=False, EPOCHLY_LOG="loud")
    assert "EPOCHLY_LOG='loud' is not one of DEBUG, INFO, WARNING, ERROR, CRITICAL" in done.stderr


def test_a_wrong_value_is_an_error_where_warnings_are(run_python):
    done = run_python("import epochly", "-W", "error", check=False, EPOCHLY_LEVEL="x")
    assert done.returncode != 0 and "RuntimeWarning: EPOCHLY_LEVEL='x'" in done.stderr


def test_disabled_everything_is_plain_python(run_python):
    out = run_python("""
        import epochly, time, types

        def f(data):
            return [x for x in data]

        assert epochly.optimize(f) is f and epochly.optimize(level=2)(f) is f

        class C:
            @epochly.optimize(level=1)
            def method(self): return 1
            @epochly.optimize
            @staticmethod
            def static(): return 2
        assert type(C.method) is types.FunctionType and C().method() == 1 and C.static() == 2

        epochly.set_level(2)
        assert epochly.get_level() == 2
        with epochly.optimize_context(level=3):
            assert f([1]) == [1]
        with epochly.monitoring_context() as metrics:
            time.sleep(0.01)
        assert metrics["wait_time_ms"] >= 9 and metrics["memory_peak_mb"] > 0
        assert epochly.get_metrics()["total_calls"] == 0
        assert set(epochly.benchmark_levels(f, [1], levels=[0, 1])) == {0, 1}
        assert epochly.get_metrics(f)["total_calls"] == 0 and epochly.report(f).level is None
        assert "EPOCHLY_DISABLE" in str(epochly.report(f))
        try:
            epochly.optimize(level=9)
        except ValueError:
            print("still refuses")
    """, EPOCHLY_DISABLE="1")
    assert out == "still refuses\n"


@pytest.mark.parametrize("value, disabled", [("1", True), ("true", True), ("YES", True), ("0", False), ("off", False), ("", False)])
def test_the_switch_takes_the_usual_words(run_python, value, disabled):
    assert run_python("from epochly import _config; print(_config.disabled)", EPOCHLY_DISABLE=value) == f"{disabled}\n"


def test_a_switch_that_is_neither_is_warned_of_and_off(run_python):
    done = run_python("from epochly import _config; print(_config.disabled)", check=False, EPOCHLY_DISABLE="maybe")
    assert done.stdout == "False\n" and "EPOCHLY_DISABLE='maybe' is not one of 1, true, yes, on, 0" in done.stderr


# ---- import ---------------------------------------------------------------------------------------------------------------


def test_import_brings_in_nothing_heavy_and_starts_nothing(run_python):
    out = run_python("""
        import sys
        before = set(sys.modules)
        import epochly
        heavy = {"numpy", "cloudpickle", "concurrent.futures", "asyncio", "inspect", "threading", "logging", "typing", "subprocess",
                 "socket", "multiprocessing", "pickle", "argparse", "resource", "dataclasses"}
        print(sorted(heavy & (set(sys.modules) - before)))
        import os
        print(len(os.listdir("/proc/self/task")))
    """)
    assert out == "[]\n1\n"


def test_everything_public_is_there_and_listed(run_python):
    out = run_python("""
        import epochly
        missing = [name for name in epochly.__all__ if name not in dir(epochly)]
        local = [n for n in epochly.__all__ if n not in ("Client", "Future", "TaskReport", "connect", "errors", "testing")]
        print(missing, [name for name in local if getattr(epochly, name).__doc__ is None], epochly.__version__)
        try:
            epochly.nothing
        except AttributeError as error:
            print(error)
    """)
    assert out == "[] [] 0.1.0\nmodule 'epochly' has no attribute 'nothing'\n"


def test_a_subinterpreter_is_refused_clearly(run_python):
    out = run_python("""
        try:
            import _interpreters
            number = _interpreters.create("legacy")
            run = lambda code: _interpreters.run_string(number, code)
        except ImportError:
            import _xxsubinterpreters
            number = _xxsubinterpreters.create(isolated=False)
            run = lambda code: _xxsubinterpreters.run_string(number, code)
        run("\\n".join(["try:", "    import epochly", "except ImportError as error:", "    print('refused:', error, flush=True)"]))
    """)
    assert out.startswith("refused: ") and "interpreter" in out
