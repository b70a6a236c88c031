"""Level 3's runner for compiled loops where a cluster is named: chunks of them run compiled on its workers.

The function's twin runs as Python, and its loops compiled: the first iterations here, which shows how long they take, the rest on
the workers if they have more cores than this process and that pays, else on the cores that are here.
"""

from epochly.levels import JIT, MULTICORE
from epochly.loops import purity, split
from epochly.loops.compiled_body import made_for
from epochly.loops.judge import Judge
from epochly.loops.processes import ProcessRun
from epochly.loops.split import Split, now
from epochly.loops.threads import raising

__all__ = ["HostsRun", "cores_here"]

# A first iteration that takes so long shows what the others will take, whatever making its code has added.
FIRST_SECONDS = 0.2


def cores_here():
    """How many cores compiled loops of this process use."""
    from epochly import _jit as jit

    return max(1, jit.cores())


class HostsRun(ProcessRun):
    """One call of a function whose loops are compiled. ran: the highest level at which one ran here."""

    __slots__ = ("cores", "ran", "obstacles")

    def __init__(self, function, plan, limit, cores):
        super().__init__(function, plan, limit)
        self.cores, self.ran, self.obstacles = cores, 0, {}

    def takes(self, index, body):
        """Always: what stays here runs compiled all the same."""
        if self.inside:
            return False
        loop = self.loops[index]
        self.obstacles[loop] = None if super().takes(index, body) else self.declined[-1]
        self.watches.setdefault(loop, purity.Watch())
        return True

    def made_split(self, loop, body, iterable):
        columns = self.plan.cut.columns[self.loops.index(loop)]
        made = made_for(loop, columns, body, self.plan.original, iterable)
        if isinstance(made, str) or not _is_cut(iterable):
            self.note(made if isinstance(made, str) else f"line {loop.line}: it goes over neither a range, a list nor an array")
            return super().made_split(loop, body, iterable)
        return HostsSplit(self, loop, body, iterable, made)


def _is_cut(iterable):
    return type(iterable) in (range, list) or hasattr(iterable, "dtype")


class _NothingInPlace(purity.Watch):
    """Of a loop that is given numbers alone: `n //= 2` makes another one wherever it stands."""

    def expect(self, augmented):
        pass


class HostsSplit(Split):
    """One run of a loop whose body is compiled."""

    def __init__(self, run, loop, body, iterable, compiled):
        super().__init__(run, loop, body, iterable)
        self.work, self.piece = compiled, 1
        watch = run.watches[loop]
        if not watch.touches_objects and not compiled.inputs() and getattr(iterable, "ndim", 1) == 1:
            watch = _NothingInPlace()
        self.judge = Judge(loop, body, self.items, watch, run.cores)
        self.judge.stays = run.obstacles.get(loop) or self.rests or (None if watch.done else watch.missing())

    def _batch(self, watches):
        """Pieces on one core until it is known how long an iteration takes; all on every core once they stay."""
        logs = []
        if self.judge.stays is not None:
            self.work.level, self.piece = MULTICORE, self.items.left()
        began = now()
        while True:
            piece, before = self.items.take(self.piece), now()
            log, error = self._run(piece)
            logs.append(log)
            seconds = now() - before
            self.judge.each = seconds / max(1, len(piece))
            self.judge.count += len(piece)
            is_first, self.piece = self.piece == 1, 2 * self.piece
            if is_first and seconds < FIRST_SECONDS:
                began, self.judge.count = now(), 0  # its code was made
            elif now() - began >= split.BATCH_SECONDS:
                break
            if error is not None or self.work.why is not None or self.items.exhausted:
                break
        self.judge.seconds += now() - began
        self._note_what_ran()
        yield from logs
        if error is not None:
            yield from raising(error)
        return log, len(piece)

    def _note_what_ran(self):
        self.run.ran = max(self.run.ran, self.work.ran)
        if self.work.why is not None:
            self.judge.stays = self.work.why
            self._note(f"it ran as Python: {self.work.why}")

    def _there(self, members):
        self.work.level = JIT
        yield from super()._there(members)
