"""epochly.connect() without an address, and LocalCluster."""
import subprocess
import sys
import types

import pytest
import tasks
from watching import gone, until

from epochly import _daemon
from epochly.testing import LocalCluster


def test_import_starts_nothing(script):
    assert script("""
        import os, subprocess, threading
        import epochly
        children = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "comm="], capture_output=True, text=True).stdout.split()
        print(threading.active_count(), children)
    """).stdout == "1 ['ps']\n"


def test_a_script_without_a_main_guard_works(script):
    assert script("""
        import epochly

        class Point:
            def __init__(self, x):
                self.x = x
            def __eq__(self, other):
                return type(other) is Point and other.x == self.x

        SCALE = 3

        def scaled(point):
            return Point(point.x * SCALE)

        client = epochly.connect()
        result = client.submit(scaled, Point(2)).result()
        print(result == Point(6), isinstance(result, Point))
        SCALE = 4
        print(client.submit(scaled, Point(2)).result().x)
        print(list(client.map(lambda x: x + SCALE, range(3))))
    """).stdout == "True True\n8\n[4, 5, 6]\n"


def test_modules_beside_the_script_can_be_imported(script, tmp_path):
    (tmp_path / "beside.py").write_text("def f(x):\n    return x + 1\n")
    assert script("""
        import beside, epochly
        print(epochly.connect().submit(beside.f, 1).result())
    """).stdout == "2\n"


def test_tasks_run_in_the_scripts_folder(script, tmp_path):
    assert script("""
        import epochly, os
        print(epochly.connect().submit(os.getcwd).result())
    """).stdout == f"{tmp_path}\n"


def test_connections_of_a_process_share_one_cluster(script):
    assert script("""
        import epochly
        a, b = epochly.connect(), epochly.connect()
        print(a.address == b.address)
        a.close()
        print(b.submit(int, "4").result())
    """).stdout == "True\n4\n"


def test_a_function_that_connects_comes_to_the_same_cluster(script):
    assert script("""
        import epochly

        def outer():
            with epochly.connect() as client:
                return client.address, client.submit(int, "5", level=1).result()

        client = epochly.connect()
        print(client.submit(outer, level=0).result() == (client.address, 5))
    """).stdout == "True\n"


def test_scheduler_and_worker_are_one_program(script):
    assert script("""
        import epochly, os, subprocess
        client = epochly.connect()
        [worker] = client.workers()
        name = open(f"/proc/{worker['pid']}/cmdline").read().split("\\0")[0].rsplit("/")[-1]
        parent = int(open(f"/proc/{worker['pid']}/stat").read().rpartition(")")[2].split()[1])
        print(name, parent == os.getpid(), client.submit(os.getppid).result() == worker["pid"])
    """).stdout == "epochly-embedded True True\n"


def test_a_crash_costs_the_embedded_cluster_one_attempt(script):
    assert script("""
        import os, epochly
        client = epochly.connect()
        pid = client.workers()[0]["pid"]
        for end in (lambda: os._exit(3), os.abort):
            try:
                client.submit(end).result()
            except epochly.errors.ExecutorDied as error:
                print("lost")
        print(list(client.map(abs, range(-1000, 0))) == list(range(1000, 0, -1)), client.workers()[0]["pid"] == pid)
    """).stdout == "lost\nlost\nTrue True\n"


def test_large_values_pass_through_the_embedded_cluster(script):
    assert script("""
        import numpy, epochly
        client = epochly.connect()
        for size in (1, 10_000, 3_000_000):
            data, text = numpy.arange(size, dtype=float), "x" * size
            assert (client.submit(numpy.negative, data).result() == -data).all()
            assert client.submit(str.upper, text).result() == text.upper()
        print("equal")
    """).stdout == "equal\n"


@pytest.mark.parametrize("arguments", [["--nonsense"], ["--listen", "unix:{}/s", "--", "--nonsense"],
                                       ["--listen", "unix:{}/s", "--", "--help"]])
