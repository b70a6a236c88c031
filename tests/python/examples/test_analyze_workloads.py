"""The main job, as a user sees it: on a pipe, on a terminal, interrupted, and with a wrong answer."""
import importlib.util
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "analyze_workloads.py"
# --quick takes some seconds; a loaded machine ten times that.
RUN_SECONDS = 180
ROWS = ("web requests", "files", "compute_heavy", "signal parts", "array slices", "large arrays", "pipeline")


@pytest.fixture(scope="module")
def example():
    """The example as a module."""
    sys.path.insert(0, str(EXAMPLE.parent))
    try:
        spec = importlib.util.spec_from_file_location("analyze_workloads", EXAMPLE)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look there
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(EXAMPLE.parent))
        sys.modules.pop("analyze_workloads", None)


@pytest.fixture(scope="module")
def output():
    ended = subprocess.run([sys.executable, EXAMPLE, "--quick"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=RUN_SECONDS)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_every_workload_has_its_row_with_its_class_and_level(output):
    rows = {name: next(line for line in output.splitlines() if line.startswith(name)) for name in ROWS}
    assert "I/O-bound" in rows["web requests"] and "1 threads" in rows["web requests"]
    assert "CPU-bound" in rows["compute_heavy"]
    for row in rows.values():
        assert re.search(r"\d\.\dx$", row) or "needs numpy" in row, row


def test_waiting_side_by_side_pays(output):
    row = next(line for line in output.splitlines() if line.startswith("web requests"))
    # Eight requests of 50 ms, one after the other in plain Python.
    assert float(re.search(r"([\d.]+)x$", row).group(1)) > 1.5


def test_it_says_where_the_metrics_are_and_quotes_them_by_level(output):
    assert re.search(r"http://127\.0\.0\.1:\d+/metrics", output)
    assert re.search(r'epochly_task_phase_seconds_count\{.*phase="run"', output)
    assert re.search(r"curl -s http://127\.0\.0\.1:\d+/api/v1/", output)
    assert "plain Python's, to the last bit" in output


def test_no_line_is_wider_than_a_hundred_columns(output):
    for line in output.splitlines():
        assert len(line) <= 100, line


def test_on_a_terminal_it_draws(tmp_path):
    pytest.importorskip("rich")
    parent, child = pty.openpty()
    process = subprocess.Popen([sys.executable, EXAMPLE, "--quick"], stdin=child, stdout=child, stderr=child, close_fds=True,
                               env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"})
    os.close(child)
    said = read_all(parent)
    assert process.wait(RUN_SECONDS) == 0, said
    assert "\x1b[" in said and "━" in said  # colours and a progress bar
    assert all(name in said for name in ROWS)


def test_ctrl_c_ends_it_and_its_cluster():
    process = subprocess.Popen([sys.executable, EXAMPLE, "--quick", "--stay"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("The cluster stays"):
            break
    programs = children_of(process.pid)
    assert programs
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=RUN_SECONDS)
    assert "Traceback" not in errors
    assert process.returncode == 0  # --stay is ended that way
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in programs))


def test_ctrl_c_in_the_middle_is_quiet():
    process = subprocess.Popen([sys.executable, EXAMPLE], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("measuring"):
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=RUN_SECONDS)
    assert process.returncode == 130 and "Traceback" not in errors, errors


# ---- a wrong answer ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("expected", "answers", "equal"), [
    ([1, 2], [1, 2], True), ([1, 2], [1, 2.0], False), ([1.0], [1.0000000000000002], False), ([1], [1, 2], False),
    ([[1, "a"]], [[1, "a"]], True), ([[True]], [[1]], False)])
def test_answers_are_compared_with_their_types(example, expected, answers, equal):
    assert example.same(expected, answers) is equal


def test_a_wrong_answer_is_shown_and_fails_the_run(example, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["analyze_workloads.py", "--quick"])
    monkeypatch.setattr(example, "workloads", lambda *_: [example.Workload("sums", example.compute_heavy, [[1.0], [4.0]])])
    monkeypatch.setattr(example, "run_plain", lambda workload: ([0, 0], 0.1))
    assert example.main() == 1
    said = capsys.readouterr().out
    assert "WRONG ANSWERS: sums" in said


def test_without_numpy_the_array_rows_say_so(example, monkeypatch):
    monkeypatch.setattr(example, "numpy", None)
    rows = [example.row(example.analyze(None, workload)) for workload in example.array_workloads(1)]
    assert [row[:2] for row in rows] == [["array slices", "needs numpy"], ["large arrays", "needs numpy"]]


def read_all(descriptor):
    chunks = []
    while True:
        try:
            chunks.append(os.read(descriptor, 65536))
        except OSError:  # EIO: the other end is closed
            return b"".join(chunks).decode("utf-8", "replace")
        if not chunks[-1]:
            return b"".join(chunks).decode("utf-8", "replace")


def children_of(pid):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(stat.parent.name))
        except (OSError, ValueError):
            continue
    return found


def wait_until(condition):
    deadline = time.monotonic() + RUN_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
