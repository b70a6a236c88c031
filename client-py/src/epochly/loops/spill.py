"""Results on disk: those of chunks that would take more memory than there is for what waits for its turn.

A file is read by mapping it, and unlinked then: large arrays in it stay on disk, their pages in memory only while that has room for
them, for as long as somebody keeps them.
"""

import mmap
import os
import pickle
import shutil
import tempfile
import threading

from epochly import _daemon, _pickling
from epochly.errors import SpillFailed

__all__ = ["Place", "Spilled", "Spiller"]

# Of a disk, what is left to others.
FREE_SHARE_MIN = 0.05
# As worker/objects/object.h: what numpy arrays want to begin at.
ALIGNMENT = 64


class Place:
    """Where the chunks of one run put their results. Lives on the caller's thread; gone with ``end()``, or with its process."""

    def __init__(self, folder):
        self.folder = tempfile.mkdtemp(dir=_folder_in(folder))

    def end(self):
        shutil.rmtree(self.folder, ignore_errors=True)  # a chunk that nobody waits for may still write into it


_lock = threading.Lock()
_folders = {}  # (process, folder): (one of ours in it, its Reaper)


def _folder_in(folder):
    with _lock:
        key = os.getpid(), folder
        if key not in _folders or not os.path.isdir(_folders[key][0]):
            try:
                made = tempfile.mkdtemp(prefix=f"epochly-spill-{os.getpid()}-", dir=folder)
            except OSError as error:
                raise SpillFailed(f"cannot make a folder for results in {folder}: {error}") from error
            _folders[key] = made, _daemon.Reaper(made)
        return _folders[key][0]


def _forget():
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget)


class Spiller:
    """Goes with the chunks: keeps what takes more than so many bytes in `folder`."""

    def __init__(self, folder, bytes_max):
        self.folder, self.bytes_max = folder, bytes_max

    def __call__(self, value):
        """`value`, or the Spilled that stands for it. Raises SpillFailed, and what pickling raises."""
        buffers = []
        parts = [memoryview(_pickling.dumps(value, buffer_callback=buffers.append)), *(each.raw() for each in buffers)]
        if sum(part.nbytes for part in parts) <= self.bytes_max:
            return value
        try:
            return _write(self.folder, parts)
        except OSError as error:
            if isinstance(error, SpillFailed):
                raise
            raise SpillFailed(f"cannot write results to {self.folder}: {error}") from error


def _write(folder, parts):
    ranges, end = [], 0
    for part in parts:
        begin = (end + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
        end = begin + part.nbytes
        ranges.append((begin, end))
    _require_room(folder, end)
    file, path = tempfile.mkstemp(dir=folder)
    try:
        with open(file, "wb") as out:
            for part, (begin, _) in zip(parts, ranges):
                out.seek(begin)
                out.write(part)
    except BaseException:
        os.unlink(path)
        raise
    return Spilled(path, ranges)


def _require_room(folder, size):
    disk = os.statvfs(folder)
    free, least = disk.f_bavail * disk.f_frsize, FREE_SHARE_MIN * disk.f_blocks * disk.f_frsize
    if free - size < least:
        raise SpillFailed(f"results of {size} bytes do not fit on the disk of {folder}: {free} bytes are free, of which "
                          f"{least:.0f} are left to others")


class Spilled:
    """A pickle and its buffers in a file."""

    __slots__ = ("path", "ranges")

    def __init__(self, path, ranges):
        self.path, self.ranges = path, ranges

    def __reduce__(self):
        return Spilled, (self.path, self.ranges)

    def opened(self):
        """What is in it; the file is gone afterwards."""
        with open(self.path, "rb") as file:
            os.unlink(self.path)
            view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        stream, *buffers = [view[begin:end] for begin, end in self.ranges]
        return pickle.loads(stream, buffers=buffers)
