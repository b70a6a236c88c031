"""Level 3's runner for loops that are not compiled: iterations run in chunks on other processes.

The caller's thread runs the first iterations itself, which shows how long they take. If the rest is worth it, chunks of it go to
the team's processes, and what they noted is handed on in the order of the items. Each iteration runs once, here or there.
"""

import collections
import contextlib
import itertools
import operator
import pickle
import sys
import time

from epochly import _native
from epochly._map import ChunkFailed
from epochly.errors import (
    ArgumentsNotPicklable,
    FunctionNotPicklable,
    FunctionUnavailable,
    NoFittingWorker,
    Overloaded,
    PayloadTooLarge,
)
from epochly.loops import purity, team
from epochly.loops.budget import Budget, Used
from epochly.loops.chunk import Chunk, Surroundings
from epochly.loops.run import Run
from epochly.loops.shipping import ship
from epochly.loops.threads import raising
from epochly.loops.told import tell

__all__ = ["ProcessRun", "all_left_alone"]

# Less than this is not worth sending: a chunk there and back takes some 0.3 ms, what it needs to begin with 1 ms.
SECONDS_MIN = 0.005
# How long the caller runs iterations itself before it looks at the clock and hands on what they noted.
BATCH_SECONDS = 0.001
# What a chunk aims at, depending on how much is left: a hundredth of it is lost to the sending at the one end, and at the other the
# last chunk keeps the others waiting.
CHUNK_SECONDS_MIN, CHUNK_SECONDS_MAX = 0.002, 0.1
# While nobody knows how many items there are.
CHUNK_SECONDS_UNKNOWN = 0.01
CHUNK_ITEMS_MAX = 1 << 16
# Of the time left, a chunk takes this part of a process's share.
CHUNKS_PER_SLOT = 4
GROWTH_MAX = 4
# Chunks on their way per process: one runs, one waits beside it.
FLYING_PER_SLOT = 2
# Chunks begun and not handed on, per process: one that is slow holds back those behind it no further than this.
AHEAD_PER_SLOT = 16
# Of an iteration's time, what sending its item and its result may take: pickling here and there, twice each.
SENDING_SHARE_MAX = 0.5
# Items whose pickles show what sending costs.
SAMPLE_MAX = 64
# Batches that are watched for the types of arguments until it is known whether they are changed in place.
WATCHED_MAX = 8
# A loop that was too small three times in a row is left alone for eight calls, then for twice as many, and so on up to
# 2 ** SMALL_MAX: looking whether it has grown costs some 50 us.
SMALL_MIN = 3
SMALL_MAX = 10

# Where nothing of a chunk has run.
_NOTHING_RAN = (ArgumentsNotPicklable, FunctionUnavailable, NoFittingWorker, Overloaded, PayloadTooLarge)
_now = time.perf_counter


class _Experience:
    """What the last runs of a loop have shown."""

    __slots__ = ("small", "skip")

    def __init__(self):
        self.small = 0  # runs in a row that were too small
        self.skip = 0  # calls for which it is left alone


def all_left_alone(plan):
    """Whether each loop of a function is left alone, for one call less from now on."""
    experiences = [loop.learned(_Experience) for loop in plan.loops if loop.independent]
    if not all(experience.skip > 0 for experience in experiences):
        return False
    for experience in experiences:
        experience.skip -= 1
    return True


class ProcessRun(Run):
    """One call of a function at level 3. In another process it loads as one that runs every loop where it is."""

    __slots__ = ("inside", "watches", "memory_limit")

    def __init__(self, plan, memory_limit):
        super().__init__(plan, self.split)
        self.memory_limit = memory_limit
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

    def split(self, loop, body, iterable):
        return _Split(self, loop, body, iterable).logs()


class _Inside(Run):
    """Of a chunk: what loops inside of an iteration runs there."""

    __slots__ = ()

    def __init__(self):
        self.declined = []

    def __reduce__(self):
        return _Inside, ()

    def takes(self, index, body):
        return False


class _Items:
    """What a loop goes over, taken in pieces. Lists and the like are cut, everything else is asked for its items."""

    def __init__(self, iterable):
        self.sequence, self.at = None, 0
        self.ends_with = None  # what the iterable itself raised
        self.exhausted = False
        if type(iterable) in (list, tuple, range, str, bytes) or _is_array(iterable):
            self.sequence, self.iterator = iterable, None
        else:
            self.iterator = iter(iterable)

    def take(self, count):
        if self.sequence is not None:
            part = self.sequence[self.at:self.at + count]
            self.at += len(part)
            self.exhausted = self.at >= len(self.sequence)
            return part
        part = []
        try:
            part.extend(itertools.islice(self.iterator, count))
        except Exception as error:  # raised once what came before has been handed on
            self.ends_with = error
        self.exhausted = len(part) < count
        return part

    def left(self):
        """How many there are still; None if nobody knows."""
        if self.sequence is not None:
            return len(self.sequence) - self.at
        hint = operator.length_hint(self.iterator, -1)
        return None if hint < 0 else hint


