"""A decorated function stays a function to Python."""
import abc
import collections.abc
import copy
import doctest
import functools
import gc
import inspect
import operator
import pydoc
import types
import typing
import unittest.mock
import weakref

import pytest

import epochly


def plain(a: int, /, b: "str" = "x", *args: float, key: bool = True, **rest) -> list:
    """Says what it got.

    >>> 1 + 1
    2
    """
    return [a, b, args, key, rest]


plain.mark = ["a mark"]
decorated = epochly.optimize(level=0)(plain)


async def a_coroutine():
    return 1


def a_generator():
    yield 1


async def an_async_generator():
    yield 1


@pytest.mark.parametrize("name", ["__name__", "__qualname__", "__doc__", "__module__", "__annotations__", "__defaults__",
                                  "__kwdefaults__", "__code__", "__globals__", "__closure__", "__dict__", "mark"])
def test_attributes_are_the_functions_own(name):
    assert getattr(decorated, name) is getattr(plain, name) or getattr(decorated, name) == getattr(plain, name)


def test_it_is_called_like_the_function():
    assert decorated(1) == [1, "x", (), True, {}]
    assert decorated(1, "b", 2.0, 3.0, key=False, more=7) == [1, "b", (2.0, 3.0), False, {"more": 7}]
    assert decorated(*[1], **{"b": "c"}) == [1, "c", (), True, {}]


def test_a_wrong_call_raises_the_functions_own_error():
    with pytest.raises(TypeError) as mine:
        decorated()
    with pytest.raises(TypeError) as theirs:
        plain()
    assert str(mine.value) == str(theirs.value)


def test_the_function_it_decorates_is_wrapped_and_untouched():
    assert decorated.__wrapped__ is plain
    assert type(plain) is types.FunctionType


@pytest.mark.parametrize("ask", [inspect.isfunction, inspect.isroutine, callable, inspect.isgeneratorfunction,
                                 inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isclass, inspect.ismethod,
                                 inspect.isbuiltin, inspect.signature, inspect.getsource, inspect.getdoc, inspect.getfile,
                                 inspect.getfullargspec, inspect.getmodule, inspect.getclosurevars, typing.get_type_hints,
                                 pydoc.render_doc, lambda f: isinstance(f, types.FunctionType),
                                 lambda f: isinstance(f, collections.abc.Callable)])
@pytest.mark.parametrize("function", [plain, a_coroutine, a_generator, an_async_generator])
def test_inspection_says_the_same_of_it(ask, function):
    assert ask(epochly.optimize(function)) == ask(function)


def test_doctest_finds_its_examples():
    module = types.ModuleType("a_module")
    exec("def f():\n    '''>>> f()\n    1\n    '''\n    return 1\n", module.__dict__)
    module.f = epochly.optimize(module.f)
    finder = doctest.DocTestFinder()
    assert [t.name for t in finder.find(module, module=module, globs=module.__dict__) if t.examples] == ["a_module.f"]


def test_it_can_be_given_attributes_a_name_and_defaults():
    def f(x, y=1):
        return x + y

    g = epochly.optimize(f)
    g.__defaults__ = (10,)
    g.__name__, g.__doc__, g.note = "renamed", "new", 5
    assert (g(1), f.__name__, f.__doc__, f.note) == (11, "renamed", "new", 5)
    del g.note
    assert not hasattr(f, "note")


def test_its_code_can_be_replaced():
    def f():
        return 1

    def other():
        return 2

    g = epochly.optimize(f)
    assert g() == 1
    g.__code__ = other.__code__
    assert (g(), f()) == (2, 2)


def test_an_unknown_attribute_is_missed_as_on_a_function():
    with pytest.raises(AttributeError, match="'function' object has no attribute 'nothing'"):
        decorated.nothing  # noqa: B018  # it raises


def test_it_is_hashed_and_compared_by_identity():
    same = epochly.optimize(plain)
    assert decorated == decorated and same != decorated
    assert {decorated: 1}[decorated] == 1


