"""Virtual environments with the SDK in them, made when missing, refreshed when what they were made from changed."""
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from scripts.dev.console import StepFailed, complain, run_step
from scripts.dev.cpp import BUILD_ENV, SOURCES
from scripts.dev.inputs import Stamp, content_hash, files_under
from scripts.dev.paths import BUILD, PACKAGE, ROOT, VENV

PYTHON_MIN = (3, 10)


class Environment:
    """A virtual environment at ``path``, of the interpreter ``base``."""

    def __init__(self, path, base):
        self.path = Path(path)
        self.base = base
        self.python = self.path / "bin" / "python"
        self.version = _version(base)

    @property
    def label(self):
        return self.path.name

    def pip(self, name, *arguments):
        run_step(name, [self.python, "-m", "pip", "install", "-q", "--no-input", *arguments], env=BUILD_ENV)

    def make(self):
        """Makes it, with what the SDK is built with, unless it is there and whole."""
        stamp = Stamp(self.path / ".epochly-made", content_hash([], self.base, str(self.version), *_build_requires()))
        if stamp.fresh():
            return
        run_step(f"make {self.label}", [self.base, "-m", "venv", "--clear", self.path])
        self.pip(f"build tools into {self.label}", *_build_requires())
        stamp.write()

    def stamp(self, extras, settings):
        wanted = content_hash(files_under(*SOURCES), str(self.base), ",".join(extras), *settings)
        return Stamp(self.path / ".epochly-installed", wanted)

    def install_sdk(self, extras, settings):
        """Installs ./client-py unless what is there was made from the same sources. settings: for scikit-build-core."""
        stamp = self.stamp(extras, settings)
        if stamp.fresh():
            return
        stamp.clear()
        options = [f"--config-settings={setting}" for setting in settings]
        self.pip(f"install the SDK into {self.label}", "--no-build-isolation", *options, f"{PACKAGE}[{','.join(extras)}]")
        stamp.write()


def main_environment():
    return Environment(VENV, base_python())


def base_python():
    """$EPOCHLY_PYTHON, else python3. Raises StepFailed when it is too old."""
    name = os.environ.get("EPOCHLY_PYTHON", "python3")
    path = shutil.which(name)
    if path is None or _version(path) < PYTHON_MIN:
        found = "not found" if path is None else "version " + ".".join(map(str, _version(path)))
        complain(f"dev: needs Python {'.'.join(map(str, PYTHON_MIN))} or newer; {name} is {found}. "
                 "Name one in EPOCHLY_PYTHON.")
        raise StepFailed("find a Python")
    return _real_path(path)


def find_python(version):
    """Path of CPython ``version`` ("3.12") among pyenv's and on PATH, or None."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"), reverse=True)
    on_path = shutil.which(f"python{version}")
    for candidate in [*candidates, *([on_path] if on_path else [])]:
        if _version(candidate)[:2] == tuple(map(int, version.split("."))):
            return _real_path(candidate)
    return None


def _version(python):
    """(major, minor) of an interpreter, (0, 0) when it does not run."""
    return _ask(python, "list(sys.version_info[:2])", (0, 0))


def _real_path(python):
    """The interpreter itself, past a pyenv shim, whose meaning depends on the folder one is in."""
    return _ask(python, "sys.executable", (str(python),), one=True)


def _ask(python, expression, otherwise, one=False):
    answer = subprocess.run([python, "-c", f"import json, sys; print(json.dumps({expression}))"], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True)
    if answer.returncode != 0:
        return otherwise[0] if one else otherwise
    value = json.loads(answer.stdout)
    return value if one else tuple(value)


def _build_requires():
    """The [build-system] requires of client-py/pyproject.toml. (tomllib came with Python 3.11.)"""
    text = (PACKAGE / "pyproject.toml").read_text()
    return json.loads(re.search(r"^requires\s*=\s*(\[.*?\])", text, re.M | re.S).group(1))


def release_definitions(environment):
    """What `cmake --preset release` needs to make the extension for this environment."""
    return ["-DEPOCHLY_PYTHON=ON", f"-DPython_EXECUTABLE={environment.python}"]


def shared_tree_settings():
    """For scikit-build-core: the wheel is made in build/release, where the C++ tests are built too, so nothing is compiled
    twice."""
    return [f"build-dir={BUILD / 'release'}", "cmake.define.EPOCHLY_TESTS=ON"]


def extension_only_settings(environment):
    """For scikit-build-core: the extension alone, for another CPython. The programs do not depend on it and are those of
    build/release."""
    version = ".".join(map(str, environment.version))
    return [f"build-dir={BUILD / f'py{version}'}", "build.targets=epochly_native;epochly_level2",
            f"cmake.define.EPOCHLY_PROGRAMS={BUILD / 'release'}"]


def clean():
    """Removes every virtual environment and everything built."""
    for path in [BUILD, VENV, *ROOT.glob(".venv-py3*"), ROOT / ".venv-lint", ROOT / ".bench-venv", ROOT / ".bench-numba",
                 ROOT / ".bench-joblib"]:
        shutil.rmtree(path, ignore_errors=True)
