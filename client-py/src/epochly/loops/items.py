"""What a loop goes over, in pieces."""

import itertools
import operator
import sys

__all__ = ["Items"]


class Items:
    """Lists and the like are cut, everything else is asked for its items."""

    def __init__(self, iterable):
        self.sequence, self.at = None, 0
        self.ends_with = None  # what the iterable itself raised
        self.exhausted = False
        if type(iterable) in (list, tuple, range, str, bytes) or _is_array(iterable):
            self.sequence, self.iterator = iterable, None
        else:
            self.iterator = iter(iterable)

    def take(self, count):
        if self.sequence is not None:
            part = self.sequence[self.at:self.at + count]
            self.at += len(part)
            self.exhausted = self.at >= len(self.sequence)
            return part
        part = []
        try:
            part.extend(itertools.islice(self.iterator, count))
        except Exception as error:  # raised once what came before has been handed on
            self.ends_with = error
        self.exhausted = len(part) < count
        return part

    @property
    def compact(self):
        """Whether many pickle as one: what a few take says nothing."""
        return self.sequence is not None and type(self.sequence) not in (list, tuple)

    def sample(self, count):
        """Up to so many of those that come next; none where looking at them would take them."""
        return [] if self.sequence is None else self.sequence[self.at:self.at + count]

    def left(self):
        """How many there are still; None if nobody knows."""
        if self.sequence is not None:
            return len(self.sequence) - self.at
        hint = operator.length_hint(self.iterator, -1)
        return None if hint < 0 else hint


def _is_array(value):
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(value) is numpy.ndarray and value.ndim > 0 and not value.dtype.hasobject
