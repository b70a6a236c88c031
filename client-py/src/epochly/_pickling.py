"""cloudpickle, which keeps what ``epochly.optimize`` has made of a function."""
import io

import cloudpickle

from epochly import _native

__all__ = ["Pickler", "dumps"]


class Pickler(cloudpickle.Pickler):
    """A decorated function passes for the function itself, by which cloudpickle would take it: undecorated, it would run as plain
    Python wherever it arrives."""

    def reducer_override(self, obj):
        if not _native.is_wrapped(obj):
            return super().reducer_override(obj)
        from epochly import _optimize

        by_value = obj.__module__ == "__main__" or obj.__module__ in cloudpickle.list_registry_pickle_by_value()
        return _optimize.rebuilt(obj) if by_value else _optimize.reduce(obj)


def dumps(value, protocol=5, buffer_callback=None):
    file = io.BytesIO()
    Pickler(file, protocol, buffer_callback=buffer_callback).dump(value)
    return file.getvalue()
