"""`./dev lint` and `./dev format`."""
import shutil
import subprocess
import sys

from scripts.dev import cpp
from scripts.dev.console import Failures, StepFailed, run_step, say
from scripts.dev.inputs import Stamp, content_hash, files_under
from scripts.dev.paths import BUILD, ROOT
from scripts.dev.tally import Tally

LINT_VENV = ROOT / ".venv-lint"
RUFF = "ruff==0.14.*"
SHELL_SCRIPTS = ("dev", ".ci/run")


def lint():
    """Runs every linter; returns an exit code."""
    failures = Failures()
    for check in (_clang_format, _clang_tidy, _ruff_check, _shellcheck):
        with failures.collect():
            check()
    say("clean" if not failures.names else f"not clean: {', '.join(failures.names)}")
    return 1 if failures.names else 0


def quick():
    """The linters that need no build and take seconds, each counted as one test."""
    return sum((_counted(name, check) for name, check in QUICK.items()), Tally())


def _counted(name, check):
    if name != "ruff" and shutil.which(name) is None:  # ruff is installed when it is asked for
        return Tally.skip(f"lint: {name}", "not installed")
    try:
        check()
    except StepFailed:
        return Tally.failure(f"lint: {name}")
    return Tally(passed=1)


def format_sources():
    run_step("clang-format", ["clang-format", "-i", *_cpp_files()])
    run_step("ruff", [_ruff(), "check", "--no-cache", "--fix-only", "--exit-zero", "."])
    return 0


def _cpp_files():
    return [name for name in files_under(".") if name.endswith((".h", ".cpp"))]


def _clang_format():
    run_step("clang-format", ["clang-format", "--dry-run", "--Werror", *_cpp_files()])


def _clang_tidy():
    changed = [name for name in changed_files() if name.endswith(".cpp")]
    if not changed:
        say("  --      clang-tidy: no C++ file changed")
        return
    cpp.configure("release")
    run_step(f"clang-tidy on {len(changed)} changed files", ["clang-tidy", "--quiet", "-p", BUILD / "release", *changed])


def changed_files():
    """Files that differ from the upstream branch, or from HEAD where there is none; new ones included."""
    upstream = _git("merge-base", "HEAD", "@{upstream}") or _git("rev-parse", "HEAD")
    names = _git("diff", "--name-only", "--diff-filter=d", upstream.strip()) + _git("ls-files", "-o", "--exclude-standard")
    return sorted(set(names.split()))


def _git(*arguments):
    answer = subprocess.run(["git", *arguments], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return answer.stdout if answer.returncode == 0 else ""


def _ruff():
    """The path of ruff, installed into a virtual environment of its own."""
    stamp = Stamp(LINT_VENV / ".epochly-made", content_hash([], RUFF))
    if not stamp.fresh():
        run_step("make the lint environment", [sys.executable, "-m", "venv", "--clear", LINT_VENV])
        run_step("install ruff", [LINT_VENV / "bin/pip", "install", "-q", "--no-input", RUFF])
        stamp.write()
    return LINT_VENV / "bin" / "ruff"


def _ruff_check():
    run_step("ruff", [_ruff(), "check", "--no-cache", "."])


def _shellcheck():
    if shutil.which("shellcheck") is None:
        say("  --      shellcheck: not installed")
        return
    run_step("shellcheck", ["shellcheck", *SHELL_SCRIPTS])


QUICK = {"clang-format": _clang_format, "ruff": _ruff_check, "shellcheck": _shellcheck}
