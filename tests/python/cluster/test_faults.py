"""What is promised when things die."""
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import tasks
from watching import gone, until

import epochly


@pytest.mark.parametrize(("function", "named"), [(tasks.exit_hard, "exited with status 3"), (tasks.crash, "SIGSEGV")])
def test_a_task_that_takes_its_process_down_fails_alone_and_the_error_names_how(client, function, named):
    others = [client.submit(tasks.sleep_then, 0.01, i) for i in range(20)]
    with pytest.raises(epochly.ExecutorDied, match=named):
        client.submit(function).result()
    assert client.gather(others) == list(range(20))


def test_a_task_that_took_its_process_down_is_tried_again_as_often_as_asked(client):
    future = client.submit(tasks.exit_hard, retries=2)
    assert isinstance(future.exception(), epochly.ExecutorDied) and future.report().attempt == 3


def test_a_worker_that_is_killed_loses_nothing(own_cluster):
    cluster = own_cluster(workers=2)
    client = cluster.client
    futures = [client.submit(tasks.sleep_then, 0.005, i, level=0) for i in range(400)]
    futures[20].result()
    cluster.kill_worker(0)
    assert client.gather(futures) == list(range(400))
    assert len(client.workers()) == 1


def test_tasks_wait_for_a_worker_that_comes_later(own_cluster):
    cluster = own_cluster(workers=1)
    cluster.kill_worker(0)
    futures = [cluster.client.submit(tasks.add, i) for i in range(100)]
    cluster.add_worker()
    assert cluster.client.gather(futures) == list(range(100))


def test_a_worker_killed_every_second_under_many_tasks_loses_none(own_cluster):
    cluster = own_cluster(workers=2)
    futures = [cluster.client.submit(tasks.sleep_then, 0.001, i) for i in range(3000)]
    for _ in range(3):
        time.sleep(0.3)  # a pause between faults, not a wait for anything
        cluster.kill_worker(0)
        cluster.add_worker()
    assert cluster.client.gather(futures) == list(range(3000))


def test_a_scheduler_that_dies_ends_every_future_with_a_typed_error(own_cluster):
    cluster = own_cluster(client_options={"patience": {"reconnect": 0.2}})
    futures = [cluster.client.submit(tasks.sleep_then, 60) for _ in range(10)]
    os.kill(cluster.scheduler_pid, signal.SIGKILL)
    for future in futures:
        with pytest.raises(epochly.ConnectionLost, match="cannot reach the scheduler"):
            future.result(30)
    with pytest.raises(epochly.ConnectionLost):
        cluster.client.submit(tasks.add, 1)
    with pytest.raises(epochly.ConnectionLost):
        cluster.client.workers()


def test_a_scheduler_that_is_stopped_for_a_while_loses_nothing(own_cluster):
    cluster = own_cluster(client_options={"patience": {"silence": 0.1, "sign_of_life": 0.2}})
    futures = [cluster.client.submit(tasks.sleep_then, 0.01, i) for i in range(50)]
    cluster.pause_scheduler()
    assert until(lambda: not cluster.client.connected)
    futures += [cluster.client.submit(tasks.add, i) for i in range(50, 100)]
    cluster.resume_scheduler()
    assert cluster.client.gather(futures) == list(range(100))


def test_a_closed_client_says_so(cluster):
    client = cluster.connect()
    future = client.submit(tasks.sleep_then, 60)
    client.close()
    with pytest.raises(epochly.TaskCancelled):
        future.result(10)
    for use in (lambda: client.submit(tasks.add, 1), client.__enter__):
        with pytest.raises(epochly.ClientClosed):
            use()
    client.close()
    assert "closed" in repr(client)


def test_a_with_block_waits_for_its_tasks_and_cancels_them_after_an_exception(cluster):
    with cluster.connect() as client:
        future = client.submit(tasks.sleep_then, 0.1, "done")
    assert future.result() == "done"
    with pytest.raises(ZeroDivisionError), cluster.connect() as client:
        future = client.submit(tasks.sleep_then, 60)
        raise ZeroDivisionError
    assert future.cancelled()


