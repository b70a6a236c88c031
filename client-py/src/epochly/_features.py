"""What this build of Epochly can do, on this machine."""
from __future__ import annotations

from epochly import _native
from epochly.levels import NAMES

# Feature by name: the level whose engine it is.
_ENGINES = {"monitoring": 0, "threads": 1, "jit": 2, "multicore": 3, "gpu_acceleration": 4, "gpu": 4}


def check_feature(name: str) -> bool:
    """Whether this process has the feature.

    name: "monitoring", "threads", "jit", "multicore", "gpu_acceleration" (or "gpu"): whether calls can run at that level here;
    "loop_counting": whether loops can be counted on this thread now, which a debugger or coverage prevents.
    Raises ValueError for another name.
    """
    return why_not(name) is None


def why_not(name: str) -> str | None:
    """None if this process has the feature, else a sentence that says why it has not. Raises as check_feature()."""
    if name == "loop_counting":
        return _native.loop_obstacle()
    level = _ENGINES.get(name) if isinstance(name, str) else None
    if level is None:
        raise ValueError(f"no feature is called {name!r}; there are " + ", ".join([*_ENGINES, "loop_counting"]))
    means, reason = _native.engine(level)
    return None if means else reason


def levels_here() -> dict[int, str | None]:
    """Every level, with None if calls can run at it here, else why not."""
    return {level: why_not(feature) for feature, level in _ENGINES.items() if feature != "gpu" and level < len(NAMES)}
