"""Each test of the local API begins at level 0, outside every context."""
import pytest

from epochly import _native


@pytest.fixture(autouse=True)
def no_level_set():
    _native.set_process_level(-1)
    yield
    _native.set_process_level(-1)
