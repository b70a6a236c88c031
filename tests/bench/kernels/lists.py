"""Kernels over lists of floats and lists of lists."""

import math
import random

from . import kernel
from .guide import floats


def matrix(n, seed):
    r = random.Random(seed)
    return [[r.random() + (5.0 * n if i == j else 0.0) for j in range(n)] for i in range(n)]


def bodies(_):
    return [
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 39.47841760435743],
        [4.84143144246472, -1.16032004402742, -0.10362204447112, 0.60632639299583,
         2.81198684491626, -0.02521836165988, 0.03769367487039],
        [8.34336671824458, 4.1247985641243, -0.40352341711432, -1.01077434617879,
         1.82566237123041, 0.00841576137658, 0.01128632613196],
        [12.8943695621391, -15.1111514016986, -0.22330757889266, 1.08279100644154,
         0.86871301816961, -0.01083263740136, 0.00172372405706],
        [15.3796971148509, -25.9193146099879, 0.17925877295037, 0.97909073224390,
         0.59469899864768, -0.03475595555078, 0.00203368686993],
    ]


@kernel(20_000, lambda n: (bodies(n), n, 0.01))
def nbody(system, steps, dt):
    for _ in range(steps):
        for i in range(len(system)):
            a = system[i]
            for j in range(i + 1, len(system)):
                b = system[j]
                dx = a[0] - b[0]
                dy = a[1] - b[1]
                dz = a[2] - b[2]
                d2 = dx * dx + dy * dy + dz * dz
                mag = dt / (d2 * math.sqrt(d2))
                a[3] -= dx * b[6] * mag
                a[4] -= dy * b[6] * mag
                a[5] -= dz * b[6] * mag
                b[3] += dx * a[6] * mag
                b[4] += dy * a[6] * mag
                b[5] += dz * a[6] * mag
        for body in system:
            body[0] += dt * body[3]
            body[1] += dt * body[4]
            body[2] += dt * body[5]
    energy = 0.0
    for i in range(len(system)):
        a = system[i]
        energy += 0.5 * a[6] * (a[3] ** 2 + a[4] ** 2 + a[5] ** 2)
    return energy


@kernel(100, lambda n: (matrix(n, 1), matrix(n, 2)))
def matmul_lists(a, b):
    n = len(a)
    result = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(n):
            s = 0.0
            for k in range(n):
                s += a[i][k] * b[k][j]
            result[i][j] = s
    return result


@kernel(100, lambda n: (matrix(n, 3),))
def lu_decompose(source):
    n = len(source)
    a = [row.copy() for row in source]
    for k in range(n):
        for i in range(k + 1, n):
            a[i][k] /= a[k][k]
            factor = a[i][k]
            for j in range(k + 1, n):
                a[i][j] -= factor * a[k][j]
    return a


@kernel(100, lambda n: (matrix(n, 4), 1.25, 10))
def sor(grid, omega, iterations):
    n = len(grid)
    for _ in range(iterations):
        for i in range(1, n - 1):
            above = grid[i - 1]
            row = grid[i]
            below = grid[i + 1]
            for j in range(1, n - 1):
                row[j] = omega * 0.25 * (above[j] + below[j] + row[j - 1] + row[j + 1]) + (1.0 - omega) * row[j]
    return grid


@kernel(100, lambda n: (matrix(n, 5),))
def floyd_warshall(distance):
    n = len(distance)
    for k in range(n):
        for i in range(n):
            for j in range(n):
                through = distance[i][k] + distance[k][j]
                if through < distance[i][j]:
                    distance[i][j] = through
    return distance


@kernel(4096, lambda n: (floats(n, 6), floats(n, 7)))
def fft(re, im):
    n = len(re)
    j = 0
    for i in range(1, n):
        bit = n >> 1
        while j & bit:
            j ^= bit
            bit >>= 1
        j |= bit
        if i < j:
            re[i], re[j] = re[j], re[i]
            im[i], im[j] = im[j], im[i]
    length = 2
    while length <= n:
        angle = -2.0 * math.pi / length
        for start in range(0, n - length + 1, length):
            for k in range(length // 2):
                wr = math.cos(angle * k)
                wi = math.sin(angle * k)
                p = start + k
                q = p + length // 2
                tr = wr * re[q] - wi * im[q]
                ti = wr * im[q] + wi * re[q]
                re[q] = re[p] - tr
                im[q] = im[p] - ti
                re[p] += tr
                im[p] += ti
        length *= 2
    return re, im


@kernel(200_000, lambda n: (floats(n, 8),))
def prefix_sum(data):
    out = []
    total = 0.0
    for x in data:
        total += x
        out.append(total)
    return out


def normal_cdf(x):
    k = 1.0 / (1.0 + 0.2316419 * abs(x))
    poly = k * (0.319381530 + k * (-0.356563782 + k * (1.781477937 + k * (-1.821255978 + k * 1.330274429))))
    tail = 0.3989422804014327 * math.exp(-0.5 * x * x) * poly
    return 1.0 - tail if x >= 0.0 else tail


@kernel(50_000, lambda n: ([50 + x / 10 for x in floats(n, 9)], 100.0, 1.5, 0.02, 0.3))
def black_scholes(spots, strike, years, rate, volatility):
    root = math.sqrt(years)
    prices = []
    for spot in spots:
        d1 = (math.log(spot / strike) + (rate + 0.5 * volatility ** 2) * years) / (volatility * root)
        d2 = d1 - volatility * root
        prices.append(spot * normal_cdf(d1) - strike * math.exp(-rate * years) * normal_cdf(d2))
    return prices


@kernel(20_000, lambda n: (list(zip(floats(n, 10), floats(n, 11))), [(100.0, 100.0), (500.0, 500.0), (900.0, 200.0)]))
def kmeans_step(points, centres):
    sums = [(0.0, 0.0)] * len(centres)
    counts = [0] * len(centres)
    for x, y in points:
        best = 0
        nearest = math.inf
        for index, (cx, cy) in enumerate(centres):
            d = (x - cx) * (x - cx) + (y - cy) * (y - cy)
            if d < nearest:
                nearest = d
                best = index
        sx, sy = sums[best]
        sums[best] = (sx + x, sy + y)
        counts[best] += 1
    return [(sx / c, sy / c) if c else (0.0, 0.0) for (sx, sy), c in zip(sums, counts)]


@kernel(50_000, lambda n: (floats(n, 12), [0.05, 0.25, 0.4, 0.25, 0.05]))
def convolution(signal, taps):
    half = len(taps) // 2
    out = []
    for i in range(len(signal)):
        s = 0.0
        for k in range(len(taps)):
            at = i + k - half
            if 0 <= at < len(signal):
                s += signal[at] * taps[k]
        out.append(s)
    return out


@kernel(300_000, lambda n: (floats(n, 13),))
def mean_variance(data):
    n = 0
    mean = 0.0
    m2 = 0.0
    for x in data:
        n += 1
        delta = x - mean
        mean += delta / n
        m2 += delta * (x - mean)
    return mean, m2 / (n - 1)


@kernel(300_000, lambda n: (floats(n, 14), [0.5, -1.25, 2.0, 0.125, -0.75]))
def horner(xs, coefficients):
    out = []
    for x in xs:
        y = 0.0
        for c in reversed(coefficients):
            y = y * x + c
        out.append(y)
    return out


@kernel(200_000, lambda n: (floats(n, 15),))
def largest_drawdown(prices):
    peak = prices[0]
    worst = 0.0
    for p in prices:
        peak = max(peak, p)
        worst = max(worst, (peak - p) / (peak + 1.0))
    return worst
