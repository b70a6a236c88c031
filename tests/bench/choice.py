"""What the automatic choice costs and gains: the same calls for about a second, plain and decorated, each in a process of its own.

python -m tests.bench.choice WORKLOAD plain|chosen CALLS prints the seconds that so many calls took.
"""
import statistics
import subprocess
import sys
import time

from tests.bench.report import Table, at_most

SECONDS = 1.0
ROUNDS = 5
# Parts of the plain time: what the choice may cost where it gains nothing.
BOUND = 1.03


def squares(n):
    total = 0
    for i in range(n):
        total += i * i % 7
    return total


def words(n):
    counts = {}
    for i in range(n):
        key = str(i % 1000)
        counts[key] = counts.get(key, 0) + 1
    return len(counts)


def small(x):
    return x + 1


def waits(n):
    for _ in range(n):
        time.sleep(0.001)


def big_numbers(n):
    product = 1
    for i in range(1, n):
        product = product * i % (1 << 89)
    return product


# By name: (function, argument, what one call is).
WORKLOADS = {
    "a hot loop": (squares, 50_000),
    "a dict, which does not compile": (words, 20_000),
    "integers beyond 64 bits": (big_numbers, 20_000),
    "calls of 0.1 us": (small, 1),
    "waiting": (waits, 20),
}


def run(name, how, calls):
    function, argument = WORKLOADS[name]
    if how == "chosen":
        import epochly

        function = epochly.optimize(function)
    start = time.perf_counter()
    for _ in range(calls):
        function(argument)
    return time.perf_counter() - start


def seconds(name, how, calls):
    command = [sys.executable, "-m", "tests.bench.choice", name, how, str(calls)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def calls_in_a_second(name):
    function, argument = WORKLOADS[name]
    calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS / 4:
        function(argument)
        calls += 1
    return 4 * calls


def table():
    rows = []
    for name in WORKLOADS:
        calls = calls_in_a_second(name)
        pairs = [(seconds(name, "plain", calls), seconds(name, "chosen", calls)) for _ in range(ROUNDS)]
        plain, chosen = (statistics.median(column) for column in zip(*pairs))
        rows.append([name, calls, plain, chosen, chosen / plain])
    targets = [at_most(f"{row[0]}: at most 3 % slower than plain Python", row[4], BOUND, "x") for row in rows
               if row[0] != "calls of 0.1 us"]  # level 0's own cost: see the table of calls
    columns = ["", "calls", "plain", "chosen", "parts of plain"]
    return Table("choice", "A second of calls without a level, in s", columns, rows, targets)


if __name__ == "__main__":
    print(run(sys.argv[1], sys.argv[2], int(sys.argv[3])))
