"""How what an iteration does gets to another process: once for each run of a loop, not once for each of its chunks.

The user's functions travel as they are now, with the values of the globals that they name: another process that imported their
module would have the values that these had then. Large buffers go into shared memory, where they are mapped and not copied.
"""

import hashlib
import io
import pickle
import sys
import types

from epochly import _native, _optimize, _pickling, serialize
from epochly.errors import FunctionNotPicklable
from epochly.loops import purity
from epochly.loops.arrived import Arrived
from epochly.loops.kept import COPYING_SECONDS, Loan, bytes_of

__all__ = ["require_worth", "ship"]

# Of what a loop gains by other processes, what the copying to them may take.
COPYING_SHARE_MAX = 0.5
# Seconds a byte to a worker on another host: 1 Gbit/s.
SENDING_SECONDS = 8e-9
# As schemas/wire/task_spec.h SHARED_BUFFER_BYTES_MIN: below, a copy in a message costs less than a mapping.
SHARED_BYTES_MIN = 64 << 10


class _Pickler(_pickling.Pickler):
    """The program's own functions by value, wherever they are from, decorated ones with how they are."""

    def reducer_override(self, obj):
        if _native.is_wrapped(obj) and purity.is_users(_native.options(obj)[0]):
            return _optimize.rebuilt(obj)
        if type(obj) is types.FunctionType and purity.is_users(obj):
            return self._dynamic_function_reduce(obj)
        return super().reducer_override(obj)


def ship(call, name, members, gain):
    """(what is to be submitted for `call`, the Loan of its shared memory or None: to be ended when nobody needs it any more).

    members: the team. gain: seconds that are to be gained by it.
    Raises FunctionNotPicklable, also where the copying would take too much of the gain.
    """
    large = []
    file = io.BytesIO()
    shared = members.shared
    try:
        _Pickler(file, 5, buffer_callback=_keeper(large) if shared else None).dump(call)
    except Exception as error:  # whatever the pickling of the user's values raises
        raise FunctionNotPicklable(f"it refers to something that does not pickle: {type(error).__name__}: {error}") from error
    stream, loan = file.getbuffer(), Loan(large)
    seconds_per_byte = COPYING_SECONDS if shared else SENDING_SECONDS * members.count
    require_worth(len(stream) * seconds_per_byte, loan, gain)
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


def require_worth(stream_seconds, loan, gain):
    """Raises FunctionNotPicklable if a stream and the buffers of a loan take too much of a gain, in seconds, to get there."""
    seconds = stream_seconds + loan.seconds()
    if seconds > COPYING_SHARE_MAX * gain:
        loan.miss(gain)
        raise FunctionNotPicklable(f"what it refers to takes about {seconds * 1e3:.2g} ms to copy, too much for a gain of "
                                   f"{gain * 1e3:.2g} ms")


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
