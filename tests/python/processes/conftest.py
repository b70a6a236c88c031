"""Level 3 of plain Python: the processes are there, and everything but the first iteration is worth sending."""
import pytest

from tests.support import level3


@pytest.fixture(scope="session")
def started():
    return level3.started()


@pytest.fixture
def eager(started, monkeypatch):
    level3.send_everything(monkeypatch.setattr)
