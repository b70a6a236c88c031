"""Tables, and targets met or not."""
import argparse
import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path

PEER_TITLES = {"epochly": "Epochly", "pool": "ProcessPoolExecutor", "ray": "Ray", "dask": "Dask"}


@dataclass
class Target:
    """A promise about one figure. met is None when the figure could not be measured in this run."""
    text: str      # "at least 8x ProcessPoolExecutor"
    value: float   # measured; NaN: not
    bound: float
    at_least: bool
    unit: str = ""

    @property
    def met(self):
        if math.isnan(self.value):
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def line(self):
        verdict = {True: "met", False: "NOT MET", None: "not measured"}[self.met]
        measured = "" if self.met is None else f"{plain(self.value)}{self.unit}, "
        return f"  target: {self.text}: {measured}{verdict}"

    def as_json(self):
        return {"text": self.text, "value": None if self.met is None else self.value, "bound": self.bound, "met": self.met}


def at_least(text, value, bound, unit=""):
    return Target(text, value, bound, True, unit)


def at_most(text, value, bound, unit=""):
    return Target(text, value, bound, False, unit)


@dataclass
class Table:
    name: str
    title: str
    head: list
    rows: list
    targets: list

    def text(self):
        cells = [self.head] + [[cell if isinstance(cell, str) else plain(cell) for cell in row] for row in self.rows]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.head))]
        lines = ["  " + "  ".join(_aligned(cell, width, i) for i, (cell, width) in enumerate(zip(row, widths))).rstrip()
                 for row in cells]
        rule = "  " + "  ".join("-" * width for width in widths)
        return "\n".join([self.title, lines[0], rule, *lines[1:], *(target.line() for target in self.targets)])

    def as_json(self):
        return {"title": self.title, "head": self.head, "rows": self.rows, "targets": [t.as_json() for t in self.targets]}


def table_options(doc):
    """A parser of a table's own command line; `doc` is its module's."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the table there")
    return parser


def publish(table, path):
    """Prints the table, and writes it to `path` unless that is None."""
    print(table.text())
    if path is not None:
        path.write_text(json.dumps(table.as_json(), indent=1))


def plain(value):
    """A figure with three significant digits or so; "-" for one that is not known."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def median(values):
    """Of the known ones; NaN when there is none."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    return statistics.median(known) if known else math.nan


def ratio(over, under):
    """Median of the rounds' own ratios: what slows a round slows both."""
    return median([a / b for a, b in zip(over, under)])


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _aligned(cell, width, column):
    return cell.ljust(width) if column == 0 else cell.rjust(width)
