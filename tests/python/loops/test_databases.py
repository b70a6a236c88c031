"""Level 1 with the database servers that Debian has, started here: Redis and PostgreSQL."""
import glob
import os
import pwd
import shutil
import subprocess
import tempfile
import time

import pytest
from together import SECONDS_MAX, Meeting

import epochly


def until(ready, process):
    """Waits until a server that was started answers."""
    end = time.monotonic() + SECONDS_MAX
    while True:
        try:
            return ready()
        except Exception:
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.02)


@pytest.fixture(scope="module")
def redis_client():
    redis = pytest.importorskip("redis")
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    with tempfile.TemporaryDirectory(prefix="epochly-redis-") as folder:
        path = os.path.join(folder, "socket")
        server = subprocess.Popen([program, "--port", "0", "--unixsocket", path, "--save", "", "--dir", folder],
                                  stdout=subprocess.DEVNULL)
        try:
            client = redis.Redis(unix_socket_path=path)
            until(client.ping, server)
            yield client
            client.close()
        finally:
            server.terminate()
            server.wait()


@pytest.fixture(scope="module")
def postgres():
    """Where a server listens."""
    psycopg = pytest.importorskip("psycopg")
    programs = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))
    if not programs:
        pytest.skip("postgresql is not installed")
    # The server refuses to be root.
    as_user = {"user": "postgres", "group": pwd.getpwnam("postgres").pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
    folder = tempfile.mkdtemp(prefix="epochly-postgres-")
    if as_user:
        os.chown(folder, pwd.getpwnam("postgres").pw_uid, as_user["group"])
    server = None
    try:
        data, initdb = os.path.join(folder, "data"), os.path.join(os.path.dirname(programs[-1]), "initdb")
        subprocess.run([initdb, "-D", data, "-U", "tests", "-A", "trust", "--no-sync"], check=True, cwd=folder,
                       stdout=subprocess.DEVNULL, **as_user)
        server = subprocess.Popen([programs[-1], "-D", data, "-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}",
                                   "-c", "fsync=off"], cwd=folder, stderr=subprocess.DEVNULL, **as_user)
        where = f"host={folder} user=tests dbname=postgres"
        until(lambda: psycopg.connect(where).close(), server)
        yield where
    finally:
        if server is not None:
            server.terminate()
            server.wait()
        shutil.rmtree(folder)


def ran(function):
    return epochly.report(function).level, epochly.report(function).declined


def test_redis_commands_that_wait_for_each_other(redis_client):
    @epochly.optimize(level=1)
    def pass_on(count):
        got = []
        for item in range(count):
            redis_client.rpush(f"go {(item + 1) % count}", item)
            got.append(redis_client.blpop(f"go {item}", timeout=SECONDS_MAX))
        return got

    assert pass_on(4) == [(f"go {item}".encode(), str((item - 1) % 4).encode()) for item in range(4)]
    assert ran(pass_on) == (1, [])


def test_redis_keys_are_read_in_order(redis_client):
    for item in range(200):
        redis_client.set(f"key {item}", item)

    @epochly.optimize(level=1)
    def read(keys):
        return {key: int(redis_client.get(key)) for key in keys}

    keys = [f"key {item}" for item in range(200)]
    assert list(read(keys).items()) == list(zip(keys, range(200)))
    assert ran(read) == (1, [])


def test_queries_on_one_postgres_connection(postgres):
    import psycopg

    with psycopg.connect(postgres) as db:
        @epochly.optimize(level=1)
        def query_db(queries):
            return [db.execute(query).fetchone()[0] for query in queries]

        assert query_db([f"select {item} * 2" for item in range(50)]) == [item * 2 for item in range(50)]
        assert ran(query_db) == (1, [])


def test_a_postgres_connection_for_each_iteration(postgres):
    import psycopg

    meeting = Meeting(4)

    @epochly.optimize(level=1)
    def totals(numbers):
        found = []
        for number in numbers:
            with psycopg.connect(postgres) as db:
                meeting.wait()
                found.append(db.execute("select sum(n) from generate_series(1, %s) n", [number]).fetchone()[0])
        return found

    assert totals([1, 10, 100, 1000]) == [1, 55, 5050, 500500]
    assert ran(totals) == (1, [])


def test_an_error_of_the_database_is_the_iterations(postgres):
    import psycopg

    @epochly.optimize(level=1)
    def run(queries):
        found = []
        for query in queries:
            with psycopg.connect(postgres) as db:
                found.append(db.execute(query).fetchone()[0])
        return found

    with pytest.raises(psycopg.errors.UndefinedTable, match="nowhere"):
        run(["select 1", "select * from nowhere", "select 2"])
