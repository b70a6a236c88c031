"""Level 3 of plain Python: the processes are there, and everything but the first iteration is worth sending."""
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))

from tests.support import level3  # noqa: E402


@pytest.fixture(scope="session")
def started():
    return level3.started()


@pytest.fixture
def eager(started, monkeypatch):
    level3.send_everything(monkeypatch.setattr)
