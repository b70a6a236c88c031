"""The test suites of `./dev test`: each runs, prints its steps and returns its Tally."""
import os
import re
from dataclasses import dataclass

from scripts.dev import cpp, lint, system, venv
from scripts.dev.console import StepFailed, log_of, run_step, say, show_tail
from scripts.dev.paths import BUILD, RESULTS, ROOT
from scripts.dev.tally import Tally, read_junit, read_passed_failed

# Fresh seeds for this long in every run.
SIM_SECONDS = 30
# And under each sanitizer, where a history takes about ten times as long.
SIM_SANITIZED_SECONDS = 10
# Random programs of level 2 with fresh seeds, in a whole run and in what continuous integration waits for.
FUZZ_SECONDS = 60
FUZZ_CORE_SECONDS = 20
# The CPythons we promise.
PYTHON_VERSIONS = ("3.10", "3.11", "3.12", "3.13")
# Beside the checkout on the project's machines: every example of the guide, checked.
ACCEPTANCE = ROOT.parent / "shared" / "acceptance" / "seed_examples.py"
ACCEPTANCE_LEVELS = "0,1,2,3"
# What is run on every CPython: all of tests/python but ./dev itself and what needs several hosts.
SDK_TESTS = tuple(f"tests/python/{folder}" for folder in
                  ("local", "loops", "jit", "multicore", "processes", "cluster", "structure", "examples", "docs"))


@dataclass
class Context:
    """What the suites share."""
    environment: venv.Environment  # with the SDK
    arguments: list                # after the suite's name on the command line: for ctest or pytest
    tools: list                    # folders to put on PATH

    def env(self, environment=None):
        """Environment variables of a test program that belongs to a virtual environment."""
        bin_folder = (environment or self.environment).path / "bin"
        path = [str(folder) for folder in (bin_folder, *self.tools)] + [os.environ.get("PATH", "")]
        return {"PATH": ":".join(path), "EPOCHLY_PROGRAMS": str(BUILD / "release")}


def quick_lint(_):
    """Formatting, ruff and shellcheck; clang-tidy is `./dev lint`'s."""
    try:
        system.ensure_packages(system.QUICK_LINT_PACKAGES)
    except StepFailed as error:
        return Tally.failure(f"lint: {error}")
    return lint.quick()


def unit(context):
    junit = cpp.ctest("release", context.arguments, name="C++ tests", env=context.env())
    return _report("C++ tests", read_junit(junit, "C++ tests"))


def sim(context):
    return _simulate("release", SIM_SECONDS)


def python(context):
    return _pytest(context, context.environment, ["tests/python"])


def docs(context):
    return _pytest(context, context.environment, ["tests/python/docs"], name="documentation")


def acceptance(context):
    name = "guide acceptance"
    if not ACCEPTANCE.is_file():
        return Tally.skip(name, "shared/acceptance/seed_examples.py is not beside this checkout")
    command = [context.environment.python, ACCEPTANCE, "--levels", ACCEPTANCE_LEVELS]
    code = run_step(name, command, env=context.env(), may_fail=True)
    tally = read_passed_failed(log_of(name).read_text(errors="replace"))
    if tally is None or (code != 0 and tally.failed == 0):
        tally = Tally.failure(f"{name}: ended with code {code}")
    return _report(name, tally)


def fuzz(context):
    return _fuzz(context, FUZZ_SECONDS)


def _fuzz(context, seconds):
    """A test for each level, however many programs there was time for."""
    return _fuzz_level(context, 1, "loops", seconds / 4) + _fuzz_level(context, 2, "differential", seconds) + \
        _fuzz_level(context, 3, "differential", seconds / 2)


def _fuzz_level(context, level, module, seconds):
    name = f"fuzz level {level}"
    command = [context.environment.python, "-m", f"tests.fuzz.{module}", "--seconds", str(seconds)]
    if level == 3:
        command += ["--level", "3"]
    code = run_step(name, command, env={**context.env(), "PYTHONPATH": str(ROOT)}, may_fail=True)
    log = log_of(name).read_text(errors="replace")
    seeds = "; ".join(re.findall(r"^seeds .*$", log, re.M))
    found = re.findall(r"^MISMATCH (seed \d+)", log, re.M)
    if code == 0 and seeds and not found:
        return _report(name, Tally(passed=1), note=seeds)
    return _report(name, Tally.failure(f"{name}: {', '.join(found) or f'ended with code {code}'}"))


