"""What has come to another process through shared memory, once for all chunks of a run."""

import collections
import gc
import pickle
import threading

from epochly import _native

__all__ = ["Arrived"]

# Runs whose values are kept for their next chunks: as many loops can have their chunks mixed in one process without being loaded
# again for each.
RUNS_MAX = 8
# Of shared memory that they hold, beside that of the last one: it is nobody else's any more when their runs have ended.
HELD_BYTES_MAX = 64 << 20
# Functions and their globals refer to each other, so only the collector frees what they have mapped. It takes some 10 ms.
COLLECTED_BYTES = 256 << 20


class Arrived:
    """A callable whose pickle and buffers are in shared memory; called, it calls what they are of."""

    __slots__ = ("ranges",)

    def __init__(self, ranges):
        self.ranges = ranges

    def __reduce__(self):
        return Arrived, (self.ranges,)

    def __call__(self, *arguments):
        return _last.of(tuple(map(tuple, self.ranges)))(*arguments)


class _Last:
    """The values that were used last, by their ranges. Used by any thread of an executor."""

    def __init__(self):
        self._lock = threading.Lock()
        self._values = collections.OrderedDict()
        self._dropped = 0  # bytes of them, since they were collected

    def of(self, ranges):
        with self._lock:
            if ranges not in self._values:
                self._drop_for(ranges)
                self._values[ranges] = _load(ranges)
            self._values.move_to_end(ranges)
            return self._values[ranges]

    def _drop_for(self, ranges):
        """Makes room for one that comes."""
        while self._values and (len(self._values) >= RUNS_MAX or sum(map(_bytes_of, self._values)) > HELD_BYTES_MAX):
            self._dropped += _bytes_of(self._values.popitem(last=False)[0])
        if self._dropped >= COLLECTED_BYTES:
            self._dropped = 0
            gc.collect()


_last = _Last()


def _bytes_of(ranges):
    return sum(size for _, _, _, size in ranges)


def _load(ranges):
    stream, *buffers = [_native.map_buffer(*each) for each in ranges]
    if stream is None:
        raise MemoryError("its data is in the shared memory of another host")
    return pickle.loads(stream, buffers=buffers)
