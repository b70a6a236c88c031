"""Waiting for what happens in another process, and what is left of it. (Not in conftest.py: workers import test modules, and there
are several of that name.)"""
import os
import pathlib
import time

# A test that waits so long has failed; the machine may be slow.
PATIENCE = 60


def shared_objects():
    return {entry.name for entry in os.scandir("/dev/shm") if entry.name.startswith(f"epochly-{os.getuid()}-")}


def until(condition, patience=PATIENCE):
    """Polls, because what is waited for happens in another process. False if it did not come about."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def gone(pid):
    """The process is no more (or only its entry for the parent is)."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
