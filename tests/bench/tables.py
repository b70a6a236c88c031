"""Rounds of raw figures, peer by peer, made into tables with their targets.

`rounds` is a list of {peer name: what driver.py printed}; a peer that is not there was not measured.
"""
import math

from tests.bench.metg import metg_seconds, peak_rate
from tests.bench.report import PEER_TITLES, Table, at_least, at_most, median, percentile, ratio


def tasks_table(rounds):
    """No-op tasks per second."""
    rates = _series(rounds, "tasks", lambda measured: measured["tasks"] / measured["seconds"])
    rows = [[PEER_TITLES[peer], median(rates[peer]), ratio(rates["epochly"], rates[peer])] for peer in rates]
    targets = [at_least(f"at least {bound}x {PEER_TITLES[peer]}", _ratio_of(rates, "epochly", peer), bound, "x")
               for peer, bound in (("pool", 8), ("ray", 40), ("dask", 100))]
    return Table("tasks", "No-op tasks from one client, two workers", ["", "tasks/s", "Epochly is ... times"], rows, targets)


def round_trip_table(rounds):
    """A lone task, from submit to result."""
    p50 = _series(rounds, "roundtrip", lambda times: percentile(times, 50) * 1e3)
    p99 = _series(rounds, "roundtrip", lambda times: percentile(times, 99) * 1e3)
    rows = [[PEER_TITLES[peer], median(p50[peer]), median(p99[peer])] for peer in p50]
    targets = [at_most("p50 no worse than ProcessPoolExecutor's", _ratio_of(p50, "epochly", "pool"), 1.0, "x"),
               at_most("p50 at most a fifth of Ray's", _ratio_of(p50, "epochly", "ray"), 0.2, "x")]
    return Table("roundtrip", "A lone task's round trip", ["", "p50 ms", "p99 ms"], rows, targets)


def metg_table(rounds, workers):
    """Minimum effective task granularity at 50 % efficiency."""
    found = {}
    for measured in rounds:
        points = {peer: answer["metg"] for peer, answer in measured.items() if "metg" in answer}
        peak = peak_rate(points.values())
        for peer in points:
            found.setdefault(peer, []).append(metg_seconds(points[peer], peak, workers))
    rows = [[PEER_TITLES[peer], _microseconds(found[peer])] for peer in found]
    targets = [at_most("at most 50 us", _microseconds(found.get("epochly", [])), 50, " us")]
    return Table("metg", "METG(50 %): finest task that still runs at half efficiency", ["", "us"], rows, targets)


def queue_table(measured):
    """A long queue: measured is queue_depth.measure()'s answer."""
    each = (measured["rss_full"] - measured["rss_before"] - measured["argument_bytes"]) / measured["queued"]
    rows = [["tasks queued", measured["queued"]], ["accepted in, s", measured["seconds"]],
            ["tasks/s", measured["queued"] / measured["seconds"]], ["scheduler, bytes a task beyond arguments", each],
            ["client, bytes a task", measured["client_bytes"] / measured["queued"]],
            ["idle scheduler, MB", measured["rss_idle"] / 1e6]]
    scaled = measured["seconds"] * 1e6 / measured["queued"]
    targets = [at_most("1M tasks accepted in at most 20 s", scaled, 20, " s"),
               at_most("at most 600 bytes each beyond their arguments", each, 600, " bytes"),
               at_most("idle scheduler at most 25 MB resident", measured["rss_idle"] / 1e6, 25, " MB")]
    return Table("queue", "A long queue in the scheduler", ["", "value"], rows, targets)


def _series(rounds, table, figure):
    """{peer: [figure of each round]}, NaN where a round has none; in the order peers first appear, Epochly first."""
    peers = [peer for peer in PEER_TITLES if any(table in answer.get(peer, {}) for answer in rounds)]
    return {peer: [figure(answer[peer][table]) if table in answer.get(peer, {}) else math.nan for answer in rounds]
            for peer in peers}


def _ratio_of(series, over, under):
    return ratio(series[over], series[under]) if over in series and under in series else math.nan


def _microseconds(values):
    return median([math.nan if value is None else value * 1e6 for value in values])