def _is_array(value):
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(value) is numpy.ndarray and value.ndim > 0 and not value.dtype.hasobject


class _Split:
    """One run of a loop. Lives on the caller's thread."""

    def __init__(self, run, loop, body, iterable):
        self.run, self.loop, self.body = run, loop, body
        self.items = _Items(iterable)
        self.stays = None  # why the rest runs here
        self.why_here = None  # why it has run here up to now
        self.seconds = 0.0  # of the iterations that ran here
        self.each = 0.0  # seconds of an iteration, by the last ones
        self.flying = collections.deque()  # [future, items] in order
        self.ended = set()  # those of `flying` that have
        self.begun = 0
        self.slots = 0  # iterations that can run at once
        self.owner = None  # of the shared memory that the chunks read: it goes with this
        self.went = False  # whether chunks were sent
        self.budget = Budget(run.memory_limit)
        self.watch = run.watches[loop]
        self.watched = 0  # batches
        self.kinds = set()  # types of the items, those that were looked through

    def logs(self):
        try:
            while not self.items.exhausted:
                members = yield from self._here()
                if members is not None:
                    yield from self._there(members)
            if self.items.ends_with is not None:
                raise self.items.ends_with
        except KeyboardInterrupt:
            self._cancel(0)
            raise
        except BaseException:
            self._cancel(self.slots)
            raise
        finally:
            self.owner = None
        self._learn()

    def _cancel(self, running):
        """What has not begun. The first ``running`` chunks that have not ended have: their iterations are not broken off."""
        numbered = zip(range(self._next_number, self.begun), self.flying)
        for future in [future for number, (future, _) in numbered if number not in self.ended][running:]:
            future.cancel()

    def _learn(self):
        experience = self.loop.learned(_Experience)
        if self.went:
            experience.small = 0
            return
        quick = f"its iterations took {self.seconds * 1e3:.2g} ms in all, too little to send"
        self.run.note(f"line {self.loop.line}: {self.stays or self.why_here or quick}")
        experience.small = min(experience.small + 1, SMALL_MAX)
        if experience.small >= SMALL_MIN:
            experience.skip = 1 << experience.small

    # ---- here -------------------------------------------------------------------------------------------------------------

    def _here(self):
        """Runs iterations until there are no more, or until the others are worth sending: then gives the team."""
        while not self.items.exhausted:
            watches = self.stays is None and not self.watch.done
            log, error, count = yield from self._batch(watches)
            if error is not None:
                yield from raising(error)
            if watches:  # the times say nothing
                self._look_at_watch()
            elif self.stays is None and not self.items.exhausted:
                members = self._worth(log, count)
                if members is not None:
                    return members
        return None

    def _look_at_watch(self):
        self.watched += 1
        self.stays = self.watch.why
        if self.stays is None and self.watched >= WATCHED_MAX and not self.watch.done:
            self.stays = self.watch.missing()

    def _batch(self, watches):
        log, error, taken = [], None, []
        began = _now()
        self.run.inside = True
        try:
            with self.watch if watches else contextlib.nullcontext(), self._measuring(taken):
                self.body(self._until(began + BATCH_SECONDS, taken), log)
        except BaseException as raised_here:
            error = raised_here
        finally:
            self.run.inside = False
        seconds = _now() - began
        self.seconds += seconds
        self.each = seconds / max(1, len(taken))
        yield log
        return log, error, len(taken)

    @contextlib.contextmanager
    def _measuring(self, taken):
        if self.budget.limit is None:
            yield
            return
        with Used() as used:
            yield
        self.budget.learn(len(taken), used.bytes, sure=False)

    def _until(self, deadline, taken):
        while True:
            for item in self.items.take(1):
                taken.append(None)
                yield item
            if self.items.exhausted or _now() >= deadline:
                return

    def _worth(self, log, count):
        """The team, if sending the rest is worth it."""
        if self._estimate() < SECONDS_MIN:
            return None
        members, self.why_here = team.find()
        if members is None:
            return None
        if members.slots() < 2:
            self.stays = "there is one process only to run it on"
        return None if self.stays is not None or self._costs_more(log, count) else members

    def _estimate(self):
        """Seconds that the iterations that are left would take here."""
        left = self.items.left()
        return self.seconds if left is None else self.each * left

    def _may_go(self, items):
        """Whether methods of the items may run on copies of them. Notes why not."""
        kinds = purity.kinds_of(items)
        if not kinds <= self.kinds:
            self.stays = purity.obstacle(self.body, self.watch, classes=kinds - self.kinds)
            self.kinds |= kinds
            if self.stays is None and self.loop.augments and not purity.of_values(kinds):
                self.stays = "it may change its items in place, which would be lost in another process"
            if self.stays is None and not self.watch.done:
                self.stays = self.watch.missing()
        return self.stays is None

    def _costs_more(self, log, count):
        """Whether sending items and results takes longer than it saves; then everything stays."""
        items = []
        if self.items.sequence is not None:
            items = self.items.sequence[self.items.at:self.items.at + min(count, SAMPLE_MAX)]
        began = _now()
        try:
            pickle.dumps(items, 5)
            spent = (_now() - began) * count / max(1, len(items))
        except Exception:
            spent = 0.0  # perhaps cloudpickle can; what cannot be sent stays
        began = _now()
        try:
            pickle.dumps(Chunk(self.loop, None, None).trimmed(log), 5)
        except Exception as error:
            self.stays = f"its results do not pickle: {type(error).__name__}: {error}"
            return True
        spent = 2 * (spent + _now() - began)
        if spent > SENDING_SHARE_MAX * self.each * count:
            self.stays = (f"an iteration takes {self.each * 1e6:.3g} us, and sending its item and result about "
                          f"{spent / count * 1e6:.2g} us")
        return self.stays is not None

    # ---- there ------------------------------------------------------------------------------------------------------------

    def _there(self, members):
        """Has the team run iterations until there are no more, or until something cannot be sent."""
        surroundings = Surroundings(members.changed_environment(), members.own)
        chunk = Chunk(self.loop, self.body, surroundings, self.budget.limit is not None)
        gain = self._estimate() * (1 - 1 / members.slots())
        try:
            shipped, self.owner = ship(chunk, self.body.__qualname__, members.shared, gain)
        except FunctionNotPicklable as error:
            self.stays = str(error)
            return
        self.completions = _native.Completions()
        while True:
            self._fill(members, shipped)
            if not self.flying:
                break
            if self._next_number not in self.ended:
                self.ended.update(self.completions.take(None))
                continue
            future, items = self.flying.popleft()
            self.ended.discard(self._number_of_popped)
            yield from self._handed_on(future, items)

    @property
    def _next_number(self):
        return self.begun - len(self.flying)

    @property
    def _number_of_popped(self):
        return self.begun - len(self.flying) - 1

    def _fill(self, members, shipped):
        """Sends chunks for as long as there is room for them."""
        slots = self.slots = members.slots()
        while self.stays is None and not self.items.exhausted:
            running = len(self.flying) - len(self.ended)
            chunks = self.budget.chunks(FLYING_PER_SLOT * slots)
            if running >= chunks or len(self.flying) >= AHEAD_PER_SLOT * slots:
                return
            items = self.items.take(self.budget.items(self._size(slots), chunks))
            if len(items) == 0:
                return
            self._send(members, shipped, items) if self._may_go(items) else self._keep(items)

    def _size(self, slots):
        left = self.items.left()
        if left is None:
            seconds = CHUNK_SECONDS_UNKNOWN
        else:
            seconds = min(max(self.each * left / (CHUNKS_PER_SLOT * slots), CHUNK_SECONDS_MIN), CHUNK_SECONDS_MAX)
        return max(1, min(int(seconds / max(self.each, 1e-9)), CHUNK_ITEMS_MAX))

    def _send(self, members, shipped, items):
        try:
            future = members.client._submit(shipped, (items,), {}, 0)
        except _NOTHING_RAN as error:
            self.stays = f"{type(error).__name__}: {error}"
            self._keep(items)
            return
        self.flying.append((future, items))
        self.completions.add(future, self.begun)
        self.begun += 1
        self.went = True

    def _keep(self, items):
        """They run here, when it is their turn."""
        self.flying.append((None, items))
        self.ended.add(self.begun)
        self.begun += 1

    def _handed_on(self, future, items):
        """What the iterations of a chunk noted."""
        if future is None:
            yield from self._rerun(items)
            return
        try:
            seconds, used, noted = future.result()
        except ChunkFailed as failed:
            self.run.overlapped = True
            if failed.values is not None:
                tell(failed.values.told)
                yield failed.values.log_of(items)
            yield from raising(failed.__cause__)
        except _NOTHING_RAN as error:
            self.stays = f"{type(error).__name__}: {error}"
            yield from self._rerun(items)
        else:
            self.run.overlapped = True
            self.each = seconds / len(items)
            self._learn_memory(len(items), used)
            tell(noted.told)
            yield noted.log_of(items)

    def _learn_memory(self, items, used):
        if used is not None:
            self.budget.learn(items, used)
            why = self.budget.too_small()
            if why is not None:
                self.run.note(f"line {self.loop.line}: {why}")

    def _rerun(self, items):
        """Runs the items of a chunk here of which nothing has run there."""
        self.run.note(f"line {self.loop.line}: {self.stays}")
        log, error = [], None
        self.run.inside = True
        try:
            self.body(items, log)
        except BaseException as raised_here:
            error = raised_here
        finally:
            self.run.inside = False
        yield log
        if error is not None:
            yield from raising(error)
