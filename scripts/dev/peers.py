"""The systems that `./dev bench` measures beside ours, in an environment of their own."""
from scripts.dev.console import run_step, say
from scripts.dev.inputs import Stamp, content_hash
from scripts.dev.paths import ROOT

PEERS_VENV = ROOT / ".bench-venv"
# What pip calls them. One that cannot be installed is left out of the tables, and said so.
PACKAGES = ("ray", "distributed")
NUMBA_VENV = ROOT / ".bench-numba"
JOBLIB_VENV = ROOT / ".bench-joblib"


def ensure_peers(base):
    """Path of an interpreter that has the peers that could be installed. base: the interpreter to make it from."""
    python = PEERS_VENV / "bin" / "python"
    stamp = Stamp(PEERS_VENV / ".epochly-made", content_hash([], base, *PACKAGES))
    if stamp.fresh():
        return python
    run_step("make .bench-venv", [base, "-m", "venv", "--clear", PEERS_VENV])
    codes = [run_step(f"install {package} for the bench", [python, "-m", "pip", "install", "-q", "--no-input", package],
                      may_fail=True) for package in PACKAGES]
    for package, code in zip(PACKAGES, codes):
        if code != 0:
            say(f"        {package} could not be installed (build/logs): its rows will be missing")
    if not any(codes):
        stamp.write()
    return python


def ensure_numba(environment):
    """Path of an interpreter that has Numba, where it can be installed, and everything that ``environment`` has."""
    return _ensure_beside(environment, NUMBA_VENV, "numba")


def ensure_joblib(environment):
    """The same with joblib."""
    return _ensure_beside(environment, JOBLIB_VENV, "joblib")


def _ensure_beside(environment, folder, package):
    python = folder / "bin" / "python"
    stamp = Stamp(folder / ".epochly-made", content_hash([], environment.base, package))
    if stamp.fresh():
        return python
    run_step(f"make {folder.name}", [environment.base, "-m", "venv", "--clear", folder])
    code = run_step(f"install {package} for the bench", [python, "-m", "pip", "install", "-q", "--no-input", package, "numpy"],
                    may_fail=True)
    for packages in folder.glob("lib/python*/site-packages"):
        ours = next(environment.path.glob("lib/python*/site-packages"))
        (packages / "epochly-environment.pth").write_text(f"import site; site.addsitedir({str(ours)!r})\n")
    if code != 0:
        say(f"        {package} could not be installed (build/logs): its columns will be missing")
    else:
        stamp.write()
    return python
