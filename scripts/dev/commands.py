"""The commands of ./dev and what they need before they run."""
import signal

from scripts.dev import cpp, lint, peers, suites, system, venv
from scripts.dev.console import Failures, StepFailed, complain, run_in_foreground, say
from scripts.dev.paths import BUILD
from scripts.dev.tally import Tally

HELP = """./dev <command>

  demo [--quick] [--stay]
                         set up everything and run the main job, examples/analyze_workloads.py; --stay keeps its cluster
                         until Ctrl-C
  test [suite] [args]    set up everything and run every test, or one suite; args go to ctest or pytest
                         suites: {suites}
  sim [--seed N]         run the simulation for 30 s, or replay one history; ./dev sim --help has more
  fuzz [--programs N]    random programs at level 2 against CPython until Ctrl-C; ./dev fuzz --help has more
  build [preset]         build; presets: {presets} (default release)
  lint                   clang-format, clang-tidy on changed files, ruff, shellcheck
  format                 clang-format and ruff, in place
  bench [table ...]      side by side with ProcessPoolExecutor, Ray and Dask; ./dev bench --help names the tables
  bench scheduler        the scheduler alone: CPU time and memory per task
  bench loops            level 1 side by side with a hand-written thread pool, level 3 of plain Python with joblib, of compiled
                         loops with Numba, two workers in network namespaces with one
  bench interrupt        from Ctrl-C to KeyboardInterrupt, at every level
  bench jit              level 2 side by side with Numba; ./dev bench jit --help has more
  clean                  remove what was built and the virtual environments
  help                   this

EPOCHLY_PYTHON names the Python for .venv (default python3). Logs are in build/logs.
""".format(suites=" ".join(suites.NAMED), presets=" ".join(cpp.PRESETS))

# What the SDK's wheel is made of; the C++ tests are the rest.
PRODUCT_TARGETS = ["epochly_native", "epochly_level2", "epochly-scheduler", "epochly-worker", "epochly-embedded"]
# Of client-py/pyproject.toml. One environment for demo, tests and bench: going from one to the other costs nothing.
EXTRAS = ["demo", "test"]
# Exit code of a program that was interrupted, as shells have it.
INTERRUPTED = 130
USAGE = 2


def main(arguments):
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    name, rest = (arguments[0], arguments[1:]) if arguments else ("help", [])
    command = COMMANDS.get(name)
    if command is None:
        complain(f"dev: there is no command {name!r}\n\n{HELP}")
        return USAGE
    try:
        return command(rest)
    except StepFailed as error:
        complain(f"dev: {error} failed")
        return 1
    except KeyboardInterrupt:
        complain("\ndev: interrupted; what was half done is done again next time")
        return INTERRUPTED


def show_help(_):
    say(HELP)
    return 0


def demo(arguments):
    environment = set_up()
    return run_in_foreground([environment.python, "examples/analyze_workloads.py", *arguments])


def test(arguments):
    names, rest = _suites_of(arguments)
    if rest and len(names) > 1:
        complain(f"dev: {rest[0]!r} is no suite. Arguments for ctest or pytest follow a suite's name: "
                 f"{' '.join(suites.NAMED)}")
        return USAGE
    failures = Failures()
    environment = set_up_for_tests(failures)
    context = suites.Context(environment, rest, [folder for folder in [system.ensure_promtool()] if folder])
    tally = sum((Tally.failure(name) for name in failures.names), Tally())
    for name in names:
        tally += suites.NAMED[name](context)
    return conclude(tally)


def _suites_of(arguments):
    if arguments and arguments[0] in suites.NAMED:
        return [arguments[0]], arguments[1:]
    return list(suites.ALL), arguments


def set_up():
    """All that a user needs, the SDK's environment last; returns it."""
    environment = _prepare()
    cpp.build("release", PRODUCT_TARGETS)
    environment.install_sdk(EXTRAS, venv.shared_tree_settings())
    return environment


def set_up_for_tests(failures):
    """The same and every C++ test. A C++ test that does not build does not keep the Python tests from running."""
    with failures.collect():  # without them, tests that need them are skipped
        system.ensure_packages(system.SERVICE_PACKAGES)
    environment = _prepare()
    with failures.collect():
        cpp.build("release")
    with failures.collect():
        environment.install_sdk(EXTRAS, venv.shared_tree_settings())
    return environment


def _prepare():
    system.ensure_packages(system.BUILD_PACKAGES)
    environment = venv.main_environment()
    environment.make()
    cpp.configure("release", venv.release_definitions(environment))
    return environment


def conclude(tally):
    """Prints what failed, what was skipped and why, and the one line that counts. Returns the exit code."""
    for name in tally.failures:
        say(f"failed:  {name}")
    for name, reason in tally.skips:
        say(f"skipped: {name}: {reason}")
    say(tally.line())
    return 1 if tally.failed or not tally.passed else 0


def sim(arguments):
    _prepare()
    cpp.build("release", ["epochly_sim"])
    return run_in_foreground([suites.sim_program("release"), *(arguments or ["--seconds", str(suites.SIM_SECONDS)])])


def fuzz(arguments):
    environment = set_up()
    return run_in_foreground([environment.python, "-m", "tests.fuzz.differential", *arguments])


def build(arguments):
    preset = arguments[0] if arguments else "release"
    if preset not in cpp.PRESETS:
        complain(f"dev: there is no preset {preset!r}; presets: {' '.join(cpp.PRESETS)}")
        return USAGE
    if preset == "release":
        set_up()
    else:
        system.ensure_packages(system.BUILD_PACKAGES)
        cpp.configure(preset)
    cpp.build(preset)
    return 0


def run_lint(_):
    system.ensure_packages(system.BUILD_PACKAGES + system.LINT_PACKAGES)
    return lint.lint()


def run_format(_):
    system.ensure_packages(system.LINT_PACKAGES)
    return lint.format_sources()


def bench(arguments):
    if arguments[:1] == ["scheduler"]:
        return bench_scheduler(arguments[1:])
    environment = set_up()
    if arguments[:1] == ["jit"]:
        return run_in_foreground([peers.ensure_numba(environment), "-m", "tests.bench.jit_bench", *arguments[1:]])
    if arguments[:1] == ["interrupt"]:
        return run_in_foreground([environment.python, "-m", "tests.bench.interrupt_bench", *arguments[1:]])
    if arguments[:1] == ["loops"]:
        codes = [run_in_foreground([environment.python, "-m", "tests.bench.loops_bench", *arguments[1:]]),
                 run_in_foreground([peers.ensure_joblib(environment), "-m", "tests.bench.processes_bench"]),
                 run_in_foreground([environment.python, "-m", "tests.bench.hosts_bench"]),
                 run_in_foreground([peers.ensure_numba(environment), "-m", "tests.bench.multicore_bench"])]
        return max(codes)
    peers_python = peers.ensure_peers(environment.base)
    return run_in_foreground([environment.python, "-m", "tests.bench", "--peer-python", peers_python, *arguments])


def bench_scheduler(arguments):
    """The scheduler alone, under a client and a worker in C++ that do nothing else."""
    _prepare()
    cpp.build("release", ["epochly-scheduler", "epochly_bench"])
    return run_in_foreground([BUILD / "release" / "tests" / "bench" / "epochly_bench", *arguments])


def clean(_):
    venv.clean()
    return 0


COMMANDS = {"demo": demo, "test": test, "sim": sim, "fuzz": fuzz, "build": build, "lint": run_lint, "format": run_format,
            "bench": bench, "clean": clean, "help": show_help, "--help": show_help, "-h": show_help}
