"""The C++ side: configure by preset, build with Ninja, test with ctest."""
import os

from scripts.dev.console import run_step
from scripts.dev.inputs import Stamp, content_hash, files_under
from scripts.dev.paths import BUILD, RESULTS, ROOT

PRESETS = ("release", "debug", "asan", "tsan")
# Where the product's own sources are; what the Python package is built from, too.
SOURCES = ("CMakeLists.txt", "CMakePresets.json", "cmake", "schemas", "scheduler", "worker", "client-py")
JOBS = os.cpu_count() or 1

# ccache then knows a file again in another checkout and in another build folder. Harmless without ccache.
BUILD_ENV = {"CCACHE_BASEDIR": str(ROOT), "CCACHE_NOHASHDIR": "true", "CMAKE_BUILD_PARALLEL_LEVEL": str(JOBS)}


def configure(preset, definitions=()):
    """Configures when it never was, or when the preset, the definitions or the set of CMake files changed. (Ninja itself
    sees changes inside a CMake file.)"""
    cmake_files = [name for name in files_under(*SOURCES, "tests")
                   if name.endswith(("CMakeLists.txt", ".cmake", "main.cpp"))]
    wanted = content_hash(["CMakePresets.json"], *cmake_files, *definitions)
    stamp = Stamp(BUILD / preset / ".configured", wanted)
    if stamp.fresh() and (BUILD / preset / "build.ninja").is_file():
        return
    run_step(f"configure {preset}", ["cmake", "--preset", preset, *definitions], env=BUILD_ENV)
    stamp.write()


def build(preset, targets=()):
    """Builds all, or these targets. Goes on past an error, so that the rest can be tested; then raises StepFailed."""
    command = ["cmake", "--build", "--preset", preset, "-j", str(JOBS)]
    if targets:
        command += ["--target", *targets]
    run_step(f"build {preset}", [*command, "--", "-k", "0"], env=BUILD_ENV)


def ctest(preset, arguments=(), *, name=None, env=None):
    """Runs ctest and returns the path of its JUnit file; the caller reads the verdicts there."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    junit = RESULTS / f"ctest-{preset}.xml"
    junit.unlink(missing_ok=True)
    run_step(name or f"ctest {preset}", ["ctest", "--preset", preset, "--output-junit", junit, "-j", str(JOBS), *arguments],
             env=env, may_fail=True)
    return junit
