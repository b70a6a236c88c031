"""What the analysis says of loops, read from their source."""
import ast
import runpy
import textwrap

import pytest

from epochly.loops import block, callees, plan, shape, threads


def loops_of(source, **module_globals):
    tree = ast.parse(textwrap.dedent(source))
    return shape.loops_of(tree.body[0], module_globals)


def of_body(body, **module_globals):
    """The loop of `def f(items, out, d): for x in items: body`."""
    lines = textwrap.indent(textwrap.dedent(body).strip(), " " * 8)
    return loops_of(f"def f(items, out, d):\n    for x in items:\n{lines}\n", **module_globals)[0]


@pytest.mark.parametrize("body, kind", [
    ("out.append(g(x))", "append"), ("out.add(g(x))", "append"), ("d[x] = g(x)", "store"), ("total += g(x)", "reduce"),
    ("d[x] += g(x)", "reduce"), ("best = max(g(x), best)", "reduce"), ("g(x)", "call"), ("print(g(x))", "call"),
    ("d.setdefault(x, []).append(g(x))", "append"), ("with g(x) as v:\n    out.append(v.read())", "append"),
    ("try:\n    v = g(x)\nexcept OSError:\n    v = None\nout.append(v)", "append"),
    ("for y in g(x):\n    if y:\n        break\n    out.append(y)", "append"),
    ("row = g(x)\nrow.append(1)\nout.append(row)", "append"),
    ("x.name = g(x)", "call"), ("out.append(sorted(g(x), key=lambda v: v[x]))", "append"),
])
def test_independent_loops_and_their_shapes(body, kind):
    loop = of_body(body)
    assert (loop.independent, loop.shape, loop.reason) == (True, kind, None)


@pytest.mark.parametrize("body, says", [
    ("if g(x):\n    break", "`break` leaves the loop"),
    ("for y in g(x):\n    pass\nelse:\n    break", "`break` leaves the loop"),
    ("return g(x)", "`return` leaves the loop"),
    ("v = g(x, v)", "`v` is carried"),
    ("if g(x):\n    v = 1\nout.append(v)", "`v` is carried"),
    ("while g(x):\n    v = 1\nout.append(v)", "`v` is carried"),
    ("with suppress(OSError):\n    v = g(x)\nout.append(v)", "`v` is carried"),
    ("total += g(x)\nout.append(total)", "`total` is carried"),
    ("out.append(g(x))\nprint(len(out))", "`out.append()` changes"),
    ("d[x] = g(d)", "it changes `d[x]`"),
    ("d.count = g(x)", "it changes `d.count`"),
    ("row = d[x]\nrow.append(g(x))", "`row.append()` changes"),
    ("g(x)(lambda: x)", "keeps `x`"),
    ("g(next(out))", "`next()` changes `out`"),
    ("g(locals())", "locals() looks"),
    ("g(input())", "input() reads"),
    ("g(super().name)", "super()"),
])
def test_what_keeps_iterations_apart(body, says):
    loop = of_body(body)
    assert not loop.independent and says in loop.reason, loop.reason
    assert loop.reason.startswith("line ")


def test_random_numbers_are_drawn_from_what_iterations_share():
    import random

    assert "generator of random numbers" in of_body("g(random.random())", random=random).reason


def test_methods_of_modules_change_nothing_of_the_loops():
    import os

    assert of_body("os.remove(x)", os=os).independent


@pytest.mark.parametrize("source", ["[x * 2 for x in items]", "[len(x) for x in items]", "[x.strip() for x in items]", "[1]"])
def test_loops_that_cannot_wait_are_left_alone(source):
    assert not any(loop.waits for loop in loops_of(f"def f(items):\n    return {source}\n"))


def test_generator_expressions_belong_to_what_takes_them_whole():
    taken, = loops_of("def f(items):\n    return sum(g(x) for x in items)\n")
    assert taken.independent and taken.builtins == {"sum"}
    stopped, = loops_of("def f(items):\n    return any(g(x) for x in items)\n")
    assert "any() stops" in stopped.reason
    assert loops_of("def f(items):\n    return (g(x) for x in items)\n") == []


def test_a_name_that_is_not_the_builtin_declines(tmp_path):
    script = tmp_path / "shadows.py"
    script.write_text("def sum(values):\n    return next(values)\n\ndef f(items):\n    return sum(str(x) + g(x) for x in items)\n")
    function = runpy.run_path(str(script))["f"]
    assert plan.twin_of(function, threads.spread) == (None, "`sum` is not the builtin of that name")


def test_what_is_kept_of_functions_is_bounded(monkeypatch):
    monkeypatch.setattr(plan, "PLANS_MAX", 3)
    monkeypatch.setattr(plan, "_plans", {})
    monkeypatch.setattr(callees, "KEPT_MAX", 3)
    monkeypatch.setattr(callees, "_kept", {})
    monkeypatch.setattr(callees, "_named", {})
    for function in (loops_of, of_body, block.block_of, plan.plan_of, plan.twin_of, callees.effects_of):
        plan.plan_of(function)
        callees.effects_of(function)
        callees.called_by(function)
    assert (len(plan._plans), len(callees._kept), len(callees._named)) == (3, 3, 3)
    assert plan.plan_of(callees.effects_of) is plan.plan_of(callees.effects_of)
