"""Level 2 at its bounds: at each it compiles and is right, one beyond it declines with its reason and is right."""
import gc
import math
import weakref

import pytest

from tests.support.bounds import constant

pytest.importorskip("epochly._jit", reason="built without LLVM")

import epochly  # noqa: E402
from epochly import _jit  # noqa: E402

BOUNDS = "worker/levels/program/bounds.h"


@pytest.fixture
def define(tmp_path):
    """Makes functions of sources: each from a file of its own, as level 2 reads what it compiles."""
    made = []

    def function(*lines, name="f"):
        file = tmp_path / f"made{len(made)}.py"
        made.append(file)
        text = "\n".join(lines) + "\n"
        file.write_text(text)
        names = {}
        exec(compile(text, str(file), "exec"), names)
        return names[name]

    return function


def compiles(function, *arguments):
    jit = _jit.Jit(function)
    assert jit(*arguments) == function(*arguments)
    assert jit.declined == "" and len(jit.versions()) == 1 and jit.versions()[0]["runs"] == 1
    return True


def declines(reason, function, *arguments):
    jit = _jit.Jit(function)
    assert jit(*arguments) == function(*arguments)
    assert reason in jit.declined and jit.versions() == []
    return True


def test_a_tuple_is_put_together_up_to_its_bound(define):
    bound = constant("TUPLE_MAX", BOUNDS)

    def together(count):
        return define("def f(x):", f"    t = ({'x, ' * (count - 1)}) + (x + 1,)", f"    return t[{count - 1}] + len(t)")

    assert compiles(together(bound), 3)
    assert declines(f"a tuple of more than {bound} items", together(bound + 1), 3)


def test_a_loop_over_a_tuple_is_unrolled_up_to_its_bound(define):
    bound = constant("UNROLL_MAX", BOUNDS)
    total = define("def f(t):", "    s = 0", "    for x in t:", "        s += x", "    return s")
    assert compiles(total, tuple(range(bound)))
    assert declines(f"a loop over a tuple of more than {bound} items", total, tuple(range(bound + 1)))


def test_an_item_of_a_tuple_is_chosen_while_running_up_to_its_bound(define):
    bound = constant("UNROLL_MAX", BOUNDS)
    item = define("def f(t, i):", "    return t[i]")
    assert compiles(item, tuple(range(bound)), bound - 1)
    assert declines(f"an index into a tuple of more than {bound} items", item, tuple(range(bound + 1)), bound)


def test_functions_are_compiled_for_so_many_types_of_arguments(define):
    bound = constant("INSTANCES_MAX", BOUNDS)  # one of them is the function itself

    def calls(count):
        return define("def g(t):", "    return t[0]", "def f(x):", "    s = 0",
                      *[f"    s += g(({'x, ' * n}))" for n in range(1, count + 1)], "    return s")

    assert compiles(calls(bound - 1), 3)
    assert declines("too many versions of the functions it calls", calls(bound), 3)


def test_so_many_functions_are_called(define):
    bound = constant("FUNCTIONS_MAX", "client-py/ext/jit/names.cpp")  # one of them is the function itself

    def calls(count):
        return define(*[f"def g{n}(x): return x + {n}" for n in range(count)],
                      "def f(x):", "    return " + " + ".join(f"g{n}(x)" for n in range(count)))

    assert compiles(calls(bound - 1), 1)
    assert declines("too many functions are called", calls(bound), 1)


def test_an_argument_is_looked_into_to_a_bounded_depth(define):
    bound = constant("DEPTH_MAX", "client-py/ext/jit/shape.cpp")
    length = define("def f(x):", "    return len(x)")

    def nested(depth):
        value = 1
        for _ in range(depth):
            value = [value]
        return value

    assert compiles(length, nested(bound))
    assert declines(f"an argument nested more than {bound} deep", length, nested(bound + 1))


def test_a_tuple_of_more_leaves_than_a_function_has_instructions_declines(define):
    bound = constant("INSTRUCTIONS_MAX", BOUNDS)
    second = define("def f(t):", "    return t[1]")
    assert compiles(second, tuple(range(100)))
    assert declines("the function is too large to compile", second, tuple(range(bound + 1)))


def test_types_that_grow_with_every_round_do_not_settle(define):
    nests = define("def f(n):", "    if n == 0:", "        return ()", "    return (f(n - 1),)")
    assert declines("the types do not settle", nests, 3)