def interrupted_while(text):
    """Starts a script, sends it Ctrl-C once it says "waiting"; (return code, stdout, stderr)."""
    process = subprocess.Popen([sys.executable, "-u", "-c", textwrap.dedent(text)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, start_new_session=True)
    assert process.stdout.readline() == "waiting\n"
    time.sleep(0.2)  # it says so just before it waits
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


@pytest.mark.parametrize("wait", ["future.result()", "client.gather([future])", "next(client.as_completed([future]))",
                                  "list(client.map(time.sleep, [60]))"])
def test_ctrl_c_ends_a_wait_and_the_cluster_lives_on(wait):
    code, out, err = interrupted_while(f"""
        import epochly, time
        client = epochly.connect()
        future = client.submit(time.sleep, 60, level=1)
        client.submit(int).result()
        print("waiting")
        try:
            {wait}
        except KeyboardInterrupt:
            print(client.submit(int, "5").result())
    """)
    assert (code, out) == (0, "5\n"), err


def test_ctrl_c_ends_a_submit_that_waits_for_room():
    code, out, err = interrupted_while("""
        import epochly, time
        from epochly.testing import LocalCluster
        with LocalCluster(workers=1, scheduler_options=["--tasks-max", "5"], client_options={"window_tasks": 5}) as cluster:
            futures = [cluster.client.submit(time.sleep, 60) for _ in range(10)]
            print("waiting")
            try:
                cluster.client.submit(time.sleep, 60)
            except KeyboardInterrupt:
                print("interrupted", sum(f.cancel() for f in futures))
    """)
    assert (code, out) == (0, "interrupted 10\n"), err


def test_a_forked_child_that_uses_its_parents_client_is_told_what_to_do(client):
    future = client.submit(tasks.sleep_then, 0.5, "parent")
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = []
        for use in (lambda: client.submit(tasks.add, 1), lambda: future.result(1), client.workers):
            try:
                use()
                said.append("no error")
            except epochly.ClientClosed as error:
                said.append("connect() here" if "call epochly.connect() here" in str(error) else str(error))
            except BaseException as error:
                said.append(repr(error))
        client.close()
        os.write(write_end, ";".join(said).encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        assert pipe.read().decode() == "connect() here;connect() here;connect() here"
    os.waitpid(pid, 0)
    assert future.result() == "parent", "the parent is not disturbed"


def test_a_forked_child_gets_a_cluster_of_its_own(script):
    done = script("""
        import epochly, os, sys
        client = epochly.connect()
        address = client.address
        assert client.submit(int, "1").result() == 1
        pid = os.fork()
        if pid == 0:
            own = epochly.connect()
            assert own.address != address and own.submit(int, "2").result() == 2
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert client.submit(int, "3").result() == 3
        print("both")
    """)
    assert done.stdout == "both\n"


def descendants(pid):
    """pids of the processes below ``pid``."""
    found = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.split()
    parents = dict(zip(map(int, found[::2]), map(int, found[1::2])))
    below = {pid}
    while True:
        more = {child for child, parent in parents.items() if parent in below} | below
        if more == below:
            return below - {pid}
        below = more


SPAWN = """
import epochly, sys, time
client = epochly.connect()
client.submit(int).result()
print(client.address, flush=True)
{end}
"""


SUBMIT_FOR_EVER = """
import epochly, sys, time
client = epochly.connect(sys.argv[1])
def work(data):
    time.sleep(0.001)
print("submitting", flush=True)
while True:
    client.submit(work, bytes(1000))
"""


def test_a_client_that_is_killed_while_it_submits_has_its_tasks_cancelled_and_disturbs_nobody(own_cluster):
    cluster = own_cluster(scheduler_options=["--client-grace-seconds", "0"])
    client = cluster.client
    process = subprocess.Popen([sys.executable, "-c", SUBMIT_FOR_EVER, cluster.address], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "submitting\n"
    assert until(lambda: client.metrics()["queued"] > 1000)
    futures = [client.submit(tasks.add, i) for i in range(100)]
    process.kill()
    process.communicate()
    assert client.gather(futures) == list(range(100))
    assert until(lambda: client.metrics()["queued"] == client.metrics()["running"] == 0), "each accepted task has ended"
    assert client.metrics()["cancelled"] > 0  # of those that were queued, less what ran before the loss was seen


@pytest.mark.parametrize("end", ["time.sleep(600)", "import os; os._exit(3)", "sys.exit(0)", "raise RuntimeError",
                                 "import os; os.abort()", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
                                 "client.submit(time.sleep, 600)"])
def test_the_embedded_cluster_goes_when_its_process_does_however_it_does(end, no_leak):
    process = subprocess.Popen([sys.executable, "-c", SPAWN.format(end=end)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               text=True)
    address = process.stdout.readline().strip()
    folder = os.path.dirname(address.removeprefix("unix:"))
    below = descendants(process.pid)
    if end == "time.sleep(600)":
        assert os.path.isdir(folder) and os.stat(folder).st_mode & 0o777 == 0o700 and len(below) >= 4
        process.kill()
    process.wait(30)
    process.stdout.close()
    assert until(lambda: all(map(gone, below)), 30), [pid for pid in below if not gone(pid)]
    assert until(lambda: not os.path.exists(folder), 30)
