"""docs/promises.md says of every promise how it is checked, and what it names is there."""
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "promises.md").read_text()
PROMISED, CHECKED = PAGE.split("## How it is checked\n")

PROMISES = re.findall(r"^\d\. \*\*(.+?)\.\*\*", PROMISED, re.M)
EVENTS = re.findall(r"^\| \*\*(.+?)\*\*", PROMISED, re.M)
NAMED = re.findall(r"`([^`\s]+)`", CHECKED.split("\n\n", 1)[1])
CPP_TESTS = {f"{suite}.{name}" for path in (ROOT / "tests").rglob("*.cpp")
             for suite, name in re.findall(r"^TEST(?:_[FP])?\((\w+), (\w+)\)", path.read_text(), re.M)}


def exists(name):
    path, _, test = name.partition("::")
    if not path.endswith(".py"):
        return name in CPP_TESTS
    path = ROOT / "tests" / "python" / path
    return path.is_file() and (not test or f"\ndef {test}(" in path.read_text())


def test_there_are_five_promises_and_a_table():
    assert len(PROMISES) == 5 and len(EVENTS) >= 9 and len(NAMED) >= 20


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_names_what_checks_it(promise):
    checks = re.search(rf"^\*\*{re.escape(promise)}\*\*\n((?:- .*\n)+)", CHECKED, re.M)
    assert checks and "`" in checks[1]


@pytest.mark.parametrize("event", EVENTS)
def test_a_line_of_the_table_names_what_checks_it(event):
    assert re.search(rf"^\| \*\*{re.escape(event)}\*\* \| `", CHECKED, re.M)


@pytest.mark.parametrize("name", NAMED)
def test_what_is_named_is_there(name):
    assert exists(name)
