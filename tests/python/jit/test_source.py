"""A function's syntax tree from its own lines alone is the one that its whole file gives."""

import colorsys
import fractions
import heapq
import importlib.util
import linecache
import random
import statistics
import textwrap
import types
from pathlib import Path

import pytest

_program = pytest.importorskip("epochly._program")
from tests.bench.kernels import lists  # noqa: E402


def functions_of(module):
    spaces = [vars(module), *(vars(value) for value in vars(module).values() if isinstance(value, type))]
    for space in spaces:
        for value in space.values():
            value = getattr(value, "__func__", value)
            if isinstance(value, types.FunctionType) and value.__module__ == module.__name__:
                yield value


def outcome(function, find):
    """What encode() gives with this way to find the function, or the reason why not."""
    try:
        node = find(function)
        return node and _program._Encoder(function.__code__).function(function, node)
    except _program.NoSource as error:
        return str(error)


def by_excerpt(function):
    code = function.__code__
    made = _program._excerpt(code, _program._source(code.co_filename, function.__globals__))
    if made is None:
        return None
    (node,) = (n for n in made[0][code.co_firstlineno] if getattr(n, "name", None) == code.co_name)
    return node


def by_file(function):
    code = function.__code__
    tree, codes = _program._parse(code.co_filename, _program._source(code.co_filename, function.__globals__))
    assert code in codes
    (node,) = (n for n in tree[code.co_firstlineno] if getattr(n, "name", None) == code.co_name)
    return node


@pytest.fixture(autouse=True)
def no_file_is_known(monkeypatch):
    monkeypatch.setattr(_program, "_files", {})


@pytest.mark.parametrize("module", [colorsys, fractions, heapq, random, statistics, lists], ids=lambda m: m.__name__)
def test_excerpts_of_real_modules(module):
    functions = [f for f in functions_of(module) if f.__code__.co_name != "<lambda>"]
    _program._files.clear()
    excerpts = [outcome(f, by_excerpt) for f in functions]
    assert not _program._files, "the file was not parsed as a whole"
    whole = [outcome(f, by_file) for f in functions]
    same = [(f.__qualname__, a, b) for f, a, b in zip(functions, excerpts, whole) if a is not None and a != b]
    assert not same
    assert sum(a is not None for a in excerpts) >= 0.5 * len(functions)


SOURCE = '''
from __future__ import annotations
import functools

def plain(x):
    y = x + (
        1
    )
    return y

def dead(x):
    return x
    x = 1

class A:
    def private(self, x):
        return self.__x + x

    @functools.lru_cache(
        maxsize=3)
    def decorated(x: "int" = 3) -> float:
        if x:
            return 2 * x
        # the end

def outer(n):
    def inner(x):
        return x * 2
    def closure(x):
        return x * n
    return inner, closure

if True:
\tdef tabs(x):
\t\tfor i in range(x):
\t\t\tpass
\t\telse: return x

def parenthesis(x):
    return (x
    )

def umlaut(x):
    "ä"
    return x
'''


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "sources.py"
    path.write_text(textwrap.dedent(SOURCE), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("sources", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_has_no_excerpt_is_found_in_its_file(module):
    inner, closure = module.outer(3)
    has_excerpt = {"plain": module.plain, "decorated": module.A.decorated.__wrapped__, "tabs": module.tabs}
    has_none = {"inner": inner, "private": module.A.private, "closure": closure}
    # 3.10 does not say where expressions end; text from linecache is decoded.
    may_have = {"parenthesis": module.parenthesis, "umlaut": module.umlaut}
    for name, function in {**has_excerpt, **has_none, **may_have}.items():
        assert name in may_have or (outcome(function, by_excerpt) is not None) == (name in has_excerpt), name
        _program._files.clear()
        assert _program.encode(function) == outcome(function, by_file), name
        _program._files.clear()


def test_dead_code_at_the_end_need_not_be_known(module):
    body, whole = outcome(module.dead, by_excerpt)[3], outcome(module.dead, by_file)[3]
    assert body == whole[:1] and len(whole) == 2


def test_lines_that_have_changed_are_not_the_function(module):
    path = Path(module.__file__)
    path.write_text(path.read_text(encoding="utf-8").replace("return y\n", "return x\n"), encoding="utf-8")
    with pytest.raises(_program.NoSource, match="its source file has changed"):
        _program.encode(module.plain)
    _program._files.clear()
    path.write_text("# one line more\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    linecache.clearcache()
    with pytest.raises(_program.NoSource, match="its source file has changed"):
        _program.encode(module.tabs)
