"""The processes that iterations run on: those of the cluster that EPOCHLY_ADDRESS names, else of this process's own.

They are started in the background by the first loop that would gain by them, which goes on by itself until they are there.
"""

import os
import threading
import time

from epochly import _cluster
from epochly.loops.chunk import warm

__all__ = ["await_started", "find"]

# How long the number of workers is taken to be what it was.
SLOTS_SECONDS = 1.0
# After a start that failed, no other is tried for so many seconds.
RETRY_SECONDS = 10.0


class Team:
    """client: of the cluster. count: of its workers. shared: they all have this process's shared memory. environment: os.environ
    when they were started."""

    def __init__(self, client, environment):
        self.client, self.environment = client, environment
        self.pid = os.getpid()
        self._slots, self._asked = 0, 0.0
        self.count, self.shared = 0, False
        self.slots()

    def slots(self):
        """How many iterations can run at once."""
        now = time.monotonic()
        if now - self._asked > SLOTS_SECONDS:
            workers = self.client.workers()
            self._slots, self._asked = sum(worker["slots"].get("cpu", 0) for worker in workers), now
            self.count = len(workers)
            self.shared = all(worker["shares_memory"] for worker in workers)
        return self._slots

    def too_few(self, cores):
        """Why work that can use so many cores here does not gain by them; None if it does."""
        if self.slots() > cores:
            return None
        if cores == 1:
            return "there is one process only to run it on"
        return f"the workers run {self.slots()} iterations at once, this process {cores}"

    @property
    def own(self):
        """Whether the workers are this process's, with its folder and environment."""
        return self.client._cluster is not None

    def changed_environment(self):
        if not self.own:
            return {}
        now = dict(os.environ)
        names = now.keys() | self.environment.keys()
        return {name: now.get(name) for name in names if now.get(name) != self.environment.get(name)}

    def alive(self):
        return self.pid == os.getpid() and self.client.connected


_lock = threading.Lock()
_team = None
_starting = None
_failed = None  # (when, why) the last start did


def find():
    """(the team, None), or (None, why there is none yet), and then one is being started."""
    global _team, _starting
    with _lock:
        if _team is not None and not _team.alive():
            _team = None
        if _team is not None:
            return _team, None
        if _failed is not None and time.monotonic() - _failed[0] < RETRY_SECONDS:
            return None, f"no processes to run it on: {_failed[1]}"
        if _starting is None or not _starting.is_alive():
            thread = threading.Thread(target=_start, name="epochly-team", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the interpreter is at its end
                return None, f"no processes to run it on: {error}"
            _starting = thread
        return None, "it ended before the processes to run it on had started"


def await_started():
    """As find(), but waits until the start that is on its way has ended."""
    found = find()
    if found[0] is None and _starting is not None:
        _starting.join()
        found = find()
    return found


def _start():
    global _team, _failed
    environment = dict(os.environ)
    try:
        client = _cluster.client()
        if not client.connected:
            client.close()
            client = _cluster.client()
        team = Team(client, environment)
        for future in [client._submit(warm, (), {}, 0) for _ in range(team.slots())]:
            future.result()
    except Exception as error:
        with _lock:
            _failed = time.monotonic(), f"{type(error).__name__}: {error}"
        return
    with _lock:
        _team, _failed = team, None


def _forget():
    global _team, _starting, _failed, _lock
    _lock = threading.Lock()
    _team = _starting = _failed = None


os.register_at_fork(after_in_child=_forget)
