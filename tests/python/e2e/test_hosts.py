"""A cluster over a network: tokens, workers on other hosts, cables that are pulled."""
import os
import subprocess
import sys
import time

import pytest

import epochly
from epochly._daemon import program
from tests.support.hosts import TOKEN, until

SHARED_FROM = 64 << 10  # bytes from which a buffer travels through shared memory on one host


def can_run_this_python(user):
    try:
        done = subprocess.run([sys.executable, "-c", "import epochly.executor"], capture_output=True, user=user, cwd="/")
        return done.returncode == 0
    except PermissionError:
        return False


def test_workers_on_two_other_hosts_share_the_work(hosts, scheduler, cluster, token_file):
    two = hosts(2)
    for host in two:
        cluster.join(host, scheduler, token_file)
    with epochly.connect(f"tcp://127.0.0.1:{scheduler}", token=TOKEN) as client:
        until(lambda: len(client.workers()) == 2)
        futures = [client.submit(time.sleep, 0.2, level=0) for _ in range(6)]
        client.gather(futures)
        assert {future.placement.worker for future in futures} == {host.ip for host in two}


@pytest.mark.parametrize("level", [0, 1])
def test_large_values_travel_both_ways_between_hosts(hosts, scheduler, cluster, token_file, level):
    [host] = hosts(1)
    cluster.join(host, scheduler, token_file)
    with epochly.connect(f"tcp://127.0.0.1:{scheduler}", token=TOKEN) as client:
        until(lambda: len(client.workers()) == 1)
        for size in (SHARED_FROM - 1, SHARED_FROM, 20 << 20):
            assert client.submit(bytearray, size, level=level).result(60) == bytes(size)
            assert client.submit(len, bytes(size), level=level).result(60) == size
        copies = client.submit(lambda buffer: [bytes(bytearray(buffer)) for _ in range(3)], os.urandom(SHARED_FROM), level=level)
        buffers = copies.result(60)
        assert len(set(buffers)) == 1 and len(buffers) == 3


def test_what_is_too_large_for_a_message_between_hosts_is_a_clear_error(hosts, scheduler, cluster, token_file):
    [host] = hosts(1)
    cluster.join(host, scheduler, token_file)
    with epochly.connect(f"tcp://127.0.0.1:{scheduler}", token=TOKEN) as client:
        with pytest.raises(epochly.errors.PayloadTooLarge, match="over the limit"):
            client.submit(bytes, 33 << 20, level=0).result(60)
        assert client.submit(pow, 2, 5).result(60) == 32


def test_large_values_reach_executors_of_another_user_and_come_back(scheduler, cluster, token_file):
    if os.geteuid() != 0:
        pytest.skip("only root can run executors as another user")
    if not can_run_this_python("nobody"):
        pytest.skip("the user nobody cannot run this Python: it is in a private directory")
    cluster.run([program("epochly-worker"), "--scheduler", f"tcp://127.0.0.1:{scheduler}", "--token-file", token_file, "--python",
         sys.executable, "--cpu-slots", "1", "--executor-user", "nobody"], "joined")
    with epochly.connect(f"tcp://127.0.0.1:{scheduler}", token=TOKEN) as client:
        assert client.submit(os.geteuid).result(60) != os.geteuid()
        assert client.submit(bytes, 1 << 20).result(60) == bytes(1 << 20)
        assert client.submit(len, bytes(1 << 20)).result(60) == 1 << 20


def test_without_the_token_a_worker_is_refused_and_says_so(hosts, scheduler, cluster, token_file, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text("not-the-token-of-this-test-0123456")
    wrong.chmod(0o600)
    [host] = hosts(1)
    refused = cluster.join(host, scheduler, str(wrong))
    assert refused.said is None
    _, errors = refused.process.communicate(timeout=30)
    assert refused.process.returncode == 2
    assert "token" in errors


def test_without_the_token_a_client_is_refused(scheduler):
    with pytest.raises(epochly.errors.AuthenticationError, match="token"):
        epochly.connect(f"tcp://127.0.0.1:{scheduler}", token="not-the-token-of-this-test-0123456")


def test_a_pulled_cable_moves_the_work_and_plugged_in_again_the_worker_comes_back(hosts, scheduler, cluster, token_file):
    cut, well = hosts(2)
    cluster.join(cut, scheduler, token_file)
    with epochly.connect(f"tcp://127.0.0.1:{scheduler}", token=TOKEN) as client:
        until(lambda: len(client.workers()) == 1)
        held = client.submit(time.sleep, 1, level=0)
        until(lambda: client.workers()[0]["load"]["inflight"] == 1)
        cut.unplug()
        cluster.join(well, scheduler, token_file)
        assert held.result(60) is None
        assert held.placement.worker == well.ip
        assert held.placement.attempt == 2
        cut.plug()
        until(lambda: {w["name"] for w in client.workers()} == {cut.ip, well.ip}, 60)
        assert client.metrics()["succeeded"] == 1


def test_a_wide_address_without_a_token_is_refused_at_the_start():
    refused = subprocess.run([program("epochly-scheduler"), "--listen", "tcp://0.0.0.0:0"], capture_output=True, text=True,
                             timeout=30, env={**os.environ})
    assert refused.returncode == 2
    assert "--token-file" in refused.stderr
    assert refused.stdout == ""