def test_its_repr_shows_what_it_is_of_and_at_which_level():
    assert repr(epochly.optimize(level=2)(plain)) == f"<epochly.optimize(level=2) of {plain!r}>"
    assert repr(epochly.optimize(plain)) == f"<epochly.optimize() of {plain!r}>"


def test_it_can_be_weakly_referenced_and_copied():
    def f():
        return 1

    g = epochly.optimize(f)
    assert copy.copy(g) is g and copy.deepcopy(g) is g
    reference = weakref.ref(g)
    assert reference() is g
    del g
    gc.collect()
    assert reference() is None


def test_a_cycle_through_it_is_collected():
    def f():
        return 1

    g = epochly.optimize(f)
    g.me = g
    reference = weakref.ref(f)
    del f, g
    gc.collect()
    assert reference() is None


def test_wraps_above_and_below_keep_the_chain():
    def shout(function):
        @functools.wraps(function)
        def loud(*args):
            return function(*args).upper()
        return loud

    @epochly.optimize
    @shout
    def above(x: str) -> str:
        return x

    @shout
    @epochly.optimize
    def below(x: str) -> str:
        return x

    for function in (above, below):
        assert function("a") == "A"
        assert inspect.signature(function) == inspect.signature(lambda x: x).replace(
            parameters=[inspect.Parameter("x", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=str)], return_annotation=str)
        assert function.__name__ in ("above", "below")
        assert epochly.get_metrics(function)["total_calls"] == 1


def test_wraps_onto_a_decorated_wrapper_is_followed():
    def target(x, y):
        """doc"""

    @functools.wraps(target)
    @epochly.optimize
    def wrapper(*args):
        return args

    assert inspect.signature(wrapper) == inspect.signature(target)
    assert wrapper.__doc__ == "doc" and wrapper(1) == (1,)


# ---- in classes -----------------------------------------------------------------------------------------------------------


class Base:
    def hello(self):
        return "base"


class Some(Base):
    @epochly.optimize
    def method(self, x):
        """A method."""
        return self, x

    @epochly.optimize
    @classmethod
    def class_outside(cls, x):
        return cls, x

    @classmethod
    @epochly.optimize
    def class_inside(cls, x):
        return cls, x

    @epochly.optimize
    @staticmethod
    def static_outside(x):
        return x

    @staticmethod
    @epochly.optimize
    def static_inside(x):
        return x

    @property
    @epochly.optimize
    def value(self):
        return "value"

    @epochly.optimize
    def hello(self):
        return "some " + super().hello()

    @functools.lru_cache  # noqa: B019  # under @optimize is what is tested
    @epochly.optimize
    def cached(self):
        return object()


def test_methods_bind():
    some = Some()
    assert some.method(1) == (some, 1)
    assert Some.method(some, 2) == (some, 2)
    assert inspect.ismethod(some.method) and some.method.__self__ is some and some.method.__func__ is Some.__dict__["method"]
    assert some.method == some.method
    bound = some.method
    assert bound(3) == (some, 3)
    assert epochly.get_metrics(Some.method)["total_calls"] == epochly.get_metrics(some.method)["total_calls"] == 3


def test_class_and_static_methods_work_in_either_order():
    for target in (Some, Some()):
        assert target.class_outside(1) == target.class_inside(1) == (Some, 1)
        assert target.static_outside(2) == target.static_inside(2) == 2
    assert epochly.get_metrics(Some.class_outside)["total_calls"] == 2
    assert epochly.get_metrics(Some.static_inside)["total_calls"] == 2


def test_properties_super_and_caches_work():
    some = Some()
    assert (some.value, some.hello()) == ("value", "some base")
    assert some.cached() is some.cached()


def test_an_abstract_method_stays_abstract():
    class Abstract(abc.ABC):
        @epochly.optimize
        @abc.abstractmethod
        def must(self): ...

    with pytest.raises(TypeError, match="must"):
        Abstract()


