"""Level 3 on two cores whatever the machine has, and with the user's code cache left alone."""
import os
import tempfile

import pytest

_folder = tempfile.TemporaryDirectory(prefix="epochly-code-")
os.environ.setdefault("EPOCHLY_CACHE_DIR", _folder.name)

CHUNK_NS = 2000  # short loops are split, too


@pytest.fixture(autouse=True)
def two_cores():
    from epochly import _features

    why = _features.why_not("multicore")
    if why:
        pytest.skip(why)
    from epochly import _jit

    before = _jit.cores()
    try:
        _jit.set_cores(2, CHUNK_NS)
    except RuntimeError as without:  # a build without oneTBB
        pytest.skip(str(without))
    yield
    _jit.set_cores(before)
