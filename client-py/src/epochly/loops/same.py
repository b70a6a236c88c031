"""Results that are the items themselves, or contain them: `[row for row in rows if fits(row)]`.

Those do not travel back: the caller has them, and gets the very objects, as it would have without another process.
"""

import io
import pickle

from epochly import _pickling
from epochly.errors import ResultNotPicklable

__all__ = ["Bundle", "paths_of"]

# Nobody can tell a copy of these from the thing itself.
_PLAIN = frozenset((int, float, complex, bool, str, bytes, type(None), range))


def paths_of(items):
    """{id of an item: where it is}, also of the parts of those that are tuples. Valid for as long as they live."""
    paths = {}
    for at, item in enumerate(items if isinstance(items, (list, tuple)) else ()):
        if type(item) in _PLAIN:
            continue
        paths[id(item)] = (at, None)
        if type(item) is tuple:
            for index, part in enumerate(item):
                if type(part) not in _PLAIN:
                    paths.setdefault(id(part), (at, index))
    return paths


class Bundle:
    """A value on its way to where the items are. Made where copies of them are; raises ResultNotPicklable."""

    __slots__ = ("stream", "buffers")

    def __init__(self, value, paths):
        self.buffers, file = [], io.BytesIO()
        try:
            _Pickler(file, paths, self.buffers.append).dump(value)
        except Exception as error:  # whatever the pickling of the user's values raises
            why = f"an iteration left something that cannot be sent back: {type(error).__name__}: {error}"
            raise ResultNotPicklable(why) from error
        self.stream = file.getvalue()

    def __reduce__(self):
        return _bundle, (self.stream, self.buffers)

    def opened(self, items):
        return _Unpickler(io.BytesIO(self.stream), items, self.buffers).load()


def _bundle(stream, buffers):
    made = Bundle.__new__(Bundle)
    made.stream, made.buffers = stream, buffers
    return made


class _Pickler(_pickling.Pickler):
    def __init__(self, file, paths, buffer_callback):
        super().__init__(file, 5, buffer_callback=buffer_callback)
        self.paths = paths

    def persistent_id(self, value):
        return self.paths.get(id(value))


class _Unpickler(pickle.Unpickler):
    def __init__(self, file, items, buffers):
        super().__init__(file, buffers=buffers)
        self.items = items

    def persistent_load(self, path):
        at, part = path
        return self.items[at] if part is None else self.items[at][part]
