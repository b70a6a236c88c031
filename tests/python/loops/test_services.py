"""Level 1 with what programs wait for: HTTP, files, subprocesses, databases; each a real one."""
import sqlite3
import subprocess
import sys
import threading
import urllib.request

import pytest
from together import SECONDS_MAX, Meeting

import epochly
from tests.bench.echo_server import EchoServer


@pytest.fixture
def server():
    """Answers each request when four wait at once."""
    meeting = Meeting(4)
    running = EchoServer(meeting.wait)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running.url
    running.shutdown()
    running.server_close()


def ran(function):
    return epochly.report(function).level, epochly.report(function).declined


def test_requests_are_on_their_way_at_once(server):
    @epochly.optimize(level=1)
    def fetch(urls):
        return [urllib.request.urlopen(url, timeout=SECONDS_MAX).read() for url in urls]

    assert fetch([f"{server}/{at}" for at in range(8)]) == [f"/{at}".encode() for at in range(8)]
    assert ran(fetch) == (1, [])


def test_with_statements_belong_to_their_iteration(server):
    @epochly.optimize(level=1)
    def fetch(urls):
        found = {}
        for url in urls:
            with urllib.request.urlopen(url, timeout=SECONDS_MAX) as answer:
                found[url] = answer.read()
        return found

    urls = [f"{server}/{at}" for at in range(4)]
    assert fetch(urls) == {url: f"/{at}".encode() for at, url in enumerate(urls)}
    assert ran(fetch) == (1, [])


def test_an_error_of_a_request_is_the_iterations(server):
    @epochly.optimize(level=1)
    def fetch(urls):
        return [urllib.request.urlopen(url, timeout=SECONDS_MAX).status for url in urls]

    with pytest.raises(ValueError, match="unknown url type"):
        fetch([f"{server}/{at}" for at in range(4)] + ["nonsense"])


def test_files_are_read_and_written_in_order(tmp_path):
    @epochly.optimize(level=1)
    def write_files(count):
        for at in range(count):
            with open(tmp_path / str(at), "w") as file:
                file.write(str(at))

    @epochly.optimize(level=1)
    def read_files(paths):
        return [open(path).read() for path in paths]  # noqa: SIM115

    write_files(300)
    assert read_files([tmp_path / str(at) for at in range(300)]) == [str(at) for at in range(300)]
    assert ran(write_files) == (1, []) and ran(read_files) == (1, [])


def test_lines_are_written_to_one_file_in_order(tmp_path):
    meeting = Meeting(4)

    @epochly.optimize(level=1)
    def write_lines(items, file):
        for item in items:
            file.write(f"{meeting.wait(item)}\n")

    with open(tmp_path / "lines", "w") as file:
        write_lines(range(8), file)
    assert (tmp_path / "lines").read_text().split("\n") == [*map(str, range(8)), ""]
    assert ran(write_lines) == (1, [])


def test_subprocesses_run_side_by_side(tmp_path):
    """Each waits for the other's file."""
    code = ("import pathlib, sys, time\n"
            "mine, other = map(pathlib.Path, sys.argv[1:])\n"
            "mine.touch()\n"
            "end = time.monotonic() + 20\n"
            "while not other.exists() and time.monotonic() < end: time.sleep(0.01)\n"
            "print(other.exists())\n")

    @epochly.optimize(level=1)
    def run(pairs):
        return [subprocess.check_output([sys.executable, "-c", code, *pair], text=True) for pair in pairs]

    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    assert run([(one, two), (two, one)]) == ["True\n", "True\n"]
    assert ran(run) == (1, [])


def test_each_iteration_with_a_sqlite_connection_of_its_own(tmp_path):
    path = tmp_path / "rows.db"
    with sqlite3.connect(path) as db:
        db.execute("create table rows (id integer, name text)")
        db.executemany("insert into rows values (?, ?)", [(at, f"name {at}") for at in range(100)])
    db.close()
    meeting = Meeting(4)

    def query(number):
        meeting.wait()
        own = sqlite3.connect(path)
        try:
            return own.execute("select name from rows where id = ?", (number,)).fetchone()[0]
        finally:
            own.close()

    @epochly.optimize(level=1)
    def all_names(numbers):
        return [query(number) for number in numbers]

    assert all_names(range(8)) == [f"name {at}" for at in range(8)]
    assert ran(all_names) == (1, [])


def test_a_sqlite_connection_that_threads_may_share_still_stays_on_its_thread():
    db = sqlite3.connect(":memory:", check_same_thread=False)

    @epochly.optimize(level=1)
    def query_db(queries):
        return [db.execute(query).fetchone()[0] for query in queries]

    assert query_db(["select 1", "select 2"]) == [1, 2]
    assert ran(query_db)[0] == 0
