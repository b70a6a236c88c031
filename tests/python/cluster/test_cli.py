"""The command epochly."""
import json
import os
import signal
import subprocess
import sys

import pytest
import tasks

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


def test_a_scheduler_and_a_worker_started_by_hand_make_a_cluster(tmp_path):
    socket = tmp_path / "s.sock"
    started = []

    def start(*arguments):
        started.append(subprocess.Popen([sys.executable, "-m", "epochly.cli", *arguments], stdout=subprocess.PIPE, text=True))
        return json.loads(started[-1].stdout.readline())

    try:
        ready = start("scheduler", "--listen", f"unix:{socket}", "--http", "127.0.0.1:0", "--log-level", "warning")
        assert ready["event"] == "ready" and oct(os.stat(socket).st_mode & 0o777) == "0o600"
        assert start("worker", "--scheduler", ready["address"], "--cpu-slots", "1", "--log-level", "warning")["event"] == "joined"
        with epochly.connect(ready["address"]) as client:
            assert client.submit(pow, 2, 5).result() == 32
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            process.stdout.close()
