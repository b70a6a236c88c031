"""The functions of the optimisation guide."""

import random

from . import kernel


def floats(n, seed=1):
    r = random.Random(seed)
    return [r.random() * 1000 for _ in range(n)]


def pairs(n, seed=2):
    r = random.Random(seed)
    return [(r.random() * 10 - 5, r.random() * 10) for _ in range(n)]


@kernel(1_000_000, lambda n: (floats(n),))
def compute_heavy(data):
    result = 0
    for x in data:
        result += x ** 2 + x ** 0.5
    return result


def complex_transform(r):
    a, b = r
    s = 0.0
    for k in range(1, 60):
        s += (a * k) % 7 + (b / k)
    return s


@kernel(20_000, lambda n: (pairs(n),))
def transform(records):
    return [complex_transform(r) for r in records]
