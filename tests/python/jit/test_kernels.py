"""Every kernel of tests/bench/kernels, compiled, against CPython: value and type, arguments afterwards included."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "bench"))

from kernels import load  # noqa: E402

from .exact import same  # noqa: E402

_jit = pytest.importorskip("epochly._jit", reason="built without LLVM")


@pytest.mark.parametrize("kernel", load(), ids=lambda k: k.name)
def test_a_kernel_runs_compiled_and_gives_what_cpython_gives(kernel):
    size = kernel.size if kernel.size < 50 else max(32, kernel.size // 50)
    if kernel.name == "fft":
        size = 256
    expected_args, args = kernel.arguments(size), kernel.arguments(size)
    expected = kernel.function(*expected_args)
    compiled = _jit.Jit(kernel.function)
    got = compiled(*args)
    assert compiled.declined == ""
    assert same(got, expected)
    assert same(args, expected_args), "what it does to its arguments"
