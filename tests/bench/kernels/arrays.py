"""Kernels over numpy arrays, element by element."""

from . import kernel


def array(shape, seed):
    import numpy

    return numpy.random.default_rng(seed).random(shape)


@kernel(400, lambda n: (array((n, n), 7),))
def complex_calculation(matrix):
    total = 0.0
    for i in range(matrix.shape[0]):
        row = 0.0
        for j in range(matrix.shape[1]):
            row += (matrix[i, j] * 1.5 - 0.25) ** 2
        total += row
    return total


@kernel(120, lambda n: (array((n, n), 8), array((n, n), 9), array((n, n), 10)))
def matmul_arrays(a, b, out):
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            s = 0.0
            for k in range(a.shape[1]):
                s += a[i, k] * b[k, j]
            out[i, j] = s
    return out


@kernel(200, lambda n: (array((n, n), 11), array((n, n), 12), 5))
def heat(grid, other, steps):
    n, m = grid.shape
    for _ in range(steps):
        for i in range(1, n - 1):
            for j in range(1, m - 1):
                around = grid[i - 1, j] + grid[i + 1, j] + grid[i, j - 1] + grid[i, j + 1]
                other[i, j] = grid[i, j] + 0.1 * (around - 4.0 * grid[i, j])
        grid, other = other, grid
    return grid


@kernel(300_000, lambda n: (array(n, 13), array(n, 14), 1.5))
def saxpy(x, y, a):
    for i in range(len(x)):
        y[i] = a * x[i] + y[i]
    return y


@kernel(300_000, lambda n: ((array(n, 15) * 64).astype("int64"),))
def histogram(codes):
    counts = [0] * 64
    for code in codes:
        counts[code] += 1
    return counts


@kernel(300_000, lambda n: (array(n, 16),))
def argmax(x):
    best = 0
    for i in range(len(x)):
        if x[i] > x[best]:
            best = i
    return best


@kernel(300, lambda n: (array((n, 3), 17),))
def pairwise_minimum(points):
    nearest = 1e300
    for i in range(points.shape[0]):
        for j in range(i + 1, points.shape[0]):
            d = 0.0
            for k in range(3):
                t = points[i, k] - points[j, k]
                d += t * t
            if d < nearest:
                nearest = d
    return nearest
