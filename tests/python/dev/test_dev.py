"""./dev itself: what it says, what it counts, what it does again and what it leaves behind when it is interrupted."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from scripts.dev import commands, console, inputs, lint, suites, system, venv  # noqa: E402
from scripts.dev.tally import Tally, read_junit, read_passed_failed  # noqa: E402

# A child process that did not do its part by then never will.
DEADLINE_SECONDS = 20


def dev(*arguments, **options):
    return subprocess.run([ROOT / "dev", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=DEADLINE_SECONDS, **options)


def test_help_names_every_command():
    answer = dev("help")
    assert answer.returncode == 0
    for command in commands.COMMANDS:
        assert command.startswith("-") or command in answer.stdout


def test_an_unknown_command_prints_help_and_exits_with_2():
    answer = dev("biuld")
    assert answer.returncode == 2
    assert "no command 'biuld'" in answer.stderr and "./dev <command>" in answer.stderr


def test_arguments_need_a_suite():
    answer = dev("test", "-k", "something")
    assert answer.returncode == 2
    assert "follow a suite's name" in answer.stderr


def test_dev_works_from_any_folder(tmp_path):
    assert dev("help", cwd=tmp_path).returncode == 0


# ---- totals -----------------------------------------------------------------------------------------------------------
CTEST = """<testsuite><testcase name="A.Passes" classname="A.Passes" status="run"><system-out>ok</system-out></testcase>
<testcase name="A.Fails" classname="A.Fails" status="fail"><failure message=""/></testcase>
<testcase name="A.Skips" classname="A.Skips" status="notrun"><skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/>
<system-out>a.cpp:3: Skipped\nno GPU here\n[  SKIPPED ] A.Skips</system-out></testcase>
<testcase name="A.NotBuilt" classname="A.NotBuilt" status="notrun"/></testsuite>"""
PYTEST = """<testsuites><testsuite><testcase classname="t.test_a" name="test_passes"/>
<testcase classname="t.test_a" name="test_fails"><failure message="x">y</failure></testcase>
<testcase classname="t.test_a" name="test_errs"><error message="x">y</error></testcase>
<testcase classname="t.test_a" name="test_skips"><skipped message="needs numpy"/></testcase></testsuite></testsuites>"""


def test_ctest_counts_a_test_that_was_not_built_as_failed(tmp_path):
    (tmp_path / "j.xml").write_text(CTEST)
    tally = read_junit(tmp_path / "j.xml", "C++")
    assert tally.line() == "1 passed, 2 failed, 1 skipped"
    assert tally.failures == ["A.Fails", "A.NotBuilt"]
    assert tally.skips == [("A.Skips", "no GPU here")]


def test_pytest_counts_errors_as_failed(tmp_path):
    (tmp_path / "j.xml").write_text(PYTEST)
    tally = read_junit(tmp_path / "j.xml", "Python")
    assert tally.line() == "1 passed, 2 failed, 1 skipped"
    assert tally.failures == ["t.test_a.test_fails", "t.test_a.test_errs"]
    assert tally.skips == [("t.test_a.test_skips", "needs numpy")]


@pytest.mark.parametrize("content", [None, "<testsuites/>"])
def test_a_runner_that_ran_nothing_has_failed(tmp_path, content):
    if content:
        (tmp_path / "j.xml").write_text(content)
    assert read_junit(tmp_path / "j.xml", "Python").failed == 1


def test_the_last_verdict_of_a_program_counts():
    assert read_passed_failed("1 passed, 0 failed\nFAIL  data size: x\n7 passed, 1 failed\n") == Tally(
        passed=7, failed=1, failures=["data size: x"])
    assert read_passed_failed("crashed") is None


def test_the_simulation_is_one_test_however_many_histories_it_had_time_for():
    assert suites._sim_verdict("sim", 0, "seeds 12 from 5, 9 steps\n12 passed, 0 failed\n") == Tally(passed=1)
    bad = suites._sim_verdict("sim", 1, "FAIL seed 7: lost\nreplay: ./dev sim --seed 7\n3 passed, 1 failed\n")
    assert bad.failures == ["sim: seed 7: lost"] and bad.passed == 0
    assert suites._sim_verdict("sim", -11, "").failures == ["sim: ended with code -11"]
    assert suites._sim_verdict("sim", 0, "0 passed, 0 failed").failed == 1


def test_the_last_line_is_the_total_and_red_is_red(capsys):
    tally = Tally(passed=2) + Tally.skip("acceptance", "not here") + Tally.failure("build asan")
    assert commands.conclude(tally) == 1
    said = capsys.readouterr().out.splitlines()
    assert said == ["failed:  build asan", "skipped: acceptance: not here", "2 passed, 1 failed, 1 skipped"]
    assert commands.conclude(Tally(passed=1)) == 0


def test_nothing_run_is_not_green():
    assert commands.conclude(Tally.skip("everything", "no reason")) == 1


def test_each_quick_linter_is_a_test_and_one_that_is_missing_is_skipped(monkeypatch):
    def red():
        raise console.StepFailed("ruff")

    monkeypatch.setattr(lint, "QUICK", {"sh": lambda: None, "ruff": red, "no-such-linter": red})
    assert lint.quick() == Tally(passed=1) + Tally.failure("lint: ruff") + Tally.skip("lint: no-such-linter", "not installed")


def test_the_quick_linters_are_part_of_a_whole_run():
    assert suites.ALL["lint"] is suites.quick_lint and set(lint.QUICK) == {"clang-format", "ruff", "shellcheck"}


# ---- doing nothing twice ----------------------------------------------------------------------------------------------
def test_the_hash_changes_with_a_content_and_with_the_set_of_files(tmp_path):
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("")
    first = inputs.content_hash(["a"], root=tmp_path)
    assert inputs.content_hash(["a"], root=tmp_path) == first
    assert inputs.content_hash(["a", "b"], root=tmp_path) != first
    (tmp_path / "a").write_text("2")
    assert inputs.content_hash(["a"], root=tmp_path) != first


def test_a_stamp_written_is_fresh_for_the_same_inputs_only(tmp_path):
    inputs.Stamp(tmp_path / "deep" / ".stamp", "one").write()
    assert inputs.Stamp(tmp_path / "deep" / ".stamp", "one").fresh()
    assert not inputs.Stamp(tmp_path / "deep" / ".stamp", "two").fresh()


def test_the_sources_are_found_with_and_without_git(tmp_path):
    (tmp_path / "worker" / "__pycache__").mkdir(parents=True)
    (tmp_path / "worker" / "main.cpp").write_text("")
    (tmp_path / "worker" / "__pycache__" / "x.pyc").write_text("")
    (tmp_path / "CMakeLists.txt").write_text("")
    assert inputs.files_under("CMakeLists.txt", "worker", root=tmp_path) == ["CMakeLists.txt", "worker/main.cpp"]
    assert "scripts/dev/inputs.py" in inputs.files_under("scripts")


# ---- the system -------------------------------------------------------------------------------------------------------
def test_missing_packages_are_named():
    if not Path("/usr/bin/dpkg-query").exists():
        pytest.skip("not a Debian system")
    assert system.missing_packages(["dpkg", "no-such-package-of-debian"]) == ["no-such-package-of-debian"]


def test_another_system_is_told_what_to_install(monkeypatch, capsys):
    monkeypatch.delenv(system.NO_APT, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(console.StepFailed):
        system.ensure_packages(["libcapnp-dev", "ninja-build"])
    said = capsys.readouterr().err
    assert "libcapnp-dev ninja-build" in said and system.NO_APT in said


def test_an_old_python_is_refused_by_name(monkeypatch, capsys):
    monkeypatch.setenv("EPOCHLY_PYTHON", "no-such-python")
    with pytest.raises(console.StepFailed):
        venv.base_python()
    assert "no-such-python is not found" in capsys.readouterr().err


def test_the_build_requirements_are_those_of_the_package():
    assert any(name.startswith("scikit-build-core") for name in venv._build_requires())


def test_every_promised_python_is_looked_for():
    assert suites.PYTHON_VERSIONS == ("3.10", "3.11", "3.12", "3.13")
    assert venv.find_python("3.99") is None


# ---- steps ------------------------------------------------------------------------------------------------------------
@pytest.fixture
def logs(tmp_path, monkeypatch):
    monkeypatch.setattr(console, "LOGS", tmp_path)
    monkeypatch.setattr(console, "ROOT", tmp_path)
    return tmp_path


def test_a_failing_step_shows_the_end_of_its_log_and_where_the_whole_is(logs, capsys):
    with pytest.raises(console.StepFailed, match="a step"):
        console.run_step("a step", ["sh", "-c", "seq 100; exit 3"])
    said = capsys.readouterr().out
    assert "FAILED" in said and "        100\n" in said and "        42\n" not in said and "a-step.log" in said
    assert "42\n" in (logs / "a-step.log").read_text()


def test_a_long_line_of_a_log_is_cut_on_the_screen_and_whole_in_the_log(logs, capsys):
    with pytest.raises(console.StepFailed):
        console.run_step("a step", ["sh", "-c", "exit 3", "x" * 1000])
    said = capsys.readouterr().out
    assert "xxx ..." in said and "x" * 300 not in said and "x" * 1000 in (logs / "a-step.log").read_text()


def test_the_steps_after_a_failed_one_still_run(logs):
    failures = console.Failures()
    for name, code in (("one", "exit 1"), ("two", "exit 0"), ("three", "exit 1")):
        with failures.collect():
            console.run_step(name, ["sh", "-c", code])
    assert failures.names == ["one", "three"] and (logs / "two.log").exists()


def test_an_interrupt_lets_the_step_clean_up_and_leaves_no_stamp(tmp_path):
    """The step has two processes; both must be gone, and the clean-up of the first must have run."""
    program = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from scripts.dev import commands, console, inputs
console.LOGS = Path({str(tmp_path)!r})
def command(_):
    console.run_step("long", ["sh", "-c", "trap 'touch cleaned; exit 1' INT; sleep 1000 & echo $! > child; wait"],
                     cwd={str(tmp_path)!r})
    inputs.Stamp({str(tmp_path / "stamp")!r}, "done").write()
commands.COMMANDS["long"] = command
sys.exit(commands.main(["long"]))
"""
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    child = tmp_path / "child"
    wait_for(lambda: child.exists() and child.read_text().strip())
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 130 and "interrupted" in said
    assert (tmp_path / "cleaned").exists() and not (tmp_path / "stamp").exists()
    wait_for(lambda: not alive(int(child.read_text())))


def wait_for(condition):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
