"""Stands in for `./dev` and `pip` in the documentation's shell blocks: checks that what is asked for exists."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from scripts.dev import commands, cpp, suites  # noqa: E402


def dev(arguments):
    name, rest = arguments[0], arguments[1:]
    assert name in commands.COMMANDS, f"./dev has no command {name}"
    if name == "test" and rest:
        assert rest[0] in suites.NAMED, f"./dev test has no suite {rest[0]}"
    if name == "build" and rest:
        assert rest[0] in cpp.PRESETS, f"./dev build has no preset {rest[0]}"


def pip(arguments):
    assert arguments[0] == "install"
    for wanted in (word for word in arguments[1:] if not word.startswith("-")):
        path, _, extras = wanted.rstrip("]").partition("[")
        package = ROOT / path if path.startswith(".") else ROOT / "client-py"
        assert path.startswith(".") or path == "epochly-client", f"pip install {wanted}: not ours"
        declared = re.findall(r"^(\w+) = \[", (package / "pyproject.toml").read_text(), re.M)
        assert all(extra in declared for extra in extras.split(",") if extra), f"no such extra: {wanted}"


if __name__ == "__main__":
    {"dev": dev, "pip": pip}[sys.argv[1]](sys.argv[2:])
