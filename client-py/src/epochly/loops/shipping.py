"""How what an iteration does gets to another process: once for each run of a loop, not once for each of its chunks.

The user's functions travel as they are now, with the values of the globals that they name: another process that imported their
module would have the values that these had then. Large buffers go into shared memory, where they are mapped and not copied.
"""

import hashlib
import io
import pickle
import sys
import types

import cloudpickle

from epochly import _native, serialize
from epochly.errors import FunctionNotPicklable
from epochly.loops import purity

__all__ = ["ship"]

# Of what a loop gains by other processes, what the copying to them may take.
COPYING_SHARE_MAX = 0.5
# Into new shared memory: its pages are zeroed first.
SECONDS_PER_BYTE = 1e-9
# As schemas/wire/task_spec.h SHARED_BUFFER_BYTES_MIN: below, a copy in a message costs less than a mapping.
SHARED_BYTES_MIN = 64 << 10


class _Pickler(cloudpickle.CloudPickler):
    """The program's own functions by value, wherever they are from."""

    def reducer_override(self, obj):
        if type(obj) is types.FunctionType and purity.is_users(obj):
            return self._dynamic_function_reduce(obj)
        return super().reducer_override(obj)


def ship(call, name, shared, gain):
    """(what is to be submitted for `call`, the owner of its shared memory or None).

    shared: whether all workers are on this host. gain: seconds that are to be gained by it.
    Raises FunctionNotPicklable, also where the copying would take too much of the gain.
    """
    large = []
    file = io.BytesIO()
    try:
        _Pickler(file, 5, buffer_callback=_keeper(large) if shared else None).dump(call)
    except Exception as error:  # whatever the pickling of the user's values raises
        raise FunctionNotPicklable(f"it refers to something that does not pickle: {type(error).__name__}: {error}") from error
    stream, owner = file.getbuffer(), None
    copied = len(stream) + sum(map(_bytes_of, large))
    if copied * SECONDS_PER_BYTE > COPYING_SHARE_MAX * gain:
        raise FunctionNotPicklable(f"what it refers to takes {copied} bytes, too much to copy for a gain of {gain * 1e3:.2g} ms")
    if shared and (large or len(stream) >= SHARED_BYTES_MIN):
        placed = _native.share_buffers([stream, *large])
        if placed is None:
            raise FunctionNotPicklable("there is no room in shared memory for what it refers to")
        owner, ranges = placed
        code = pickle.dumps(_Mapped(ranges), 5)
    else:
        code = file.getvalue()
    if len(code) > serialize.FUNCTION_BYTES_MAX:
        raise FunctionNotPicklable(f"what it refers to takes {len(code)} bytes, over the limit of {serialize.FUNCTION_BYTES_MAX}")
    return serialize.Described(_described(code, name)), owner


def _keeper(large):
    def keep(buffer):
        if _bytes_of(buffer) < SHARED_BYTES_MIN:
            return True  # stays in the stream
        large.append(buffer)
        return False
    return keep


def _bytes_of(buffer):
    with buffer.raw() as raw:
        return raw.nbytes


def _described(code, name):
    """As epochly.serialize.describe."""
    digest = hashlib.blake2b(code, digest_size=16).digest()
    version = sys.version_info[0] << 8 | sys.version_info[1]
    return (int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little"), name, code, version, "", False, False,
            False, [])


class _Mapped:
    """A pickle and its buffers in shared memory; loads as what it is of."""

    def __init__(self, ranges):
        self.ranges = ranges

    def __reduce__(self):
        return _load, (self.ranges,)


def _load(ranges):
    stream, *buffers = [_native.map_buffer(*each) for each in ranges]
    if stream is None:
        raise MemoryError("its data is in the shared memory of another host")
    return pickle.loads(stream, buffers=buffers)
