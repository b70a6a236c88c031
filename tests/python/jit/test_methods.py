"""Methods: what they read of self are arguments as any other; what would run code, or change self, is CPython's."""

import pytest

import epochly

from .exact import same

pytest.importorskip("epochly._jit", reason="built without LLVM")

from epochly._jit import Jit  # noqa: E402


class Oscillator:
    damping = 0.125  # of the class

    def __init__(self, mass, spring):
        self.mass = mass
        self.spring = spring
        self.data = [1.0, 2.0]

    @epochly.optimize(level=2)
    def decorated(self, x, steps=10):
        v = 0.0
        for _ in range(steps):
            v += -self.spring / self.mass * x - self.damping * v
            x += v * 0.01
        return x, v

    def energy(self, x, *, v=0.0):
        return 0.5 * self.mass * v * v + 0.5 * self.spring * x * x

    def append(self, x):
        self.data.append(x)
        return sum(self.data)

    def maybe(self, flag):
        if flag:
            return self.missing
        return self.mass

    def calls(self, x):
        return self.energy(x)

    def counts(self):
        self.mass += 1
        return self.mass

    def itself(self):
        return self is None

    def ignores(self, x):
        return x + 1


def compiled(method, *args, **named):
    jit = Jit(method.__func__)
    got = jit(method.__self__, *args, **named)
    assert jit.declined == "" and same(got, method(*args, **named))
    return jit


def left_alone(method, *args):
    jit = Jit(method.__func__)
    expected = method(*args)
    assert same(jit(method.__self__, *args), expected)
    return jit.declined


def test_a_decorated_method_runs_compiled_for_each_object():
    for mass, spring in [(1.0, 2.0), (2, 3), (0.5, 1e300)]:
        one = Oscillator(mass, spring)
        plain = Oscillator.decorated.__wrapped__
        assert same(one.decorated(0.25), plain(one, 0.25)) and same(one.decorated(x=0.25, steps=3), plain(one, 0.25, 3))
    assert epochly.report(Oscillator.decorated).level == 2


def test_attributes_keywords_and_defaults():
    one = Oscillator(1.0, 2.0)
    jit = compiled(one.energy, 0.5)
    assert same(jit(one, 0.5, v=2.0), one.energy(0.5, v=2.0)) and jit.declined == ""
    one.mass = 3  # another type now
    assert same(jit(one, 0.5, v=2.0), one.energy(0.5, v=2.0)) and jit.declined == ""
    one.damping = 7.0  # hides that of the class
    compiled(one.ignores, 3)


def test_a_list_that_self_holds_is_changed_in_place():
    mine, theirs = Oscillator(1, 2), Oscillator(1, 2)
    jit = Jit(Oscillator.append)
    assert same(jit(mine, 3.5), theirs.append(3.5)) and jit.declined == "" and mine.data == theirs.data


def test_slots_are_read():
    class Slotted:
        __slots__ = ("a", "b")

        def __init__(self):
            self.a = 2.5

        def twice(self):
            return self.a * 2

        def other(self):
            return self.b

    compiled(Slotted().twice)
    jit = Jit(Slotted.other)
    with pytest.raises(AttributeError):
        jit(Slotted())
    assert "there is no self.b" in jit.declined


def test_what_runs_code_of_the_class_is_left_to_cpython():
    class Watched:
        reads = 0

        @property
        def a(self):
            Watched.reads += 1
            return 1.0

        def use(self):
            return self.a + 1

    class Dynamic:
        def __getattr__(self, name):
            return 1.0

        def use(self):
            return self.a + 1

    assert "code of its class" in left_alone(Watched().use) and Watched.reads == 2
    assert "code of its class" in left_alone(Dynamic().use)


def test_an_attribute_that_is_missing_on_a_path_that_is_not_taken():
    assert "there is no self.missing" in left_alone(Oscillator(1, 2).maybe, False)


def test_what_uses_self_otherwise_declines_with_its_line():
    assert "self.energy is looked up by code of its class" in left_alone(Oscillator(1, 2).calls, 0.5)
    assert "'self' is used for more" in left_alone(Oscillator(1, 2).itself)
    jit, one = Jit(Oscillator.counts), Oscillator(1, 2)
    assert jit(one) == 2 and one.mass == 2 and jit.declined.startswith("line ")
