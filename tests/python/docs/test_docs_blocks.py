"""Every `python` block of the documentation is run: a page is one script, its blocks in order, with the page's line numbers.

A block that cannot be run says so in a comment right before it: <!-- not run: reason -->.
"""
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
# The slowest page starts a few clusters.
PAGE_SECONDS = 120

BLOCK = re.compile(r"^(?:<!-- not run:(?P<reason>[^\n]*)-->\n+)?```python\n(?P<code>.*?)^```$", re.M | re.S)


def blocks_of(text):
    """(line of the first line of code, code, why it is not run or None) of each python block."""
    for block in BLOCK.finditer(text):
        yield text[:block.start("code")].count("\n") + 1, block["code"], block["reason"]


def script_of(text):
    """The page's blocks at their own lines, everything else left empty; None if there is nothing to run."""
    lines = [""] * text.count("\n")
    found = False
    for first, code, reason in blocks_of(text):
        if reason is None:
            found = True
            lines[first - 1:first - 1 + code.count("\n")] = code.splitlines()
    return "\n".join(lines) + "\n" if found else None


def pages_with_code():
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES if page.is_file() and script_of(page.read_text())]


@pytest.mark.parametrize("page", pages_with_code())
def test_the_python_of_a_page_runs(page, tmp_path, environment):
    code = script_of(page.read_text())
    if "connect(" in code or "LocalCluster(" in code:
        need_programs()
    script = tmp_path / page.with_suffix(".py").name
    script.write_text(code)
    done = subprocess.run([sys.executable, "-X", "dev", "-W", "error", script], cwd=tmp_path, env=environment, capture_output=True,
                          text=True, timeout=PAGE_SECONDS)
    assert done.returncode == 0, f"{page.relative_to(ROOT)}, lines as in the page:\n{done.stderr}"


def need_programs():
    """Skips where the scheduler and the worker are not built: the blocks start them."""
    from epochly import _daemon

    try:
        _daemon.program("epochly-scheduler")
    except Exception as error:  # says where it has looked
        pytest.skip(str(error))


@pytest.mark.parametrize("page", pages_with_code())
def test_a_block_that_is_not_run_says_why(page):
    for line, _, reason in blocks_of(page.read_text()):
        assert reason is None or reason.strip(), f"{page.name}:{line}"


def test_blocks_keep_their_lines_and_marked_ones_are_left_out():
    page = ("# Page\n\n```python\na = 1\n```\ntext\n<!-- not run: for show -->\n```python\nb = 2\n```\n"
            "```sh\nls\n```\n```python\nc = 3\n```\n")
    lines = script_of(page).splitlines()
    assert (lines[3], lines[14]) == ("a = 1", "c = 3")
    assert [line for line in lines if line] == ["a = 1", "c = 3"]
