"""Random loops for a while, with fresh seeds (the first ones in CI); one that fails is printed with its program."""
import io
import os
import pathlib
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[3]))

from tests.fuzz import loops  # noqa: E402

# ./dev test runs this on four CPythons.
SECONDS = float(os.environ.get("EPOCHLY_FUZZ_SECONDS", "10"))


@pytest.mark.timeout(SECONDS + 120)
def test_random_loops_give_what_plain_python_gives():
    tally = dict.fromkeys(("programs", "spread programs", "calls", "mismatches"), 0)
    out = io.StringIO()
    end, seed = time.monotonic() + SECONDS, 1 if os.environ.get("CI") else time.time_ns() % 10**12
    while time.monotonic() < end:
        loops.run(seed, tally, out)
        seed += 1
    assert not tally["mismatches"], out.getvalue()
    assert tally["spread programs"] > 0.5 * tally["programs"], "the generator writes what the level does not take"