def sanitizers(context):
    return asan(context) + tsan(context)


def asan(context):
    return _sanitized("asan", context)


def tsan(context):
    return _sanitized("tsan", context)


def pythons(context):
    """The SDK's tests on every other CPython that we promise."""
    here = ".".join(map(str, context.environment.version))
    return sum((_other_python(context, version) for version in PYTHON_VERSIONS if version != here), Tally())


def core(context):
    """What continuous integration waits for: everything but the sanitizers, the other CPythons and the minute of fresh random
    programs; 15 s of those are among the Python tests."""
    return sum((suite(context) for suite in (quick_lint, unit, sim, python, acceptance)), Tally())


# In the order of a full run: what fails soonest and most often first.
ALL = {"lint": quick_lint, "unit": unit, "sim": sim, "python": python, "acceptance": acceptance, "fuzz": fuzz,
       "pythons": pythons, "asan": asan, "tsan": tsan}
NAMED = {**ALL, "sanitizers": sanitizers, "docs": docs, "core": core}


def sim_program(preset):
    return BUILD / preset / "tests" / "sim" / "epochly_sim"


def _simulate(preset, seconds):
    name = f"simulation {preset}"
    program = sim_program(preset)
    if not program.is_file():
        return Tally.failure(f"{name}: epochly_sim was not built")
    code = run_step(name, [program, "--seconds", str(seconds)], may_fail=True)
    log = log_of(name).read_text(errors="replace")
    return _report(name, _sim_verdict(name, code, log), note="; ".join(re.findall(r"^seeds .*$", log, re.M)))


def _sim_verdict(name, code, log):
    """One test, however many histories there was time for: the total must not depend on the machine's speed."""
    histories = read_passed_failed(log)
    if code == 0 and histories is not None and histories.passed > 0 and histories.failed == 0:
        return Tally(passed=1)
    found = re.findall(r"^FAIL (seed .*)$", log, re.M)
    return Tally.failure(f"{name}: {found[0] if found else f'ended with code {code}'}")


def _sanitized(preset, context):
    """Builds with the sanitizer and runs the C++ tests and some histories of the simulation."""
    try:
        cpp.configure(preset)
        cpp.build(preset)
    except StepFailed as error:
        return Tally.failure(str(error))
    options = {"ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1",
               "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
               "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1"}
    name = f"C++ tests {preset}"
    junit = cpp.ctest(preset, context.arguments, name=name, env={**context.env(), **options})
    return _report(name, read_junit(junit, name)) + _simulate(preset, SIM_SANITIZED_SECONDS)


def _other_python(context, version):
    name = f"CPython {version}"
    base = venv.find_python(version)
    if base is None:
        return Tally.skip(name, "not installed (looked among pyenv's versions and on PATH)")
    environment = venv.Environment(ROOT / f".venv-py{version}", base)
    try:
        environment.make()
        environment.install_sdk(["demo", "test"], venv.extension_only_settings(environment))
    except StepFailed as error:
        return Tally.failure(str(error))
    return _pytest(context, environment, SDK_TESTS, name=f"Python tests on {version}")


def _pytest(context, environment, paths, name="Python tests"):
    RESULTS.mkdir(parents=True, exist_ok=True)
    junit = RESULTS / f"pytest-{environment.label}.xml"
    junit.unlink(missing_ok=True)
    command = [environment.python, "-m", "pytest", "-ra", f"--junitxml={junit}", *paths, *context.arguments]
    run_step(name, command, env=context.env(environment), may_fail=True)
    return _report(name, read_junit(junit, name))


def _report(name, tally, note=""):
    """Says how it went; when badly, with the end of the log."""
    say(f"          {tally.line()}{' ' * bool(note)}{note}")
    if tally.failed:
        show_tail(log_of(name))
    return tally