def test_types_that_double_with_every_iteration_end_at_the_instructions(define):
    nests = define("def f(n):", "    t = ()", "    for i in range(n):", "        t = (t,)", "    return t")
    assert declines("the function is too large to compile", nests, 3)


@pytest.mark.parametrize("count", range(6))
def test_a_chain_of_types_longer_than_the_iterations_set_apart_is_right(define, count):
    assert constant("PEELS_MAX", BOUNDS) < 3  # a is an int for three iterations
    chain = define("def f(n):", "    a = b = c = 1", "    for i in range(n):", "        a, b, c = b, c, 0.5", "    return a")
    assert compiles(chain, count)
    assert type(_jit.Jit(chain)(count)) is type(chain(count))


@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_loops_nested_as_deep_as_iterations_are_set_apart_and_deeper_are_right(define, beyond, count):
    depth = constant("PEEL_DEPTH_MAX", BOUNDS) + beyond
    heads = ["    " * (d + 1) + f"for i{d} in range(n):" for d in range(depth)]
    nest = define("def f(n):", "    x = 1", *heads, "    " * (depth + 1) + "x = x * 0.5 + 1.0", "    return x")
    assert compiles(nest, count)
    assert type(_jit.Jit(nest)(count)) is type(nest(count))


def test_a_float_is_rounded_to_so_many_digits(define):
    bound = constant("DIGITS_MAX", "worker/levels/jit/numbers.cpp")
    rounded = define("def f(x, digits):", "    return round(x, digits)")
    jit = _jit.Jit(rounded)
    assert jit(1.2345e-5, bound) == round(1.2345e-5, bound)
    assert jit.versions()[0]["runs"] == 1
    assert jit(1.2345e-5, bound + 1) == round(1.2345e-5, bound + 1)
    assert jit.versions()[0]["runs"] == 1  # CPython's


def test_an_exact_sum_of_as_many_parts_as_floats_can_have_is_right(define):
    total = define("import math", "def f(values):", "    return math.fsum(values)")
    parts = [math.ldexp(1.0, exponent) for exponent in range(-1074, 970, 54)]
    assert len(parts) < constant("PARTIALS_MAX", "worker/levels/jit/exact_math.cpp")
    assert compiles(total, parts)


@pytest.mark.parametrize("lines", [
    ["    t = []", "    for i in range(n):", "        t = [t]", "    return t"],
    ["    t = [[]]", "    t[0].append([])", "    for i in range(n):", "        t = [[t]]", "    return t"],
    ["    t = []", "    for i in range(n):", "        t = [(i, t)]", "    return t"],
])
def test_lists_that_hold_lists_of_their_own_kind_are_returned_by_cpython(define, lines):
    assert declines("it returns list[", define("def f(n):", *lines), 3)


def test_a_reason_tells_of_lists_that_hold_each_other(define):
    held = define("def f(n):", "    a = [0]", "    b = [a]", "    a.append(b)", "    return a == b")
    assert declines("...", held, 1)


def test_functions_with_code_are_kept_up_to_a_bound_and_one_that_was_left_out_is_compiled_again(define):
    bound = constant("FUNCTIONS_MAX", "client-py/ext/jit/api.cpp")
    first = epochly.optimize(define("def f(x):", "    return x + 1"), level=2)
    assert first(1) == 2 and epochly.report(first).level == 2
    kept = []
    for n in range(bound + 20):
        plain = define("def f(x):", f"    return {{1: x + {n}}}[1]")  # declines: quicker than compiling, and kept as well
        kept.append(weakref.ref(plain))
        assert epochly.optimize(plain, level=2)(1) == n + 1
        del plain
    gc.collect()
    assert sum(one() is not None for one in kept) == bound
    assert first(2) == 3 and epochly.report(first).level == 2


def test_more_functions_than_are_found_without_a_search_give_each_its_own_answer(define):
    count = 2 * constant("RECENT_MAX", "client-py/ext/jit/api.cpp") + 1
    added = [epochly.optimize(define("def f(x):", f"    return x + {n}"), level=2) for n in range(count)]
    for x in (1, 2, 3.5):
        assert [f(x) for f in added] == [x + n for n in range(count)]
    assert {epochly.report(f).level for f in added} == {2}
