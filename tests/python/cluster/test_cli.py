"""The command epochly."""
import json
import os
import signal
import subprocess
import sys

import pytest
import tasks
from watching import gone, until

import epochly


def epochly_command(*arguments, timeout=60, **options):
    return subprocess.run([sys.executable, "-m", "epochly.cli", *arguments], capture_output=True, text=True, timeout=timeout,
                          **options)


def test_version_and_help():
    assert epochly_command("--version").stdout == f"epochly {epochly.__version__}\n"
    shown = epochly_command("--help")
    assert shown.returncode == 0 and "epochly run script.py" in shown.stdout and "scheduler" in shown.stdout


def test_no_command_is_a_mistake():
    assert epochly_command().returncode == 2


def test_status_shows_workers_tasks_and_functions(cluster, client):
    client.gather([client.submit(tasks.add, i) for i in range(3)])
    done = epochly_command("status", "--address", cluster.address)
    assert done.returncode == 0, done.stderr
    assert cluster.address in done.stdout and cluster.http_url in done.stdout
    assert "tasks.add" in done.stdout and "ready" in done.stdout and "cpu:1" in done.stdout
    for pid in cluster.worker_pids:
        assert str(pid) in done.stdout


def test_status_without_a_scheduler_says_so_and_fails():
    done = epochly_command("status", "--address", "unix:/nowhere.sock")
    assert done.returncode == 1 and done.stderr.startswith("epochly: cannot reach the scheduler at unix:/nowhere.sock")
    assert "Traceback" not in done.stderr
    assert "use unix:PATH" in epochly_command("status", "--address", "nonsense").stderr


def test_run_gives_a_script_a_cluster_its_arguments_and_its_folder(tmp_path):
    (tmp_path / "helper.py").write_text("def double(x):\n    return 2 * x\n")
    (tmp_path / "job.py").write_text("import sys, epochly, helper\n"
                                     "if __name__ == '__main__':\n"
                                     "    doubled = epochly.connect().submit(helper.double, int(sys.argv[1]))\n"
                                     "    print(doubled.result(), sys.argv[2:])\n")
    done = epochly_command("run", str(tmp_path / "job.py"), "21", "--flag", cwd="/")
    assert (done.returncode, done.stdout) == (0, "42 ['--flag']\n"), done.stderr


def test_run_takes_an_address(cluster, tmp_path):
    (tmp_path / "job.py").write_text("import epochly\nprint(epochly.connect().address)\n")
    done = epochly_command("run", "--address", cluster.address, str(tmp_path / "job.py"))
    assert done.stdout == f"{cluster.address}\n"


def test_run_passes_on_how_the_script_ended(tmp_path):
    (tmp_path / "job.py").write_text("import sys\nsys.exit(5)\n")
    assert epochly_command("run", str(tmp_path / "job.py")).returncode == 5
    done = epochly_command("run", str(tmp_path / "missing.py"))
    assert done.returncode == 1 and "there is no script" in done.stderr


@pytest.mark.parametrize("program", ["scheduler", "worker"])
def test_the_programs_have_their_own_help(program):
    done = epochly_command(program, "--help")
    assert done.returncode == 0 and f"epochly-{program}" in done.stdout


@pytest.mark.parametrize(("arguments", "said"), [
    (["nonsense"], "invalid choice: 'nonsense'"), (["status", "--nope"], "--nope"), (["run"], "script"),
    (["run", "--nope", "script.py"], "--nope"), (["scheduler", "--nope"], "--nope"),
    (["scheduler", "--listen", "nonsense"], "nonsense"),
    (["scheduler", "--tasks-max", "many"], "many"), (["scheduler", "--store", "disk"], "disk"), (["worker"], "--scheduler"),
    (["worker", "--scheduler", "nonsense"], "nonsense"), (["worker", "--cpu-slots", "-1"], "--cpu-slots")],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_a_wrong_flag_is_named_and_exits_with_2(arguments, said):
    done = epochly_command(*arguments)
    assert (done.returncode, done.stdout) == (2, "") and said in done.stderr and "Traceback" not in done.stderr


@pytest.fixture
def start():
    """Starts a command whose first line is an event; returns the event and the process, which is ended with the test."""
    started = []

    def start(*arguments):
        process = subprocess.Popen([sys.executable, "-m", "epochly.cli", *arguments], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, start_new_session=True)
        started.append(process)
        return json.loads(process.stdout.readline()), process

    yield start
    for process in reversed(started):
        process.kill()
        process.communicate()


def start_cluster(start, socket):
    """(the scheduler's ready event, [scheduler, worker])"""
    ready, scheduler = start("scheduler", "--listen", f"unix:{socket}", "--http", "127.0.0.1:0", "--log-level", "warning")
    assert ready["event"] == "ready"
    joined, worker = start("worker", "--scheduler", ready["address"], "--cpu-slots", "1", "--log-level", "warning")
    assert joined["event"] == "joined"
    return ready, [scheduler, worker]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_cluster_started_by_hand_works_ends_cleanly_and_may_be_started_again(start, tmp_path, number):
    socket = tmp_path / "s.sock"
    for _ in range(2):
        ready, processes = start_cluster(start, socket)
        assert oct(os.stat(socket).st_mode & 0o777) == "0o600"
        with epochly.connect(ready["address"]) as client:
            assert client.submit(pow, 2, 5).result() == 32
        for process in reversed(processes):
            os.killpg(process.pid, number)
            _, errors = process.communicate(timeout=30)
            assert (process.returncode, errors) == (0, "")
        assert not socket.exists()


def test_a_second_scheduler_on_the_same_address_says_so_and_leaves_the_first_alone(start, tmp_path):
    ready, _ = start_cluster(start, tmp_path / "s.sock")
    done = epochly_command("scheduler", "--listen", ready["address"], "--http", "off")
    assert done.returncode != 0 and "s.sock" in done.stderr and done.stdout == ""
    with epochly.connect(ready["address"]) as client:
        assert client.submit(pow, 2, 5).result() == 32


def test_after_a_kill_the_next_run_takes_the_socket_over(start, tmp_path):
    _, processes = start_cluster(start, tmp_path / "s.sock")
    for process in processes:
        process.kill()
        process.wait()
    ready, _ = start_cluster(start, tmp_path / "s.sock")
    with epochly.connect(ready["address"]) as client:
        assert client.submit(pow, 2, 5).result() == 32


def test_ctrl_c_ends_a_script_and_its_cluster_and_the_next_run_begins_anew(tmp_path, no_leak):
    (tmp_path / "job.py").write_text("import time, epochly\n"
                                     "client = epochly.connect()\n"
                                     "future = client.submit(time.sleep, 600)\n"
                                     "print(client.address, *(row['pid'] for row in client.workers()), flush=True)\n"
                                     "future.result()\n")
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-m", "epochly.cli", "run", tmp_path / "job.py"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, start_new_session=True)
        address, worker = process.stdout.readline().split()
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == -signal.SIGINT and errors.rstrip().endswith("KeyboardInterrupt")
        assert until(lambda worker=worker: gone(worker))
        assert until(lambda address=address: not os.path.exists(os.path.dirname(address.removeprefix("unix:"))))
