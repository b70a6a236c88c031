"""METG(50 %): the smallest average task granularity at which a system still does half of the work the machine can do.

Slaughter et al., "Task Bench: A Parameterized Benchmark for Evaluating Parallel Runtime Performance", SC20: granularity is
wall time x cores / tasks; efficiency is the rate of work over the best rate seen on this machine.
"""
import math

EFFICIENCY = 0.5


def peak_rate(point_lists):
    """Iterations per second at best, over all points of all systems of a round."""
    return max(_rate(point) for points in point_lists for point in points)


def metg_seconds(points, peak, workers):
    """Where efficiency crosses one half, between the two points around it (straight in the logarithms); None when it
    never does."""
    curve = [(_rate(point) / peak, point["seconds"] * workers / point["tasks"]) for point in points]
    for (above, coarse), (below, fine) in zip(curve, curve[1:]):
        if above >= EFFICIENCY > below:
            share = math.log(above / EFFICIENCY) / math.log(above / below)
            return coarse * (fine / coarse) ** share
    return None


def _rate(point):
    return point["iterations"] * point["tasks"] / point["seconds"]
