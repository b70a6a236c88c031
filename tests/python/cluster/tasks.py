"""Functions that tests send by reference: a worker imports this module."""
import asyncio
import ctypes
import os
import sys
import threading
import time

import epochly


def add(a, b=0):
    return a + b


def identity(value):
    return value


def nothing():
    pass


def pid():
    return os.getpid()


def thread_name():
    return threading.current_thread().name


def sleep_then(seconds, value=None):
    time.sleep(seconds)
    return value


def wait_for_file(path, patience=60):
    deadline = time.monotonic() + patience
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise TimeoutError(path)
        time.sleep(0.005)
    return path


def note_start(folder, seconds):
    """Leaves a file with its process's number behind, then works."""
    with open(os.path.join(folder, f"{os.getpid()}-{time.monotonic_ns()}"), "w"):
        pass
    time.sleep(seconds)
    return os.getpid()


async def add_later(a, b):
    await asyncio.sleep(0.001)
    return a + b


def exit_hard(status=3):
    os._exit(status)


def exit_politely():
    sys.exit(4)


def crash():
    ctypes.string_at(0)


def fail(message="boom"):
    raise ValueError(message)


def fail_until(path, attempts):
    """Raises until it was called so often; counts in a file."""
    with open(path, "a+") as file:
        file.write("x")
        file.seek(0)
        count = len(file.read())
    if count < attempts:
        raise RuntimeError(f"attempt {count}")
    return count


class Counter:
    """State that travels with a bound method."""

    def __init__(self, start):
        self.value = start

    def plus(self, n):
        return self.value + n

    @classmethod
    def named(cls, n):
        return cls.__name__, n

    @staticmethod
    def twice(n):
        return 2 * n

    def __call__(self, n):
        return self.value * n


class Unloadable:
    """Pickles here, refuses to load anywhere."""

    def __reduce__(self):
        return _refuse, ()


def _refuse():
    raise RuntimeError("cannot be loaded")


def unloadable():
    return Unloadable()


class Awkward(Exception):
    """An exception whose arguments do not make it again."""

    def __init__(self, code, detail):
        super().__init__(f"{code}: {detail}")
        self.code = code


def raise_awkward():
    raise Awkward(7, "detail")



@epochly.optimize
def square(x):
    """A decorated function of a module."""
    return x * x


@epochly.optimize
def wait_a_little(_):
    time.sleep(0.002)


def doubled_sum(n, divisor=1):
    total = 0
    for i in range(n):
        total += 2 * i // divisor
    return total


def joined_text(words):
    return "-".join(f"{word}" for word in words)


def meets(count):
    """Returns when all iterations of its loop wait at once."""
    barrier = threading.Barrier(count, timeout=30)
    return [barrier.wait() >= 0 for _ in range(count)]


def carries(items):
    total = 0
    for item in items:
        total = plus(total, item)
    return total


def plus(a, b):
    return a + b