def test_the_embedded_program_says_what_it_does_not_understand(arguments, tmp_path):
    command = [_daemon.program("epochly-embedded"), *(argument.format(tmp_path) for argument in arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2 and ended.stderr.splitlines()[-1].startswith("epochly-embedded: "), ended.stderr


def test_the_environments_address_is_used(cluster, script):
    assert script("""
        import epochly
        client = epochly.connect()
        print(client.address, client.submit(int, "1").result())
    """, environment={"EPOCHLY_ADDRESS": cluster.address}).stdout == f"{cluster.address} 1\n"


def test_max_workers_of_the_environment_are_the_slots(script):
    text = """
        import epochly
        print(epochly.connect().workers()[0]["slots"]["cpu"])
    """
    assert script(text, environment={"EPOCHLY_MAX_WORKERS": "3"}).stdout == "3\n"
    done = script(text, environment={"EPOCHLY_MAX_WORKERS": "many"}, check=False)
    assert done.returncode == 1 and "EPOCHLY_MAX_WORKERS=many: use a whole number" in done.stderr


def test_a_long_temporary_folder_does_not_matter(script, tmp_path):
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    assert script("""
        import epochly
        print(epochly.connect().submit(int, "1").result())
    """, environment={"TMPDIR": str(deep)}).stdout == "1\n"


def test_a_program_that_dies_young_is_reported_with_its_last_words():
    with pytest.raises(_daemon.DaemonFailed, match="(?s)epochly-scheduler ended with exit status.*--nonsense"):
        LocalCluster(scheduler_options=["--nonsense"])


def pieces_of(*chunks):
    got = []
    lines = _daemon._Lines(got.append)
    for chunk in [*chunks, b""]:
        lines.feed(chunk)
    return got


def test_a_programs_output_is_cut_into_lines():
    assert pieces_of(b"one\ntw", b"o\nthree") == ["one\n", "two\n", "three"]


def test_a_line_without_an_end_is_passed_on_in_pieces():
    bound = _daemon.LINE_BYTES_MAX
    assert pieces_of(b"x" * (bound - 1), b"\n") == ["x" * (bound - 1) + "\n"], "a line up to the bound stays whole"
    assert [len(piece) for piece in pieces_of(*[b"x" * bound] * 5, b"x\n")] == [bound] * 5 + [2]


def test_a_piece_that_ends_within_a_character_loses_none():
    text = "x" * (_daemon.LINE_BYTES_MAX - 1) + "\N{SNOWMAN}\n"
    data = text.encode()
    assert "".join(pieces_of(data[:_daemon.LINE_BYTES_MAX], data[_daemon.LINE_BYTES_MAX:])) == text
    assert "".join(pieces_of(data[:_daemon.LINE_BYTES_MAX])) == text[:-2] + "\N{REPLACEMENT CHARACTER}"


def test_a_program_that_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(_daemon, "_native", types.SimpleNamespace(__file__=str(tmp_path / "_native.so")))
    monkeypatch.setenv("EPOCHLY_BIN_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(_daemon.DaemonFailed, match="epochly-scheduler is neither in .* nor on PATH"):
        LocalCluster()


def test_a_local_cluster_has_what_a_test_needs():
    with LocalCluster(workers=2, cpu_slots=3) as cluster:
        assert cluster.address.startswith("unix:") and cluster.http_url.startswith("http://127.0.0.1:")
        workers = cluster.client.workers()
        assert sorted(worker["pid"] for worker in workers) == sorted(cluster.worker_pids)
        assert [worker["slots"]["cpu"] for worker in workers] == [3, 3]
        killed = cluster.kill_worker(0)
        assert killed not in cluster.worker_pids and len(cluster.worker_pids) == 1
        assert cluster.add_worker() in cluster.worker_pids
        pids = [*cluster.worker_pids, cluster.scheduler_pid]
    assert until(lambda: all(map(gone, pids)))


def test_workers_and_metrics_tell_what_the_cluster_does(client):
    client.gather([client.submit(tasks.add, i) for i in range(10)])
    worker = client.workers()[0]
    assert {"id", "host", "pid", "capabilities", "slots", "load"} <= set(worker)
    assert "cpu" in worker["capabilities"] and worker["python"] == f"{sys.version_info[0]}.{sys.version_info[1]}"
    metrics = client.metrics()
    assert metrics["succeeded"] >= 10 and metrics["workers"] == 2
    row = next(function for function in metrics["functions"] if function["name"] == "tasks.add")
    assert row["calls"] >= 10 and row["run_seconds_mean"] > 0 and row["errors"] == 0
    assert metrics["client"]["submitted"] == 10 and metrics["client"]["pending"] == 0
    assert client.http_url.startswith("http://") and client.connected and client.address in repr(client)


def test_a_daemon_thread_that_waits_does_not_spoil_the_end(script):
    done = script("""
        import threading, time, epochly
        future = epochly.connect().submit(time.sleep, 600)
        threads = [threading.Thread(target=future.result, daemon=True) for _ in range(5)]
        for thread in threads:
            thread.start()
        future.add_done_callback(print)
        print("end")
    """)
    assert (done.stdout.splitlines()[0], done.stderr) == ("end", "")


def test_placement_on_the_cluster_runs_there_and_reports(script):
    assert script("""
        import os
        from epochly import _cluster
        value, report = _cluster.call(os.getpid, (), {}, "auto")
        print(value != os.getpid(), report.worker is not None, _cluster.inside_executor())
        value, _ = _cluster.call(dict, (), {"level": 1, "timeout": 2}, 0)
        print(value)
        print(_cluster.call(_cluster.inside_executor, (), {}, 0)[0])
    """).stdout == "True True False\n{'level': 1, 'timeout': 2}\nTrue\n"
