"""Bounds of what processes keep: at each edge things go on, and nothing is lost."""
import json
import stat
import sys
import urllib.error
import urllib.request

import pytest

import epochly
from epochly import _daemon, _exceptions
from tests.support.bounds import constant


def adders(count):
    return [eval(f"lambda x: x + {n}") for n in range(count)]


def test_an_executor_that_has_dropped_a_loaded_function_loads_it_again(own_cluster):
    functions = adders(constant("FUNCTIONS_LOADED_MAX", "client-py/ext/executor_functions.h") + 10)
    client = own_cluster(workers=1, cpu_slots=1).client
    for _ in range(2):
        futures = [client.submit(function, 1, level=0) for function in functions]
        assert client.gather(futures) == [n + 1 for n in range(len(functions))]


def test_a_client_that_has_forgotten_a_function_sends_it_again(client):
    functions = adders(constant("FUNCTIONS_CACHED_MAX", "client-py/ext/client_functions.h") + 10)
    for _ in range(2):
        futures = [client.submit(function, 1, level=0) for function in functions]
        assert client.gather(futures) == [n + 1 for n in range(len(functions))]


def test_json_is_read_to_a_bounded_depth(cluster):
    def status(depth):
        body = '{"a field of another version":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"
        request = urllib.request.Request(f"{cluster.http_url}/api/v1/classify", body.encode(),
                                         {"Content-Type": "application/json"}, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            assert json.load(error)["status"] == error.code
            return error.code

    bound = constant("JSON_DEPTH_MAX", "scheduler/rest/classify_request.cpp")
    assert (status(bound), status(bound + 1)) == (200, 400)


def test_a_chain_of_causes_is_cut_where_it_gets_long(client):
    links = _exceptions.CHAIN_LINKS_MAX

    def chain(length):
        error = None
        for n in range(length):
            try:
                raise ValueError(n) from error
            except ValueError as raised:
                error = raised
        raise error

    def lengths(length):
        with pytest.raises(ValueError) as caught:
            client.submit(chain, length).result()
        error, found = caught.value, 0
        assert error.args == (length - 1,)
        while error is not None:
            found += isinstance(error, ValueError)
            error = error.__cause__
        return found

    assert (lengths(links), lengths(links + 1), lengths(3 * links)) == (links, links, links)


def test_of_a_program_that_fails_the_last_lines_are_told(tmp_path, monkeypatch):
    lines = _daemon.ERROR_LINES_MAX
    fake = tmp_path / "epochly-embedded"
    loop = f"for n in range({lines + 5}): print('line', n, file=sys.stderr)"
    fake.write_text(f"#!{sys.executable}\nimport sys\n{loop}\nsys.exit(7)\n")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("EPOCHLY_BIN_DIR", str(tmp_path))
    daemon = _daemon.Daemon("epochly-embedded", [], last_event="joined")
    with pytest.raises(_daemon.DaemonFailed) as caught:
        daemon.await_event("joined", 60)
    first, *told = str(caught.value).splitlines()
    assert "exit status 7" in first and told == [f"line {n}" for n in range(5, lines + 5)]


def test_more_types_than_versions_are_kept_run_all_the_same():
    @epochly.optimize(level=2)
    def first(pair):
        return pair[0]

    versions = constant("VERSIONS_MAX", "client-py/ext/jit/function.h")
    values = [tuple([1] * n) for n in range(1, versions + 5)]
    assert [first(value) for value in values] == [1] * len(values)
    assert [first(value) for value in values] == [1] * len(values)
