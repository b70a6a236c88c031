"""Random loops at level 3, with fresh seeds (the first ones in CI); one that fails is printed with its program."""
import os
import time

import pytest

from tests.fuzz import processes as fuzz

SECONDS = float(os.environ.get("EPOCHLY_FUZZ_SECONDS", "8"))


@pytest.mark.timeout(SECONDS + 120)
def test_random_loops_give_what_plain_python_gives(eager, tmp_path):
    end, seed = time.monotonic() + SECONDS, 1 if os.environ.get("CI") else time.time_ns() % 10**12
    levels = []
    while time.monotonic() < end:
        level, difference = fuzz.compare(seed, tmp_path)
        assert difference is None, f"python -m tests.fuzz.processes {seed} 1: {difference}"
        levels.append(level)
        seed += 1
    # About half go elsewhere; in as few programs as a busy machine has time for, a quarter is far off.
    assert levels.count(3) > len(levels) / 4 or len(levels) < 20, "the generator writes what the level does not take"
