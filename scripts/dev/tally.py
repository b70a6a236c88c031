"""How many tests passed, failed and were skipped, whoever ran them."""
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field

# ctest and pytest both say why; a reason is one line of the report.
REASON_CHARACTERS_MAX = 160


@dataclass
class Tally:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list = field(default_factory=list)  # names of what failed
    skips: list = field(default_factory=list)     # (name, reason)

    def __add__(self, other):
        return Tally(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped,
                     self.failures + other.failures, self.skips + other.skips)

    def line(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"

    @classmethod
    def failure(cls, name):
        return cls(failed=1, failures=[name])

    @classmethod
    def skip(cls, name, reason):
        return cls(skipped=1, skips=[(name, reason)])


def read_junit(path, runner):
    """Tally of a JUnit file of ctest or pytest. A file that is missing or empty is a failure: the runner did not run."""
    if not path.is_file():
        return Tally.failure(f"{runner}: ended without a report")
    cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    if not cases:
        return Tally.failure(f"{runner}: ran no test")
    return sum((_read_case(case) for case in cases), Tally())


def _read_case(case):
    name = case.get("name")
    if case.get("classname") not in (None, "", name):
        name = f"{case.get('classname')}.{name}"
    if case.find("failure") is not None or case.find("error") is not None:
        return Tally.failure(name)
    skipped = case.find("skipped")
    if skipped is not None:
        return Tally.skip(name, _skip_reason(case, skipped))
    if case.get("status") in ("fail", "notrun", "disabled"):
        return Tally.failure(name)
    return Tally(passed=1)


def _skip_reason(case, skipped):
    """pytest puts it in the message; GoogleTest prints it on the line after the place of GTEST_SKIP."""
    said = re.search(r"Skipped\n(.+)", case.findtext("system-out", ""))
    reason = said.group(1) if said else skipped.get("message", "")
    return " ".join(reason.split())[:REASON_CHARACTERS_MAX] or "no reason given"


def read_passed_failed(text):
    """Tally of the last "3 passed, 1 failed" of a program's output; None when it said none."""
    found = re.findall(r"(\d+) passed, (\d+) failed", text)
    if not found:
        return None
    passed, failed = map(int, found[-1])
    names = re.findall(r"^FAIL(?:ED)? +(.*)$", text, re.M)
    return Tally(passed=passed, failed=failed, failures=names[:failed])
