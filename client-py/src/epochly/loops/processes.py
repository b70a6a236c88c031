"""Level 3's runner for loops that are not compiled: iterations run in chunks on other processes.

The caller's thread runs the first iterations itself, which shows how long they take. If the rest is worth it, chunks of it go to
the team's processes, and what they noted is handed on in the order of the items. Each iteration runs once, here or there.
"""

from epochly.loops import purity
from epochly.loops.run import Run
from epochly.loops.split import Split

__all__ = ["ProcessRun", "all_left_alone"]

# A loop that was too small three times in a row is left alone for eight calls, then for twice as many, and so on up to
# 2 ** SMALL_MAX: looking whether it has grown costs some 50 us.
SMALL_MIN = 3
SMALL_MAX = 10


class _Experience:
    """What the last runs of a loop have shown."""

    __slots__ = ("small", "skip")

    def __init__(self):
        self.small = 0  # runs in a row that were too small
        self.skip = 0  # calls for which it is left alone

    def learn(self, small):
        self.small = min(self.small + 1, SMALL_MAX) if small else 0
        if self.small >= SMALL_MIN:
            self.skip = 1 << self.small


def all_left_alone(loops):
    """Whether each of a function's loops is left alone, for one call less from now on."""
    experiences = [loop.learned(_Experience) for loop in loops if loop.independent]
    if not all(experience.skip > 0 for experience in experiences):
        return False
    for experience in experiences:
        experience.skip -= 1
    return True


class ProcessRun(Run):
    """One call of a function at level 3. In another process it loads as one that runs every loop where it is."""

    __slots__ = ("inside", "watches", "limit", "function", "workers")

    def __init__(self, function, plan, limit):
        super().__init__(plan, self.split)
        self.function = function
        self.workers = set()  # names of a cluster's, on which chunks have run
        self.limit = limit
        self.inside = False  # of an iteration
        self.watches = {}  # by loop, of those that were taken

    def __reduce__(self):
        return _Inside, ()

    def note(self, why):
        if why not in self.declined:
            self.declined.append(why)

    def takes(self, index, body):
        if self.inside:
            return False
        loop = self.loops[index]
        experience = loop.learned(_Experience)
        if experience.skip > 0:
            experience.skip -= 1
            self.note(f"line {loop.line}: the last times it was too small to split")
            return False
        self.watches[loop] = watch = purity.Watch()
        why = purity.obstacle(body, watch)
        if why is not None:
            self.note(f"line {loop.line}: {why}")
        return why is None

    def note_worker(self, name):
        if name is not None:
            self.workers.add(name)

    def made_split(self, loop, body, iterable):
        return Split(self, loop, body, iterable)

    def split(self, loop, body, iterable):
        split = self.made_split(loop, body, iterable)
        yield from split.logs()
        why = split.why_not()
        if why is not None:
            self.note(f"line {loop.line}: {why}")
        loop.learned(_Experience).learn(small=why is not None and split.rests is None)


class _Inside(Run):
    """Of a chunk: what loops inside of an iteration runs there."""

    __slots__ = ()

    def __init__(self):
        self.declined = []

    def __reduce__(self):
        return _Inside, ()

    def takes(self, index, body):
        return False
