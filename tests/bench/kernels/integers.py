"""Integer kernels."""

import random

from . import kernel


def ints(n, top, seed=3):
    r = random.Random(seed)
    return [r.randrange(top) for _ in range(n)]


@kernel(30_000, lambda n: (n,))
def collatz(limit):
    best = 0
    longest = 0
    for start in range(1, limit):
        n = start
        steps = 0
        while n != 1:
            if n % 2 == 0:
                n //= 2
            else:
                n = 3 * n + 1
            steps += 1
        if steps > longest:
            longest = steps
            best = start
    return best, longest


@kernel(500_000, lambda n: (n,))
def sieve(n):
    flags = [True] * (n + 1)
    flags[0] = flags[1] = False
    i = 2
    while i * i <= n:
        if flags[i]:
            for j in range(i * i, n + 1, i):
                flags[j] = False
        i += 1
    count = 0
    for flag in flags:
        if flag:
            count += 1
    return count


@kernel(800, lambda n: (ints(n, 4, 5), ints(n, 4, 6)))
def levenshtein(a, b):
    previous = list(range(len(b) + 1))
    for i in range(len(a)):
        current = [i + 1]
        for j in range(len(b)):
            cost = 0 if a[i] == b[j] else 1
            current.append(min(previous[j + 1] + 1, current[j] + 1, previous[j] + cost))
        previous = current
    return previous[-1]


@kernel(200, lambda n: (ints(n, 90, 7), ints(n, 500, 8), 20 * n))
def knapsack(weights, values, capacity):
    best = [0] * (capacity + 1)
    for i in range(len(weights)):
        weight = weights[i]
        value = values[i]
        for room in range(capacity, weight - 1, -1):
            candidate = best[room - weight] + value
            if candidate > best[room]:
                best[room] = candidate
    return best[capacity]


@kernel(100_000, lambda n: (ints(n, 1_000_000, 9),))
def quicksort(data):
    items = data.copy()
    stack = [0, len(items) - 1]
    while len(stack) > 0:
        high = stack.pop()
        low = stack.pop()
        if low >= high:
            continue
        pivot = items[(low + high) // 2]
        i = low
        j = high
        while i <= j:
            while items[i] < pivot:
                i += 1
            while items[j] > pivot:
                j -= 1
            if i <= j:
                items[i], items[j] = items[j], items[i]
                i += 1
                j -= 1
        stack.append(low)
        stack.append(j)
        stack.append(i)
        stack.append(high)
    return items


@kernel(300_000, lambda n: (ints(n, 256, 10),))
def adler32(data):
    a = 1
    b = 0
    for byte in data:
        a = (a + byte) % 65521
        b = (b + a) % 65521
    return b << 16 | a


@kernel(300_000, lambda n: (n,))
def xorshift_histogram(n):
    counts = [0] * 16
    state = 88172645463325252 & 0xFFFFFFFF
    for _ in range(n):
        state ^= (state << 13) & 0xFFFFFFFF
        state ^= state >> 17
        state ^= (state << 5) & 0xFFFFFFFF
        counts[state & 15] += 1
    return counts


def gcd(a, b):
    while b:
        a, b = b, a % b
    return a


@kernel(700, lambda n: (n,))
def coprime_pairs(n):
    return sum(1 for a in range(1, n) for b in range(1, n) if gcd(a, b) == 1)


@kernel(9, lambda n: (n,))
def queens(n):
    columns = [0] * n
    row = 0
    found = 0
    columns[0] = -1
    while row >= 0:
        columns[row] += 1
        while columns[row] < n:
            ok = True
            for other in range(row):
                distance = columns[other] - columns[row]
                if distance == 0 or abs(distance) == row - other:
                    ok = False
                    break
            if ok:
                break
            columns[row] += 1
        if columns[row] < n:
            if row == n - 1:
                found += 1
            else:
                row += 1
                columns[row] = -1
        else:
            row -= 1
    return found
