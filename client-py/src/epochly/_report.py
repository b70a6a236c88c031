"""What became of a function's calls, for people."""
from __future__ import annotations

import sys
import weakref

from epochly import _config, _native
from epochly._optimize import _PLACEMENTS, find
from epochly.levels import MULTICORE, NAMES, select_with_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# By decorated function: how its last call on the cluster ran (a TaskReport).
_on_cluster: Any = weakref.WeakKeyDictionary()


def note_cluster(function, ran):
    _on_cluster[function] = ran


TRIAL = ("arguments", "stage", "level", "ms", "plain_ms", "trials", "why")


class Report:
    """What became of a decorated function's calls. ``str()`` of it is a table.

    name: of the function, with its module
    level: the level that ran last; None before the first call
    asked: the level that call asked for; "auto" where one is chosen for it, here or by the cluster
    declined: [(level, reason)] of the levels that did not run it
    placement: "local" or "cluster": where the last call ran, or the next would; placement_reason: why
    workers: how many workers of a cluster ran parts of the last call at level 3; 0: it ran here, or on processes of its own
    recommended: the level that suits what was measured; recommended_reason: why
    timings: {level: {"calls": n, "total_ms": x, "avg_ms": x}} of the timed calls at each level that ran
    trials: what was tried for calls without a level, a dict per argument shape: "arguments"; "stage", one of "watched", "tried",
        "kept" and "refused"; "level"; "ms" of a call at that level and "plain_ms" of one at level 0, None if there was none;
        "trials" so far; "why"
    metrics: get_metrics(function)
    """

    __slots__ = ("name", "level", "asked", "declined", "placement", "placement_reason", "workers", "recommended",
                 "recommended_reason", "timings", "trials", "metrics", "__weakref__")

    name: str
    level: int | None
    asked: int | str | None
    declined: list[tuple[int, str]]
    placement: str
    placement_reason: str
    workers: int
    recommended: int
    recommended_reason: str
    timings: dict[int, dict[str, float]]
    trials: list[dict[str, Any]]
    metrics: dict[str, Any]

    def __init__(self, **fields: Any) -> None:
        for name, value in fields.items():
            setattr(self, name, value)

    def __repr__(self) -> str:
        level = "not called yet" if self.level is None else f"level {self.level}"
        return f"<Report of {self.name}: {level}, {self.metrics['total_calls']} calls, recommended level {self.recommended}>"

    def __str__(self) -> str:
        rows = [("level", self._level_text())]
        rows += [("declined", f"{level} {NAMES[level]}: {reason}") for level, reason in self.declined]
        rows += [("placement", f"{self.placement}: {self.placement_reason}")]
        if self.workers:
            rows += [("workers", f"{self.workers} of the cluster ran parts of the last call")]
        rows += [("recommended", f"{self.recommended} {NAMES[self.recommended]}: {self.recommended_reason}")]
        rows += [(f"at level {level}", f"{t['calls']} calls, {t['avg_ms']:.6g} ms each") for level, t in self.timings.items()]
        rows += [(row["stage"], _trial_text(row)) for row in self.trials]
        rows += [(key, _shown(value)) for key, value in self.metrics.items()]
        width = max(len(key) for key, _ in rows)
        return "\n".join([self.name, *(f"  {key:<{width}}  {value}" for key, value in rows)])

    def _level_text(self) -> str:
        if self.level is None:
            return "not called yet"
        text = f"{self.level} {NAMES[self.level]}"
        return text if self.asked == self.level else f"{text}, asked for {self.asked}"


def _trial_text(row):
    return f"level {row['level']} for {row['arguments']}: {row['why'] or 'not tried yet'}"


def _shown(value):
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def report(function: Callable[..., Any]) -> Report:
    """What became of the calls of ``function``: level, refusals, placement, timings. Raises TypeError if it is not decorated."""
    decorated = find(function)
    inner, _, place, _ = _native.options(decorated)
    metrics = _native.figures(decorated)
    recommended, why = select_with_reason(metrics)
    asked, level, declined, placement, placement_reason = _last_run(decorated, _PLACEMENTS[place])
    timings = {at: {"calls": calls, "total_ms": total, "avg_ms": total / calls}
               for at, (calls, total) in _native.level_times(decorated).items()}
    return Report(name=_name(inner), level=level, asked=asked, declined=declined, placement=placement,
                  placement_reason=placement_reason, workers=_workers(inner, level), recommended=recommended,
                  recommended_reason=why, timings=timings,
                  trials=[dict(zip(TRIAL, row)) for row in _native.choice(decorated)[1]], metrics=metrics)


def _workers(inner, level):
    level3 = sys.modules.get("epochly.loops.level3")
    return level3.workers_of(inner) if level3 is not None and level == MULTICORE else 0


def _last_run(decorated, placement):
    """(asked, level, declined, placement, why there) of the last call."""
    if _config.disabled:
        return None, None, [], "local", "EPOCHLY_DISABLE is set: everything is plain Python, and nothing is measured"
    ran = _on_cluster.get(decorated)
    if ran is not None:
        where = f'placement="cluster" was asked for; worker {ran.worker}' if ran.worker else 'placement="cluster" was asked for'
        return ran.level_asked, ran.level, [tuple(d) for d in ran.declined], "cluster", where
    if placement == "cluster":
        return None, None, [], "cluster", 'placement="cluster" was asked for'
    why = 'placement="local" was asked for' if placement == "local" else "this process runs such calls itself"
    outcome = _native.outcome(decorated)
    if outcome is None:
        return None, None, [], "local", why
    asked, level, declined = outcome
    if _native.choice(decorated)[0]:
        asked = "auto"
    return asked, level, list(declined), "local", why


def _name(function):
    name = getattr(function, "__qualname__", None)
    if not isinstance(name, str):
        return repr(function)
    module = getattr(function, "__module__", None)
    return f"{module}.{name}" if isinstance(module, str) else name
