"""A clear error for each, and nothing lost: the task after it runs."""
import os
import socket
import sys
import threading

import pytest
import tasks

import epochly
from epochly import serialize
from epochly.testing import LocalCluster


@pytest.fixture(autouse=True)
def the_next_task_runs(client):
    yield
    assert client.submit(tasks.add, 1, 1).result() == 2


LOCK = threading.Lock()


def uses_lock():
    return LOCK


def make_generator():
    return (i for i in range(3))


def test_an_unpicklable_function_names_what_it_refers_to(client):
    lock = threading.Lock()

    def holds_lock():
        return lock

    what_to_do = "holds_lock cannot be sent .*'lock'.*pass what it needs as arguments"
    with pytest.raises(epochly.FunctionNotPicklable, match=what_to_do) as caught:
        client.submit(holds_lock)
    assert isinstance(caught.value, TypeError) and caught.value.__cause__ is not None


def test_a_function_that_is_too_large_says_so(client):
    data = os.urandom(serialize.FUNCTION_BYTES_MAX)
    with pytest.raises(epochly.FunctionNotPicklable, match="over the limit of 16777216: pass large data as arguments"):
        client.submit(lambda: data)


@pytest.mark.parametrize(("args", "kwargs", "named"), [
    ((1, threading.Lock()), {}, r"argument 1 \(a _thread.lock\)"),
    ((), {"b": threading.Lock()}, r"argument 'b' \(a _thread.lock\)")])
def test_an_unpicklable_argument_is_named(client, args, kwargs, named):
    with pytest.raises(epochly.ArgumentsNotPicklable, match=named):
        client.submit(tasks.identity, *args, **kwargs)


def test_an_argument_that_does_not_load_on_the_worker(client):
    with pytest.raises(epochly.ArgumentsNotPicklable, match="cannot be loaded on the worker: RuntimeError: cannot be loaded"):
        client.submit(tasks.identity, tasks.Unloadable()).result()


def test_an_unpicklable_result_names_its_type(client):
    with pytest.raises(epochly.ResultNotPicklable, match="returned a generator that cannot be sent back"):
        client.submit(make_generator).result()


def test_a_result_that_does_not_load_here(client):
    future = client.submit(tasks.unloadable)
    with pytest.raises(epochly.ResultNotPicklable, match="cannot be loaded here .*cannot be loaded"):
        future.result()
    assert isinstance(future.exception(), epochly.ResultNotPicklable)


def test_a_function_whose_module_the_worker_lacks(client, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def f():\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)  # after the workers have started
    import only_here

    with pytest.raises(epochly.FunctionUnavailable, match="there is no module 'only_here'.*PYTHONPATH") as caught:
        client.submit(only_here.f).result()
    assert sys.executable in str(caught.value)


def test_a_name_that_the_workers_version_of_a_module_lacks(client, monkeypatch):
    def newer():
        return 1

    newer.__qualname__ = "newer"
    newer.__module__ = "tasks"
    monkeypatch.setattr(tasks, "newer", newer, raising=False)
    with pytest.raises(epochly.FunctionUnavailable, match="another version without that name"):
        client.submit(newer).result()


def test_bytecode_of_another_python_waits_for_a_worker_that_has_it_and_then_says_so(own_cluster, monkeypatch):
    client = own_cluster(scheduler_options=["--unfit-grace-seconds", "0"]).client
    real = serialize.describe

    def of_another_python(function):
        facts = list(real(function))
        facts[4] = 3 << 8 | 99
        return tuple(facts)

    monkeypatch.setattr(serialize, "describe", of_another_python)
    with pytest.raises((epochly.NoFittingWorker, epochly.FunctionUnavailable), match="3.99"):
        client.submit(lambda: 1).result()


def test_arguments_over_the_limit_of_a_message(client):
    client._native.facts()
    with LocalCluster(workers=0) as apart:  # no worker, so no shared memory
        with pytest.raises(epochly.PayloadTooLarge, match="over the limit of 33554432"):
            apart.client.submit(len, bytes(34 << 20))


@pytest.mark.parametrize("address", ["nonsense", "tcp://", "unix:", "http://127.0.0.1:1", "tcp://host:99999", "unix:" + "x" * 200])
def test_what_is_not_an_address_is_a_value_error(address):
    with pytest.raises(ValueError, match="use unix:PATH or tcp://HOST:PORT"):
        epochly.connect(address)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.parametrize("address", ["unix:/nowhere/at/all.sock", lambda: f"tcp://127.0.0.1:{free_port()}"], ids=["unix", "tcp"])
def test_an_address_where_nobody_listens_is_a_connection_error_that_names_it(address):
    address = address() if callable(address) else address
    with pytest.raises(epochly.ConnectionFailed, match=f"cannot reach the scheduler at {address}") as caught:
        epochly.connect(address, connect_timeout=0)
    assert isinstance(caught.value, ConnectionError)


def test_a_server_that_speaks_something_else_is_a_connection_error():
    with socket.create_server(("127.0.0.1", 0)) as server:
        def talk():
            connection, _ = server.accept()
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)
            connection.close()

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(epochly.ConnectionFailed):
            epochly.connect(f"tcp://127.0.0.1:{server.getsockname()[1]}", connect_timeout=0)
        thread.join()


def test_a_full_queue_is_waited_out_and_nothing_is_dropped(own_cluster):
    client = own_cluster(scheduler_options=["--tasks-max", "50", "--retry-after-ms", "1"]).client
    assert client.gather([client.submit(tasks.add, i) for i in range(1000)]) == list(range(1000))
    assert client.metrics()["client"]["refusals"] > 0


def test_a_full_queue_is_overloaded_to_who_does_not_wait(own_cluster, tmp_path):
    cluster = own_cluster(scheduler_options=["--tasks-max", "10", "--retry-after-ms", "1"])
    client = cluster.connect(overload_patience=0.2, window_tasks=10)
    gate = tmp_path / "gate"
    futures = []
    with pytest.raises(epochly.Overloaded, match="takes no more tasks"):
        for _ in range(100):
            futures.append(client.submit(tasks.wait_for_file, str(gate), level=0))
    gate.touch()
    assert client.gather(futures) == [str(gate)] * len(futures) and len(futures) >= 10
    client.close()


def test_a_token_is_asked_for_and_checked(own_cluster, tmp_path):
    token = tmp_path / "token"
    token.write_text("a" * 64 + "\n")
    token.chmod(0o600)
    cluster = own_cluster(workers=0, scheduler_options=["--token-file", str(token)], client_options={"token": b"a" * 64})
    assert cluster.client.workers() == []
    for wrong in (b"", b"b" * 64):
        with pytest.raises(epochly.AuthenticationError):
            cluster.connect(token=wrong)
    with epochly.connect(cluster.address, token_file=token) as client:
        assert client.connected
    with epochly.connect(cluster.address, token="a" * 64) as client:
        assert client.connected


@pytest.mark.parametrize(("content", "mode"), [("short", 0o600), ("a" * 64, 0o644)])
def test_a_token_file_that_cannot_be_one_is_refused_before_connecting(tmp_path, content, mode):
    token = tmp_path / "token"
    token.write_text(content)
    token.chmod(mode)
    with pytest.raises(epochly.InvalidTask, match="token"):
        epochly.connect("unix:/nowhere", token_file=token)
