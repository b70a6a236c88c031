"""Level 3 of plain Python: the processes are there, and everything but the first iteration is worth sending."""
import pytest

from epochly.loops import processes, shipping, team


@pytest.fixture(scope="session")
def started():
    found, why = team.await_started()
    assert found is not None, why
    return found


@pytest.fixture
def eager(started, monkeypatch):
    monkeypatch.setattr(processes, "SECONDS_MIN", 0.0)
    monkeypatch.setattr(processes, "BATCH_SECONDS", 0.0)
    monkeypatch.setattr(processes, "SENDING_SHARE_MAX", float("inf"))
    monkeypatch.setattr(shipping, "COPYING_SHARE_MAX", float("inf"))
