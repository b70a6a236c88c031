"""Equality to the bit: type, value, sign of zero; NaN equals NaN whatever its payload."""

import math
import struct


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    if isinstance(a, float):  # numpy.float64 too
        if math.isnan(a) or math.isnan(b):
            return math.isnan(a) and math.isnan(b)
        return struct.pack("d", a) == struct.pack("d", b)
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    if hasattr(a, "dtype") and getattr(a, "ndim", 0):
        return same_array(a, b)
    if type(a).__module__ == "numpy":  # its other scalars
        return same_array(a.reshape(1), b.reshape(1))
    return a == b


def same_array(a, b):
    """To the bit, and in the same order in memory."""
    import numpy

    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.size > 1 and a.strides != b.strides:
        return False
    equal = numpy.ascontiguousarray(a).view(f"V{a.itemsize}") == numpy.ascontiguousarray(b).view(f"V{a.itemsize}")
    if a.dtype.kind in "fc":
        equal = equal | (numpy.isnan(a) & numpy.isnan(b)).reshape(equal.shape)
    return bool(equal.all())
