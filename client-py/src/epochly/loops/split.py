"""One run of a loop at level 3 on processes: the first iterations here, the rest in chunks there, if that gains."""

import contextlib
import time

from epochly._map import ChunkFailed
from epochly.errors import (
    ArgumentsNotPicklable,
    ExecutorDied,
    FunctionNotPicklable,
    FunctionUnavailable,
    NoFittingWorker,
    Overloaded,
    PayloadTooLarge,
)
from epochly.loops.budget import Budget, Used
from epochly.loops.chunk import Chunk, Surroundings
from epochly.loops.compared import Comparisons
from epochly.loops.flight import Flight
from epochly.loops.items import Items
from epochly.loops.judge import Judge
from epochly.loops.shipping import ship
from epochly.loops.spill import Place, Spilled, Spiller
from epochly.loops.threads import raising
from epochly.loops.told import tell

__all__ = ["Split", "now"]

# How long the caller runs iterations itself before it looks at the clock and hands on what they noted.
BATCH_SECONDS = 0.001
# What a chunk aims at, depending on how much is left: at the one end a tenth of it is lost to the sending, which takes all
# processes together some 0.4 ms, and at the other the last chunk keeps the others waiting.
CHUNK_SECONDS_MIN, CHUNK_SECONDS_MAX = 0.003, 0.1
# While nobody knows how many items there are.
CHUNK_SECONDS_UNKNOWN = 0.01
CHUNK_ITEMS_MAX = 1 << 16
# Of the time left, a chunk takes this part of a process's share.
CHUNKS_PER_SLOT = 3
# Chunks on their way per process: one runs, one waits beside it.
FLYING_PER_SLOT = 2
# Chunks begun and not handed on, per process: one that is slow holds back those behind it no further than this.
AHEAD_PER_SLOT = 16
# A chunk whose process dies runs again: the kernel had no memory, or an operator killed it. So often in all, for it may also be
# an iteration that kills its process each time.
ATTEMPTS_MAX = 3

# Where nothing of a chunk has run.
_NOTHING_RAN = (ArgumentsNotPicklable, FunctionUnavailable, NoFittingWorker, Overloaded, PayloadTooLarge)
now = time.perf_counter


