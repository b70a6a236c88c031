"""Data size is in elements, of the largest argument, found without running anything of the program."""
import array
import collections
import ctypes
import mmap
import sys

import pytest

import epochly


def size_of(*args, **kwargs):
    """avg_data_size of one call; None if it is absent."""
    measured = epochly.optimize(lambda *args, **kwargs: None)
    measured(*args, **kwargs)
    return epochly.get_metrics(measured).get("avg_data_size")


class Odd:
    def __len__(self):
        raise AssertionError("was asked for its length")

    __getattr__ = __len__


class OddList(list):
    def __len__(self):
        raise AssertionError("was asked for its length")


class Shaped:
    __array_interface__ = {}

    def __init__(self, shape):
        self.shape = shape


class Frame:
    """As pandas and polars data frames look from outside."""

    shape = (1000, 3)

    def __dataframe__(self):
        raise AssertionError

    def __len__(self):
        raise AssertionError


@pytest.mark.parametrize("argument, elements", [
    ([1, 2, 3], 3), ((1, 2), 2), ({1, 2}, 2), (frozenset([1]), 1), ({"a": 1}, 1), (range(7), 7), (b"four", 4), (bytearray(5), 5),
    (array.array("d", [0] * 6), 6), (memoryview(bytes(9)), 9), (memoryview(array.array("i", [0] * 4)), 4),
    (collections.deque(range(8)), 8), (collections.OrderedDict(a=1, b=2), 2), (collections.Counter("aab"), 2),
    ({1: 2}.keys(), 1), ({1: 2}.values(), 1), ({1: 2, 3: 4}.items(), 2), ((ctypes.c_double * 12)(), 12), ([], 0),
    (range(10**30), None),
])
def test_containers_and_buffers_have_their_length(argument, elements):
    assert size_of(argument) == elements


def test_a_mapped_file_has_its_bytes():
    with mmap.mmap(-1, 4096) as mapped:
        assert size_of(mapped) == 4096
    assert size_of(mapped) is None  # closed


@pytest.mark.parametrize("argument", ["text", 5, 1.5, None, True, 3j, object(), print, int, sys, iter([1]), (x for x in ()), Odd()],
                         ids=lambda a: type(a).__name__)
def test_what_is_no_data_has_no_size(argument):
    assert size_of(argument) is None


def test_a_len_of_the_program_is_never_called():
    assert size_of(Odd()) is None
    assert size_of(OddList([1, 2])) == 2


@pytest.mark.parametrize("argument, elements", [(Shaped((10, 20)), 200), (Shaped((0, 5)), 0), (Shaped(()), None), (Shaped(7), None),
                                                (Shaped((None, 2)), None), (Shaped(("a",)), None), (Frame(), 3000)])
def test_arrays_and_frames_have_the_product_of_their_shape(argument, elements):
    assert size_of(argument) == elements


def test_numpy_arrays_have_their_elements():
    numpy = pytest.importorskip("numpy")
    assert size_of(numpy.ones((30, 40))) == 1200
    assert size_of(numpy.ones((30, 40))[::2]) == 600
    assert size_of(numpy.float64(1.5)) is None
    assert size_of(numpy.array(5)) is None
    assert size_of(numpy.ma.ones((3, 4))) == 12


def test_a_class_that_becomes_an_array_is_seen_as_one():
    class Late:
        shape = (5,)

    assert size_of(Late()) is None
    Late.__array_interface__ = {}
    assert size_of(Late()) == 5


def test_a_shape_that_raises_is_no_size_and_no_error():
    class Broken:
        __array_interface__ = {}

        @property
        def shape(self):
            raise RuntimeError

    assert size_of(Broken()) is None


def test_the_largest_argument_counts_and_keywords_are_arguments():
    assert size_of([1], [1, 2, 3], "a long text") == 3
    assert size_of([1], data=[1] * 5) == 5
    assert size_of() is None


def test_the_average_is_over_the_calls_that_have_data():
    measured = epochly.optimize(lambda *args: None)
    for argument in ([1] * 10, [1] * 20, 5):
        measured(argument)
    metrics = epochly.get_metrics(measured)
    assert (metrics["avg_data_size"], metrics["data_samples"], metrics["total_calls"]) == (15, 2, 3)


def test_a_methods_object_is_no_data():
    class Holder:
        @epochly.optimize
        def method(self, data):
            return data

    Holder().method([1, 2])
    assert epochly.get_metrics(Holder.method)["avg_data_size"] == 2


@pytest.mark.skipif(sys.version_info < (3, 12), reason="buffers in Python are of 3.12 and later")
def test_a_buffer_method_of_the_program_is_never_called():
    class Buffer:
        def __buffer__(self, flags):
            raise AssertionError("was asked for its buffer")

    assert size_of(Buffer()) is None
