"""``Client.map``: chunks of items as tasks, results in input order, a bounded number of items ahead."""
import asyncio
import collections
import concurrent.futures
import inspect
import itertools
import pickle
import time

from epochly import _native, _pickling
from epochly.errors import EpochlyError
from epochly.serialize import Wrapper

# "auto" aims at tasks of this many seconds: some hundred times what a task costs, and still many per second and worker.
CHUNK_SECONDS = 0.01
# A chunk grows at most this much from one measurement to the next: a few quick items say little about the next ones.
GROWTH_MAX = 4
# Items of an automatic chunk: their results are held until the last of them is done.
CHUNK_ITEMS_MAX = 4096
# Chunks on their way per slot of the cluster: one runs, one waits beside it, two are in between.
CHUNKS_PER_SLOT = 4
CHUNKS_MIN = 8
# Items on their way or finished and not yet taken: what is pulled from the input ahead of what was yielded.
ITEMS_AHEAD_MAX = 64 * 1024
# Of a failed chunk's results before the failure: larger ones stay behind.
VALUES_BYTES_MAX = 16 << 20


class ChunkFailed(Exception):
    """An item of a chunk raised. ``values`` are the results before it, None if they were too large; its error is the cause."""

    pickled_bytes_max = VALUES_BYTES_MAX + 4096   # see epochly._exceptions

    def __init__(self, index, values):
        super().__init__(index)
        self.index = index
        self.values = values

    @property
    def shown_error(self):
        """Whose traceback is sent, and seen in the scheduler."""
        return self.__cause__ or self

    def __reduce__(self):
        return _load_failed, (self.index, _dumped(self.values))


def _dumped(values):
    """Their pickle; None if that is too large, or one of them does not pickle."""
    try:
        data = _pickling.dumps(values)
    except Exception:  # what the values' pickling may raise
        return None
    return data if len(data) <= VALUES_BYTES_MAX else None


def _load_failed(index, data):
    return ChunkFailed(index, None if data is None else pickle.loads(data))


class Chunk(Wrapper):
    """Runs a function on each of a list of argument tuples, in the executor."""

    __slots__ = ()

    def __call__(self, items):
        function = self.__wrapped__
        values = []
        for index, args in enumerate(items):
            try:
                value = function(*args)
                values.append(asyncio.run(value) if inspect.iscoroutine(value) else value)
            except BaseException as error:
                raise ChunkFailed(index, values) from error
        return values

    def __reduce__(self):
        return Chunk, (self.__wrapped__,)


class _Sizer:
    """Items per chunk, from what chunks took."""

    def __init__(self, chunksize):
        if chunksize == "auto":
            self.size, self.fixed = 1, False
        elif isinstance(chunksize, int) and not isinstance(chunksize, bool) and chunksize >= 1:
            self.size, self.fixed = chunksize, True
        else:
            raise ValueError(f'chunksize {chunksize!r}: use "auto" or a number of items, at least 1')

    def learn(self, items, seconds):
        if self.fixed or seconds is None:
            return
        fitting = max(1, int(CHUNK_SECONDS * items / max(seconds, 1e-9)))
        self.size = min(fitting, self.size * GROWTH_MAX, CHUNK_ITEMS_MAX)


class MapIterator:
    """Yields results in input order. Closing it, or dropping it, cancels what is still on its way."""

    def __init__(self, client, fn, iterables, *, chunksize, level, retries, timeout):
        if not callable(fn):
            raise TypeError(f"map() takes a function, not {type(fn).__name__}")
        if not iterables:
            raise TypeError("map() takes at least one iterable")
        _native.check_options(level, retries, None)
        self._client = client
        self._chunk = Chunk(fn)
        self._options = {"level": level, "retries": retries}
        self._items = zip(*iterables)
        self._sizer = _Sizer(chunksize)
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._timeout = timeout
        self._chunks_max = max(CHUNKS_MIN, CHUNKS_PER_SLOT * _slots(client))
        self._flying = collections.deque()   # (future, items) in input order
        self._ahead = 0                      # items in `_flying`
        self._ready = collections.deque()    # results to yield next
        self._index = 0                      # of the next result
        self._exhausted = False
        self._error = None                   # raised once `_ready` is empty
        self._fill()

    def __iter__(self):
        return self

    def __next__(self):
        if not self._ready and self._error is None and self._flying:
            self._take()
        if self._ready:
            self._index += 1
            return self._ready.popleft()
        if self._error is not None:
            error, self._error = self._error, None
            self.close()
            raise error
        raise StopIteration

    def close(self):
        """Cancels what is still on its way; the iterator is at its end."""
        self._exhausted = True
        self._ready.clear()
        while self._flying:
            self._flying.pop()[0].cancel()

    def __del__(self):
        if getattr(self, "_flying", None):
            try:
                self.close()
            except EpochlyError:  # the client is closed already
                pass

    def _fill(self):
        while not self._exhausted and len(self._flying) < self._chunks_max and self._ahead < ITEMS_AHEAD_MAX:
            size = min(self._sizer.size, ITEMS_AHEAD_MAX - self._ahead)
            items = list(itertools.islice(self._items, size))
            self._exhausted = len(items) < size
            if items:
                self._flying.append((self._client.submit(self._chunk, items, **self._options), len(items)))
                self._ahead += len(items)

    def _take(self):
        """The next chunk's results."""
        future, items = self._flying[0]
        try:
            values = future.result(None if self._deadline is None else max(0.0, self._deadline - time.monotonic()))
        except ChunkFailed as failed:
            self._fail(failed)
        except BaseException as error:
            if future.done():
                self._error = error
                if items > 1:
                    _note(error, f"in one of the items {self._index} to {self._index + items - 1} of map()")
            elif isinstance(error, concurrent.futures.TimeoutError):
                self._error = concurrent.futures.TimeoutError(
                    f"map() did not finish within {self._timeout} s: the first unfinished index is {self._index}")
            else:  # Ctrl-C: the items are still on their way
                raise
        else:
            self._flying.popleft()
            self._ahead -= items
            self._sizer.learn(items, future.placement.timings.run)
            self._ready.extend(values)
            self._fill()

    def _fail(self, failed):
        if failed.values is not None:
            self._ready.extend(failed.values)
        self._error = failed.__cause__
        _note(self._error, f"at index {self._index + failed.index} of map()")


def _slots(client):
    return sum(sum(worker["slots"].values()) for worker in client.workers())


def _note(error, text):
    if hasattr(error, "add_note"):  # 3.11
        error.add_note(text)
