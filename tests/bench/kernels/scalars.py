"""Kernels whose arguments are a few numbers."""

import math

from . import kernel


@kernel(300, lambda n: (n, 200))
def mandelbrot(size, limit):
    inside = 0
    for py in range(size):
        y0 = 2.0 * py / size - 1.0
        for px in range(size):
            x0 = 3.0 * px / size - 2.0
            x = 0.0
            y = 0.0
            n = 0
            while x * x + y * y <= 4.0 and n < limit:
                x, y = x * x - y * y + x0, 2.0 * x * y + y0
                n += 1
            if n == limit:
                inside += 1
    return inside


@kernel(300, lambda n: (n, 200))
def mandelbrot_complex(size, limit):
    inside = 0
    for py in range(size):
        for px in range(size):
            c = complex(3.0 * px / size - 2.0, 2.0 * py / size - 1.0)
            z = 0j
            n = 0
            while abs(z) <= 2.0 and n < limit:
                z = z * z + c
                n += 1
            if n == limit:
                inside += 1
    return inside


def eval_a(i, j):
    return 1.0 / ((i + j) * (i + j + 1) // 2 + i + 1)


@kernel(300, lambda n: (n,))
def spectral_norm(n):
    u = [1.0] * n
    v = [0.0] * n
    w = [0.0] * n
    for _ in range(5):
        for i in range(n):
            s = 0.0
            for j in range(n):
                s += eval_a(i, j) * u[j]
            w[i] = s
        for i in range(n):
            s = 0.0
            for j in range(n):
                s += eval_a(j, i) * w[j]
            v[i] = s
        for i in range(n):
            s = 0.0
            for j in range(n):
                s += eval_a(i, j) * v[j]
            w[i] = s
        for i in range(n):
            s = 0.0
            for j in range(n):
                s += eval_a(j, i) * w[j]
            u[i] = s
    vbv = vv = 0.0
    for i in range(n):
        vbv += u[i] * v[i]
        vv += v[i] * v[i]
    return math.sqrt(vbv / vv)


@kernel(1_000_000, lambda n: (n,))
def leibniz_pi(n):
    s = 0.0
    for k in range(n):
        s += (-1.0 if k % 2 else 1.0) / (2 * k + 1)
    return 4 * s


@kernel(200_000, lambda n: (n, 0.0, 3.0))
def simpson(n, a, b):
    h = (b - a) / n
    total = math.sin(a) * math.exp(-a) + math.sin(b) * math.exp(-b)
    for i in range(1, n):
        x = a + i * h
        total += (4.0 if i % 2 else 2.0) * math.sin(x) * math.exp(-x)
    return total * h / 3.0


@kernel(300_000, lambda n: (n, 12345))
def monte_carlo_pi(n, seed):
    hits = 0
    state = seed
    for _ in range(n):
        state = (state * 1103515245 + 12345) % 2147483648
        x = state / 2147483648.0
        state = (state * 1103515245 + 12345) % 2147483648
        y = state / 2147483648.0
        if x * x + y * y <= 1.0:
            hits += 1
    return 4.0 * hits / n


@kernel(28, lambda n: (n,))
def fibonacci(n):
    if n < 2:
        return n
    return fibonacci(n - 1) + fibonacci(n - 2)


def newton_step(x, a):
    return 0.5 * (x + a / x)


@kernel(100_000, lambda n: (n,))
def newton_roots(n):
    total = 0.0
    for i in range(1, n):
        x = float(i)
        for _ in range(6):
            x = newton_step(x, float(i))
        total += x
    return total
