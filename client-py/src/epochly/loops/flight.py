"""Chunks on their way to other processes and back."""

import collections

from epochly import _native

__all__ = ["Flight"]


class Flight:
    """In the order of their items, whichever ends first. Lives on the caller's thread."""

    def __init__(self):
        self._chunks = collections.deque()  # (future, items); a future of None: they run here, when it is their turn
        self._ended = set()  # numbers of those of them that have
        self._begun = 0
        self._completions = _native.Completions()

    def __len__(self):
        """Begun and not handed on."""
        return len(self._chunks)

    @property
    def running(self):
        """Not ended."""
        return len(self._chunks) - len(self._ended)

    @property
    def _first(self):
        return self._begun - len(self._chunks)

    def add(self, future, items):
        self._chunks.append((future, items))
        if future is None:
            self._ended.add(self._begun)
        else:
            self._completions.add(future, self._begun)
        self._begun += 1

    def again(self, future, items):
        """The chunk that was popped last, on its way once more."""
        self._chunks.appendleft((future, items))
        if future is None:
            self._ended.add(self._first)
        else:
            self._completions.add(future, self._first)

    def wait(self):
        """Whether the first has ended; if not, waits until any has."""
        if self._first in self._ended:
            return True
        self._ended.update(self._completions.take(None))
        return False

    def pop(self):
        """(future, items) of the first."""
        self._ended.discard(self._first)
        return self._chunks.popleft()

    def cancel(self, running):
        """What has not begun. The first ``running`` chunks that have not ended have: their iterations are not broken off."""
        numbered = zip(range(self._first, self._begun), self._chunks)
        for future in [future for number, (future, _) in numbered if number not in self._ended][running:]:
            future.cancel()
