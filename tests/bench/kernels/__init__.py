"""Well-known numeric kernels, written as a Python programmer would write them, with their arguments.

Each is exact against CPython in tests/python/jit/test_kernels.py and timed by ./dev bench jit.
"""

from collections.abc import Callable
from dataclasses import dataclass

REGISTRY = []


@dataclass(frozen=True)
class Kernel:
    name: str
    function: Callable
    arguments: Callable  # size -> a fresh tuple of arguments
    size: int            # of a benchmark run; tests use a fraction of it


def kernel(size, arguments):
    """Registers a kernel. `arguments(n)` makes fresh arguments for problem size `n`."""

    def register(function):
        REGISTRY.append(Kernel(function.__name__, function, arguments, size))
        return function

    return register


def load():
    from . import arrays, guide, integers, lists, scalars  # noqa: F401

    return REGISTRY
