"""Level 3 of plain Python: the processes are there, and everything but the first iteration is worth sending."""
import os

import pytest

import epochly
from epochly.loops import team
from tests.support import level3
from tests.support.hosts import TOKEN, Hosts, token_file_in, until, why_none


@pytest.fixture(scope="session")
def started():
    return level3.started()


@pytest.fixture
def eager(started, monkeypatch):
    level3.send_everything(monkeypatch.setattr)


class Workers:
    """Workers on hosts of their own, and the team that they are. `files`: a folder that they all see."""

    def __init__(self, cluster, token_file, files):
        self.cluster, self.files = cluster, files
        self.hosts = cluster.add(2)
        self.port = cluster.scheduler(token_file)
        self.programs = [cluster.join(host, self.port, token_file) for host in self.hosts]
        self.client = epochly.connect(f"tcp://127.0.0.1:{self.port}", token=TOKEN)
        until(lambda: len(self.client.workers()) == 2)
        self.team = team.Team(self.client, dict(os.environ))

    def await_idle(self):
        """Until the cluster has nothing left of what was sent to it."""
        until(lambda: (found := self.client.metrics())["running"] == found["queued"] == 0)
        until(lambda: all(worker["load"]["running"] == 0 for worker in self.client.workers()))


@pytest.fixture
def workers(tmp_path, monkeypatch):
    if why_none() is not None:
        pytest.skip(why_none())
    level3.send_everything(monkeypatch.setattr)
    with Hosts() as cluster:
        made = Workers(cluster, token_file_in(tmp_path), tmp_path)
        monkeypatch.setattr(team, "find", lambda: (made.team, None))
        with made.client:
            yield made
