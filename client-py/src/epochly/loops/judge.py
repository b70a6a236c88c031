"""Whether the rest of a loop is worth being sent to other processes, and may be."""

import pickle
import time

from epochly.loops import purity, team
from epochly.loops.chunk import Chunk

__all__ = ["Judge"]

# Less than this is not worth sending: a chunk there and back takes some 0.3 ms, what it needs to begin with 1 ms.
SECONDS_MIN = 0.005
# Of an iteration's time, what sending its item and its result may take: pickling here and there, twice each.
SENDING_SHARE_MAX = 0.5
# Items whose pickles show what sending costs.
SAMPLE_MAX = 64
# Batches that are watched for the types of arguments until it is known whether they are changed in place.
WATCHED_MAX = 8

_now = time.perf_counter


class Judge:
    """Of one run of a loop. Lives on the caller's thread.

    stays: why what is left runs here, for good; None: it may still go. why_here: why what has run here has. each: seconds of an
    iteration, by the last ones. seconds, count: of all that have run here. cores: that it can use here.
    """

    def __init__(self, loop, body, items, watch, cores=1):
        self.loop, self.body, self.items, self.watch, self.cores = loop, body, items, watch, cores
        self.stays = None
        self.why_here = None
        self.seconds, self.count = 0.0, 0
        self.each = 0.0
        self._watched = 0  # batches
        self._kinds = set()  # types of the items, those that were looked through

    @property
    def watches(self):
        """Whether the types of arguments still have to be seen."""
        return self.stays is None and not self.watch.done

    def look_at_watch(self):
        self._watched += 1
        self.stays = self.watch.why
        if self.stays is None and self._watched >= WATCHED_MAX and not self.watch.done:
            self.stays = self.watch.missing()

    def seconds_left(self):
        """What the iterations that are left would take here."""
        left = self.items.left()
        return self.seconds if left is None else self.each * left

    def team(self, log, count):
        """The processes to send the rest to, after a batch of so many iterations here that noted `log`; None: not now."""
        if self.stays is not None or self.items.exhausted or self.seconds_left() / self.cores < SECONDS_MIN:
            return None
        members, self.why_here = team.find()
        if members is None:
            return None
        if members.slots() <= self.cores:
            self.stays = members.too_few(self.cores)
        return None if self.stays is not None or self._costs_more(log, count) else members

    def may_go(self, items):
        """Whether methods of the items may run on copies of them."""
        kinds = purity.kinds_of(items)
        if not kinds <= self._kinds:
            self.stays = purity.obstacle(self.body, self.watch, classes=kinds - self._kinds)
            self._kinds |= kinds
            if self.stays is None and self.loop.augments and not purity.of_values(kinds):
                self.stays = "it may change its items in place, which would be lost in another process"
            if self.stays is None and not self.watch.done:
                self.stays = self.watch.missing()
        return self.stays is None

    def _costs_more(self, log, count):
        """Whether sending items and results takes longer than it saves; then everything stays."""
        items = self.items.sample(count if self.items.compact else min(count, SAMPLE_MAX))
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
