"""Debian packages: what is missing is named, then installed with apt."""
import os
import shutil
import subprocess
import sys

from scripts.dev.console import StepFailed, complain, run_step, say
from scripts.dev.paths import TOOLS

# To build and run.
BUILD_PACKAGES = [
    "g++", "cmake", "ninja-build", "ccache", "mold", "git",
    "capnproto", "libcapnp-dev", "libboost1.81-dev", "libboost-json1.81-dev", "prometheus-cpp-dev",
    "llvm-19-dev",
    "libtbb-dev",
    "libgtest-dev", "libgmock-dev",
    "python3", "python3-dev", "python3-venv",
]
# Servers that tests start.
SERVICE_PACKAGES = ["redis-server", "postgresql"]
QUICK_LINT_PACKAGES = ["clang-format", "shellcheck"]
LINT_PACKAGES = [*QUICK_LINT_PACKAGES, "clang-tidy"]
# Says that the packages are there under another name: no apt, no questions.
NO_APT = "EPOCHLY_DEV_NO_APT"


def ensure_packages(packages):
    """Returns when all are installed. Raises StepFailed, having said what to do, when they cannot be."""
    if os.environ.get(NO_APT):
        return
    if shutil.which("dpkg-query") is None or shutil.which("apt-get") is None:
        _explain_other_system(packages)
        raise StepFailed("system packages")
    missing = missing_packages(packages)
    if missing:
        _install(missing)


def missing_packages(packages):
    answer = subprocess.run(["dpkg-query", "-W", "-f", "${binary:Package} ${db:Status-Status}\n", *packages],
                            stdin=subprocess.DEVNULL, capture_output=True, text=True)
    states = [line.split() for line in answer.stdout.splitlines()]
    there = {name.split(":")[0] for name, state in states if state == "installed"}
    return [name for name in packages if name not in there]


def _install(missing):
    say(f"  installing with apt-get: {' '.join(missing)}")
    apt = _as_root(missing) + ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    run_step("apt-get update", [*apt, "update", "-q"])
    run_step("apt-get install", [*apt, "install", "-y", "-q", "--no-install-recommends", *missing])


def _as_root(missing):
    if os.geteuid() == 0:
        return []
    # Asked here, on the terminal, because steps have no stdin.
    interactive = [] if sys.stdin.isatty() else ["-n"]
    if shutil.which("sudo") and subprocess.run(["sudo", *interactive, "-v"]).returncode == 0:
        return ["sudo", "-n"]
    complain(f"dev: needs root to install packages. Run this, then again ./dev:\n  apt-get install {' '.join(missing)}")
    raise StepFailed("system packages")


def _explain_other_system(packages):
    complain("dev: this is not Debian, so nothing was installed. Install what these Debian 12 packages hold:\n"
             f"  {' '.join(packages)}\n"
             f"then run ./dev again with {NO_APT}=1.")


def ensure_promtool():
    """Returns a folder to put on PATH, or None when promtool is on it already or cannot be had.

    The Debian package would start a server, so it is unpacked instead of installed.
    """
    if shutil.which("promtool"):
        return None
    folder = TOOLS / "prometheus"
    if not (folder / "usr/bin/promtool").is_file():
        if shutil.which("apt-get") is None or os.environ.get(NO_APT):
            return None
        TOOLS.mkdir(parents=True, exist_ok=True)
        script = ("apt-get download -q prometheus && dpkg-deb -x prometheus_*.deb prometheus.new"
                  " && mv prometheus.new prometheus")
        if run_step("unpack promtool", ["sh", "-ec", script], cwd=TOOLS, may_fail=True) != 0:
            return None
    return folder / "usr/bin"
