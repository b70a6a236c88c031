"""Functions of source text, found by inspect as if they stood in a file."""

import itertools
import linecache

_numbers = itertools.count()


def define(source, **names):
    """The function f that the source defines, with the names as its globals."""
    filename = f"<source {next(_numbers)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    space = {"__name__": "sources", **names}
    exec(compile(source, filename, "exec"), space)
    return space["f"]


def lambda_of(parameters, expression, **names):
    return define(f"def f({parameters}):\n    return {expression}\n", **names)
