"""What a decorated call costs beside a plain one, and `import epochly` beside Python's own start.

python -m tests.bench.call_overhead [--json FILE]; `./dev bench calls` prints the same table.
"""
import functools
import statistics
import subprocess
import sys
import time
import timeit

from tests.bench.report import Table, at_most, publish, table_options

# The least of so many repetitions: an interruption makes one longer, nothing makes one shorter.
REPETITIONS = 25
CALLS = 20_000
# Fresh interpreters of each kind, in turns; medians are compared.
STARTS = 15

CALL_BOUND_US = 1
IMPORT_BOUND_MS = 80


def noop():
    pass


def with_argument(x):
    return x


class Holder:
    def method(self, x):
        return x


def numbers():
    yield 1


def drain(function):
    for _ in function():
        pass


def python_wrapper(function):
    """The cheapest decorator that Python itself can write, to compare with."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def nanoseconds(function, *arguments):
    """Of one call, with the loop around it: the same for every function that is compared."""
    names = {"f": function, **{f"a{i}": value for i, value in enumerate(arguments)}}
    timer = timeit.Timer(f"f({', '.join(f'a{i}' for i in range(len(arguments)))})", globals=names)
    return min(timer.repeat(REPETITIONS, CALLS)) / CALLS * 1e9


def cases():
    """(what is called, a function that puts a decorator on it, arguments)."""

    def method(decorate):
        return type("Decorated", (Holder,), {"method": decorate(Holder.method)})().method

    return [("f()", lambda decorate: decorate(noop), ()),
            ("f(1)", lambda decorate: decorate(with_argument), (1,)),
            ("f(list)", lambda decorate: decorate(with_argument), ([1.0] * 100,)),
            ("object.method(1)", method, (1,)),
            ("for _ in generator()", lambda decorate: functools.partial(drain, decorate(numbers)), ())]


def call_rows():
    """[what, plain ns, measured ns, what measuring adds, what a decorator in Python adds]."""
    import epochly

    rows = []
    for what, made, arguments in cases():
        plain, measured, wrapped = (nanoseconds(made(decorate), *arguments)
                                    for decorate in (lambda f: f, epochly.optimize(level=0), python_wrapper))
        rows.append([what, plain, measured, measured - plain, wrapped - plain])
    return rows


def start_milliseconds(code):
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - start) * 1e3


def import_row():
    """["import epochly, ms", Python's own start, with the import, what the import adds]."""
    plain, imported = [], []
    for _ in range(STARTS):
        plain.append(start_milliseconds("pass"))
        imported.append(start_milliseconds("import epochly"))
    base, ours = statistics.median(plain), statistics.median(imported)
    return ["import epochly, ms", base, ours, ours - base, None]


def table():
    calls = call_rows()
    imported = import_row()
    targets = [at_most("level 0 adds at most 1 us to a call", max(row[3] for row in calls) / 1e3, CALL_BOUND_US, " us"),
               at_most("import adds at most 80 ms to Python's own start", imported[3], IMPORT_BOUND_MS, " ms")]
    return Table("calls", "Calls at level 0, in ns", ["", "plain", "measured", "adds", "a decorator in Python adds"],
                 [*calls, imported], targets)


def main(arguments):
    options = table_options(__doc__).parse_args(arguments)
    publish(table(), options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
