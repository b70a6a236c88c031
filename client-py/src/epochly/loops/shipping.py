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

from epochly import serialize
from epochly.errors import FunctionNotPicklable
from epochly.loops import purity
from epochly.loops.arrived import Arrived
from epochly.loops.kept import COPYING_SECONDS, Loan, bytes_of

__all__ = ["require_worth", "ship"]

# Of what a loop gains by other processes, what the copying to them may take.
COPYING_SHARE_MAX = 0.5
# As schemas/wire/task_spec.h SHARED_BUFFER_BYTES_MIN: below, a copy in a message costs less than a mapping.
SHARED_BYTES_MIN = 64 << 10


class _Pickler(cloudpickle.CloudPickler):
    """The program's own functions by value, wherever they are from."""

    def reducer_override(self, obj):
        if type(obj) is types.FunctionType and purity.is_users(obj):
            return self._dynamic_function_reduce(obj)
        return super().reducer_override(obj)


def ship(call, name, shared, gain):
    """(what is to be submitted for `call`, the Loan of its shared memory or None: to be ended when nobody needs it any more).

    shared: whether all workers are on this host. gain: seconds that are to be gained by it.
    Raises FunctionNotPicklable, also where the copying would take too much of the gain.
    """
    large = []
    file = io.BytesIO()
    try:
        _Pickler(file, 5, buffer_callback=_keeper(large) if shared else None).dump(call)
    except Exception as error:  # whatever the pickling of the user's values raises
        raise FunctionNotPicklable(f"it refers to something that does not pickle: {type(error).__name__}: {error}") from error
    stream, loan = file.getbuffer(), Loan(large)
    require_worth(len(stream), loan, gain)
    if shared and (large or len(stream) >= SHARED_BYTES_MIN):
        ranges = loan.take(stream)
        if ranges is None:
            raise FunctionNotPicklable("there is no room in shared memory for what it refers to")
        code = pickle.dumps(Arrived(ranges), 5)
    else:
        code, loan = file.getvalue(), None
    if len(code) > serialize.FUNCTION_BYTES_MAX:
        raise FunctionNotPicklable(f"what it refers to takes {len(code)} bytes, over the limit of {serialize.FUNCTION_BYTES_MAX}")
    return serialize.Described(_described(code, name)), loan


def require_worth(stream_bytes, loan, gain):
    """Raises FunctionNotPicklable if copying a stream and the buffers of a loan takes too much of a gain, in seconds."""
    seconds = stream_bytes * COPYING_SECONDS + loan.seconds()
    if seconds > COPYING_SHARE_MAX * gain:
        loan.miss(gain)
        copied = stream_bytes + sum(map(bytes_of, loan.buffers))
        raise FunctionNotPicklable(f"what it refers to takes {copied} bytes, too much to copy for a gain of {gain * 1e3:.2g} ms")


def _keeper(large):
    def keep(buffer):
        if bytes_of(buffer) < SHARED_BYTES_MIN:
            return True  # stays in the stream
        large.append(buffer)
        return False
    return keep


def _described(code, name):
    """As epochly.serialize.describe."""
    digest = hashlib.blake2b(code, digest_size=16).digest()
    version = sys.version_info[0] << 8 | sys.version_info[1]
    return (int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little"), name, code, version, "", False, False,
            False, [])
