"""One cluster for the tests of this folder, and what they share."""
import os
import pathlib
import subprocess
import sys
import textwrap

import pytest
from watching import PATIENCE, shared_objects, until

import epochly
from epochly.testing import LocalCluster


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(pathlib.Path(__file__).parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(2 * PATIENCE))


@pytest.fixture(scope="session")
def cluster():
    """Two workers with one processor slot each."""
    with LocalCluster(workers=2, cpu_slots=1, io_threads=32) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    client = cluster.connect()
    yield client
    client.close()


@pytest.fixture(scope="module")
def embedded_client():
    """A client of the cluster that a process without one starts for itself."""
    with epochly.connect() as connected:
        yield connected


@pytest.fixture
def own_cluster():
    """A function that makes clusters for one test, to be broken."""
    made = []

    def make(**options):
        made.append(LocalCluster(**{"workers": 1, "cpu_slots": 1, "io_threads": 8, **options}))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()


@pytest.fixture
def script(tmp_path):
    """Runs a text as a script of its own; returns the finished process."""

    def run(text, *arguments, check=True, environment=None, timeout=PATIENCE):
        path = tmp_path / "script.py"
        path.write_text(textwrap.dedent(text))
        done = subprocess.run([sys.executable, str(path), *arguments], capture_output=True, text=True, timeout=timeout,
                              cwd=tmp_path, env={**os.environ, **(environment or {})})
        if check:
            assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture
def no_leak():
    """Fails if shared memory of ours is left, after a moment in which processes may finish."""
    before = shared_objects()
    yield
    until(lambda: shared_objects() <= before)
    assert shared_objects() <= before
