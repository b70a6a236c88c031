"""What level 0 adds to a call, and what `import epochly` costs beside Python's own start."""
import statistics
import subprocess
import sys
import timeit

from tests.bench.report import Table, at_most

CALLS = 200_000
ROUNDS = 7
STARTS = 7
CALL_BOUND_NS = 1000
IMPORT_BOUND_MS = 80


def plain_call():
    pass


def nanoseconds_per_call(function):
    return min(timeit.repeat(function, number=CALLS, repeat=ROUNDS)) / CALLS * 1e9


def milliseconds_to_run(code):
    """Of a new interpreter, the median of some starts."""
    def once():
        return timeit.timeit(lambda: subprocess.run([sys.executable, "-c", code], check=True), number=1) * 1e3
    return statistics.median(once() for _ in range(STARTS))


def table():
    import epochly

    plain, measured = nanoseconds_per_call(plain_call), nanoseconds_per_call(epochly.optimize(level=0)(plain_call))
    start, imported = milliseconds_to_run("pass"), milliseconds_to_run("import epochly")
    return Table("calls", "Calls and import", ["", "plain", "with epochly", "added"],
                 [["call, ns", plain, measured, measured - plain], ["start, ms", start, imported, imported - start]],
                 [at_most("level 0 adds at most 1 us to a call", measured - plain, CALL_BOUND_NS, " ns"),
                  at_most("import adds at most 80 ms to Python's start", imported - start, IMPORT_BOUND_MS, " ms")])


if __name__ == "__main__":
    print(table().text())
