"""epochly.serialize: what is known of a function, and when it must be pickled anew."""
import asyncio
import functools
import os
import sys
import time
import types

import pytest
import tasks

from epochly import serialize

HASH_HIGH, HASH_LOW, NAME, CODE, VERSION, MODULE, HAS_LOOP, IS_COROUTINE, WAITS, CHECKS = range(10)
HERE = sys.version_info[0] << 8 | sys.version_info[1]


def by_value(source, name="f", **namespace):
    """A function of a script: its module cannot be imported."""
    space = {"__name__": "__main__", **namespace}
    exec(compile(source, "<script>", "exec"), space)
    return space[name], space


def test_a_function_of_a_module_travels_by_reference():
    facts = serialize.describe(tasks.add)
    assert facts[MODULE] == "tasks" and facts[VERSION] == 0 and facts[CHECKS] == []
    assert facts[NAME] == "tasks.add" and len(facts[CODE]) < 100


def test_a_lambda_travels_by_value_and_needs_this_python():
    facts = serialize.describe(lambda x: x)
    assert facts[MODULE] == "" and facts[VERSION] == HERE and facts[NAME].endswith("<lambda>")


def test_equal_functions_have_equal_hashes_and_others_others():
    def make(n):
        return by_value(f"def f(x): return x + {n}")[0]

    hashes = [serialize.describe(make(n))[:2] for n in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(("function", "expected"), [
    (tasks.sleep_then, (False, False, True)), (tasks.wait_for_file, (True, False, True)), (tasks.add, (False, False, False)),
    (tasks.add_later, (False, True, True)), (asyncio.sleep, (False, True, False)), (len, (False, False, False)),
    (functools.partial(tasks.sleep_then, 1), (False, False, True)), (lambda xs: [x * x for x in xs], (True, False, False)),
    (lambda p: open(p).read(), (False, False, True)), (lambda x: x.select(), (False, False, False))])
def test_hints(function, expected):
    assert serialize.describe(function)[HAS_LOOP:CHECKS][:2] == expected[:2]
    assert serialize.describe(function)[WAITS] == expected[2]


def test_naming_a_module_that_waits_is_a_hint():
    import sqlite3
    import urllib.request

    for module in (sqlite3, urllib):
        function, _ = by_value("def f(): return m.anything", m=module)
        assert serialize.describe(function)[WAITS]
    function, _ = by_value("def f():\n    import requests\n    return requests.get")
    assert serialize.describe(function)[WAITS]


@pytest.mark.parametrize("value", [1, "text", (1, (2, "x")), None, time, tasks.add, os.path, len, frozenset({1}), tasks.Counter,
                                   1.5])
def test_what_cannot_change_is_compared_by_identity(value):
    function, space = by_value("def f(): return g", g=value)
    checks = serialize.describe(function)[CHECKS]
    assert (serialize.ITEM, space, "g", value) in checks


@pytest.mark.parametrize("value", [[], {}, set(), bytearray(), ([],), object(), types.SimpleNamespace(), tasks.Counter(1)])
def test_what_can_change_unseen_is_pickled_every_time(value):
    function, _ = by_value("def f(): return g", g=value)
    assert serialize.describe(function)[CHECKS] is None


def test_helpers_and_classes_of_the_script_are_compared_too():
    function, space = by_value("""
class Point:
    scale = 2
    def norm(self): return helper(self.scale)
def helper(x): return x * FACTOR
FACTOR = 3
def f(): return Point().norm()
""")
    checks = serialize.describe(function)[CHECKS]
    assert (serialize.ITEM, space, "FACTOR", 3) in checks
    assert any(check[0] == serialize.MAPPED and check[2] == "scale" for check in checks)


def test_a_mutable_default_is_pickled_every_time():
    assert serialize.describe(by_value("def f(x=[]): return x")[0])[CHECKS] is None
    assert serialize.describe(by_value("def f(x=(1, 2)): return x")[0])[CHECKS] is not None


CHANGES = {
    "a global is bound anew": ("def f(): return N", "N = 2"),
    "a global is deleted and a builtin shows": (
        "len = str\ndef f(): return len(3)", "del len; f.__code__ = (lambda: len([3])).__code__"),
    "a builtin is shadowed": ("def f(): return len([])", "len = lambda x: 2"),
    "a helper is defined anew": ("def h(): return 1\ndef f(): return h()", "def h(): return 2"),
    "a helper's global is bound anew": ("def h(): return N\ndef f(): return h()", "N = 2"),
    "a class attribute is set": ("class C: n = 1\ndef f(): return C.n", "C.n = 2"),
    "a class gets an attribute": ("class C: pass\ndef f(): return getattr(C, 'n', 1)", "C.n = 2"),
    "a method is replaced": ("class C:\n  def m(self): return 1\ndef f(): return C().m()", "C.m = lambda self: 2"),
    "a base class is changed": ("class B: n = 1\nclass C(B): pass\ndef f(): return C.n", "B.n = 2"),
    "the code is replaced": ("def f(): return 1", "f.__code__ = (lambda: 2).__code__"),
    "the defaults are replaced": ("def f(n=1): return n", "f.__defaults__ = (2,)"),
    "a function attribute is set": ("def f(): return getattr(f, 'n', 1)", "f.n = 2"),
    "a closure's variable is bound anew": ("def outer():\n  n = 1\n  def f(): return n\n  def set(x):\n    nonlocal n\n    n = x\n"
                                           "  return f, set\nf, set_n = outer()", "set_n(2)"),
    "a list grows": ("N = [0]\ndef f(): return len(N)", "N.append(0)"),
    "a dict's item is set": ("N = {'n': 1}\ndef f(): return N['n']", "N['n'] = 2"),
    "an object's attribute is set": ("class C: pass\no = C(); o.n = 1\ndef f(): return o.n", "o.n = 2"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_seen_by_the_next_submit(client, what):
    source, change = CHANGES[what]
    function, space = by_value(source, N=1) if "N" in source else by_value(source)
    before = function()
    assert client.submit(function).result() == before
    assert client.submit(function).result() == before
    exec(change, space)
    function = space["f"]
    after = function()
    assert after != before, "the test changes something"
    assert client.submit(function).result() == after


def test_an_unchanged_function_is_pickled_once(client, monkeypatch):
    described = []
    real = serialize.describe
    monkeypatch.setattr(serialize, "describe", lambda function: described.append(function) or real(function))
    function, _ = by_value("import math\nN = 2\ndef h(x): return x * N\ndef f(x): return math.sqrt(h(x))")
    client.gather([client.submit(function, i) for i in range(100)])
    assert described == [function]


def test_a_module_that_is_registered_to_go_by_value_goes_by_value(client, tmp_path, monkeypatch):
    import cloudpickle

    (tmp_path / "mine_by_value.py").write_text("class P:\n    n = 5\ndef f(p):\n    return p.n\n")
    monkeypatch.syspath_prepend(tmp_path)
    import mine_by_value

    cloudpickle.register_pickle_by_value(mine_by_value)
    try:
        assert client.submit(mine_by_value.f, mine_by_value.P()).result() == 5
    finally:
        cloudpickle.unregister_pickle_by_value(mine_by_value)