def _bytes_to_run(limit):
    """Of a Limit, what is for iterations while they run."""
    if limit is None:
        return None
    return limit.bytes if limit.spill is None else max(1, limit.bytes // 2)


class Ran:
    """So many iterations, and the seconds that they took together."""

    def __init__(self):
        self.count, self.seconds = 0, 0.0

    def timed(self, logs):
        """Passes them on. What is done with them takes time of its own."""
        began = now()
        for log in logs:
            self.seconds += now() - began
            yield log
            began = now()
        self.seconds += now() - began

    def each(self):
        return self.seconds / self.count


class Split:
    """Lives on the caller's thread."""

    def __init__(self, run, loop, body, iterable):
        self.run, self.loop, self.body = run, loop, body
        self.work = body  # what runs items: the body, or what stands for it
        self.items = Items(iterable)
        self.judge = Judge(loop, body, self.items, run.watches[loop])
        self.compared = loop.learned(Comparisons).of(self.items.left())
        self.rests = self.judge.stays = self.compared.stays()
        self.budget = Budget(_bytes_to_run(run.limit))
        self.place = None  # of results on disk
        self.flight = Flight()
        self.slots = 0  # iterations that can run at once
        self.loan = None  # of the shared memory that the chunks read
        self.went = False  # whether chunks were sent
        self.there = Ran()  # by the caller's clock
        self.alone = 0.0  # seconds of the same iterations by their processes' clocks
        self.died = []  # what the attempts of the first chunk have ended with so far

    def logs(self):
        try:
            while not self.items.exhausted:
                members = yield from self._here()
                if members is not None:
                    yield from self.there.timed(self._there(members))
            if self.items.ends_with is not None:
                raise self.items.ends_with
            self._learn()
        except KeyboardInterrupt:
            self.flight.cancel(0)
            raise
        except BaseException:
            self.flight.cancel(self.slots)
            raise
        finally:
            for each in (self.loan, self.place):
                if each is not None:
                    each.end()

    def why_not(self):
        """Why no chunk was sent; None if one was."""
        if self.went:
            return None
        quick = f"its iterations took {self.judge.seconds * 1e3:.2g} ms in all, too little to send"
        return self.judge.stays or self.judge.why_here or quick

    def _learn(self):
        """From a run that came to its end, and was not held back by a limit."""
        if self.run.limit is not None:
            return
        if self.there.count > 0 and self.judge.stays is None:
            first = self.judge.seconds / self.judge.count
            self.compared.ran_there(self.there.each(), self.alone / self.there.count, first)
        elif not self.went and self.judge.count > 0:
            self.compared.ran_here(self.judge.seconds / self.judge.count)

    def _note(self, why):
        self.run.note(f"line {self.loop.line}: {why}")

    # ---- here -------------------------------------------------------------------------------------------------------------

    def _here(self):
        """Runs iterations until there are no more, or until the others are worth sending: then gives the team."""
        while not self.items.exhausted:
            watches = self.judge.watches
            log, count = yield from self._batch(watches)
            if watches:  # the times say nothing
                self.judge.look_at_watch()
                continue
            members = self.judge.team(log, count)
            if members is not None:
                return members
        return None

    def _batch(self, watches):
        taken = []
        began = now()
        with self.judge.watch if watches else contextlib.nullcontext(), self._measuring(taken):
            log, error = self._run(self._until(began + BATCH_SECONDS, taken))
        seconds = now() - began
        self.judge.seconds += seconds
        self.judge.count += len(taken)
        self.judge.each = seconds / max(1, len(taken))
        yield log
        if error is not None:
            yield from raising(error)
        return log, len(taken)

    def _run(self, items):
        """Runs iterations on this thread: (their log, what one raised or None)."""
        log = []
        self.run.inside = True
        try:
            return self.work(items, log) or log, None
        except BaseException as error:
            return log, error
        finally:
            self.run.inside = False

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
            if self.items.exhausted or now() >= deadline:
                return

    # ---- there ------------------------------------------------------------------------------------------------------------

    def _there(self, members):
        """Has the team run iterations until there are no more, or until something cannot be sent."""
        surroundings = Surroundings(members.changed_environment(), members.own)
        chunk = Chunk(self.loop, self.work, surroundings, self.budget.limit is not None, self._spiller(members))
        gain = self.judge.seconds_left() * (1 / self.judge.cores - 1 / members.slots())
        try:
            shipped, self.loan = ship(chunk, self.body.__qualname__, members, gain)
        except FunctionNotPicklable as error:
            self.judge.stays = str(error)
            return
        while True:
            self._fill(members, shipped)
            if len(self.flight) == 0:
                return
            if self._wait():
                future, items = self.flight.pop()
                if self._lost(future):
                    self.flight.again(self._sent(members, shipped, items), items)
                    continue
                if future is not None and not members.own:
                    self.run.note_worker(future.placement.worker)
                yield from self._handed_on(future, items)

    def _wait(self):
        try:
            return self.flight.wait()
        except BaseException:  # raised by the handler of a signal, an alarm's say: what runs may never end
            self.flight.cancel(0)
            raise

    def _lost(self, future):
        """Whether the process of the first chunk has died, and it is to run once more."""
        error = None if future is None else future.exception()
        if isinstance(error, ExecutorDied):
            self.died.append(error)
            return len(self.died) < ATTEMPTS_MAX
        if error is None and future is not None:
            self.died = []
        return False

    def _spiller(self, members):
        """Of what is on its way or waits for its turn, no chunk keeps more in memory than its part of half of the limit."""
        limit = self.run.limit
        if limit is None or limit.spill is None:
            return None
        if not members.shared:
            self._note("results do not spill: not all workers are on this host")
            return None
        self.place = Place(limit.spill)
        return Spiller(self.place.folder, (limit.bytes - self.budget.limit) // (AHEAD_PER_SLOT * members.slots()))

    def _fill(self, members, shipped):
        """Sends chunks for as long as there is room for them."""
        slots = self.slots = members.slots()
        while self.judge.stays is None and not self.items.exhausted:
            chunks = self.budget.chunks(FLYING_PER_SLOT * slots)
            if self.flight.running >= chunks or len(self.flight) >= AHEAD_PER_SLOT * slots:
                return
            items = self.items.take(self.budget.items(self._size(slots), chunks))
            if len(items) == 0:
                return
            self.flight.add(self._sent(members, shipped, items) if self.judge.may_go(items) else None, items)

    def _size(self, slots):
        left, each = self.items.left(), self.judge.each
        if left is None:
            seconds = CHUNK_SECONDS_UNKNOWN
        else:
            seconds = min(max(each * left / (CHUNKS_PER_SLOT * slots), CHUNK_SECONDS_MIN), CHUNK_SECONDS_MAX)
        return max(1, min(int(seconds / max(each, 1e-9)), CHUNK_ITEMS_MAX))

    def _sent(self, members, shipped, items):
        """The future of a chunk; None if it cannot be sent."""
        try:
            future = members.client._submit(shipped, (items,), {}, 0)
        except _NOTHING_RAN as error:
            self.judge.stays = f"{type(error).__name__}: {error}"
            return None
        self.went = True
        return future

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
            self.judge.stays = f"{type(error).__name__}: {error}"
            yield from self._rerun(items)
        else:
            self.run.overlapped = True
            self.judge.each = seconds / len(items)
            self.there.count += len(items)
            self.alone += seconds
            self._learn_memory(len(items), used)
            if isinstance(noted, Spilled):
                noted = noted.opened()
            if noted.why is not None:
                self._note(f"a chunk of it ran as Python: {noted.why}")
            tell(noted.told)
            yield noted.log_of(items)

    def _learn_memory(self, items, used):
        if used is not None:
            self.budget.learn(items, used)
            why = self.budget.too_small()
            if why is not None:
                self._note(why)

    def _rerun(self, items):
        """Runs the items of a chunk here of which nothing has run there. Never those that a process has died under."""
        if self.died:
            yield from raising(self.died[-1])
        self._note(self.judge.stays)
        log, error = self._run(items)
        yield log
        if error is not None:
            yield from raising(error)