def test_it_works_as_a_special_method():
    class Vector:
        def __init__(self, x):
            self.x = x

        @epochly.optimize
        def __add__(self, other):
            return Vector(self.x + other.x)

        @epochly.optimize
        def __call__(self, y):
            return self.x * y

        @epochly.optimize
        def __len__(self):
            return self.x

    assert (Vector(1) + Vector(2)).x == 3
    assert Vector(3)(4) == 12 and len(Vector(5)) == 5


# ---- other callables ------------------------------------------------------------------------------------------------------


def test_lambdas_builtins_partials_and_bound_methods():
    assert epochly.optimize(lambda x: x + 1)(1) == 2
    assert epochly.optimize(len)("abc") == 3
    assert epochly.optimize(functools.partial(pow, 2))(5) == 32
    assert epochly.optimize([3, 1, 2].index)(1) == 1
    assert epochly.optimize(Some().method)(1)[1] == 1
    assert epochly.optimize(operator.itemgetter(1))("abc") == "b"
    assert epochly.optimize(str.upper)("a") == "A"


def test_a_callable_object_keeps_its_attributes_and_its_class():
    class Adder:
        def __init__(self, n):
            self.n = n

        def __call__(self, x):
            return x + self.n

        def grow(self):
            self.n += 1

    adder = epochly.optimize(Adder(1))
    adder.grow()
    adder.n += 1
    assert adder(1) == 4
    assert isinstance(adder, Adder)
    assert epochly.get_metrics(adder)["total_calls"] == 1


def test_a_builtin_in_a_class_does_not_bind_just_as_undecorated():
    class Holder:
        size = epochly.optimize(len)
        plain_size = len

    assert Holder().size("ab") == Holder().plain_size("ab") == 2


def test_a_callable_with_a_binding_of_its_own_keeps_it_and_shares_its_figures():
    class Descriptor:
        def __get__(self, instance, owner):
            return functools.partial(self, instance)

        def __call__(self, *args):
            return args

    class Holder:
        call = epochly.optimize(Descriptor())

    holder = Holder()
    assert holder.call(1) == (holder, 1)
    assert epochly.get_metrics(Holder.__dict__["call"])["total_calls"] == 1


@pytest.mark.parametrize("wrong, words", [
    (Some, "class Some: decorate its methods"),
    (property(lambda self: 1), "below @property"),
    (2, r"write @epochly.optimize\(level=2\)"),
    ("f", "not str"),
    (object(), "not object"),
])
def test_what_cannot_be_decorated_is_refused_with_what_to_do(wrong, words):
    with pytest.raises(TypeError, match=words):
        epochly.optimize(wrong)


@pytest.mark.parametrize("options, error", [({"level": 5}, ValueError), ({"level": "2"}, TypeError), ({"level": True}, TypeError),
                                            ({"placement": "moon"}, ValueError), ({"placement": None}, ValueError)])
def test_wrong_options_are_refused_before_anything_is_decorated(options, error):
    with pytest.raises(error):
        epochly.optimize(**options)


def test_decorating_twice_measures_once_and_the_last_word_counts():
    def f():
        return 1

    once = epochly.optimize(level=1)(f)
    assert epochly.optimize(once) is once
    assert epochly.optimize(level=1)(once) is once
    twice = epochly.optimize(level=2)(once)
    assert twice.__wrapped__ is f
    twice()
    assert epochly.report(twice).asked == 2 and epochly.get_metrics(once)["total_calls"] == 0


def test_mock_can_take_its_place_and_its_signature():
    fake = unittest.mock.create_autospec(decorated)
    with pytest.raises(TypeError):
        fake()
    with unittest.mock.patch(f"{__name__}.decorated", return_value=3):
        assert decorated(1) == 3


def test_it_can_be_partially_applied_and_dispatched_on():
    assert functools.partial(decorated, 1)(b="z")[1] == "z"

    @functools.singledispatch
    @epochly.optimize
    def kind(x):
        return "other"

    @kind.register
    @epochly.optimize
    def _(x: int):
        return "int"

    assert (kind(1), kind("a")) == ("int", "other")
