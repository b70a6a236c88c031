"""Random programs for a while; a seed that fails is printed with its program.

Fresh seeds each time, but in continuous integration, which judges a change and not its luck: the first seeds, the same each time.
"""

import io
import os
import pathlib
import sys
import time

import pytest

pytest.importorskip("epochly._jit", reason="built without LLVM")
sys.path.insert(0, str(pathlib.Path(__file__).parents[3]))

from tests.fuzz import differential  # noqa: E402

# ./dev test runs this on four CPythons.
SECONDS = float(os.environ.get("EPOCHLY_FUZZ_SECONDS", "15"))


@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.filterwarnings("ignore")
def test_random_programs_give_what_cpython_gives():
    tally = differential.new_tally()
    out = io.StringIO()
    end, seed = time.monotonic() + SECONDS, 1 if os.environ.get("CI") else time.time_ns() % 10**12
    while time.monotonic() < end:
        differential.run(seed, tally, out)
        seed += 1
    assert not tally["mismatches"], out.getvalue()
    # Three of four compile; in as few programs as a busy machine has time for, half is five deviations off.
    assert tally["compiled programs"] > 0.5 * tally["programs"], "the generator writes what the level does not take"
