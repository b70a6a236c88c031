"""What the runs of a loop took, here and on other processes: where it turned out to take longer there, the next runs stay."""

__all__ = ["Compared", "Comparisons"]

# Of what they take here, what iterations may take there: more is a loss.
LOST = 1.0
# Of what they took themselves there, one after the other, or the first ones here: above that it is tried here. Side by side each
# takes longer than alone, and the first ones may be short.
DOUBTFUL = 0.85
# After a loss so many runs stay, after each further one twice as many, up to 2 ** LOSSES_MAX times: what lost may lose again.
STAYS_MIN = 8
LOSSES_MAX = 7


class Comparisons:
    """Of a loop: by the power of two of its iterations, 64 at most, and one for those that nobody has counted."""

    __slots__ = ("_by_size",)

    def __init__(self):
        self._by_size = {}

    def of(self, count):
        return self._by_size.setdefault(None if count is None else count.bit_length(), Compared())


class Compared:
    """Seconds for an iteration, as of the last run. Pure: times are arguments. here, there: None while nobody knows."""

    __slots__ = ("here", "there", "_alone", "_stays", "_losses", "_warm")

    def __init__(self):
        self.here = self.there = self._alone = None
        self._stays = 0  # runs that stay here from now on
        self._losses = 0  # in a row
        self._warm = False

    def stays(self):
        """Why the run that begins now stays here; None if it may go."""
        if self._stays == 0:
            return None
        self._stays -= 1
        known = self._alone if self.here is None else self.here
        return f"on processes an iteration took {self.there * 1e6:.3g} us the last time, and takes {known * 1e6:.3g} us here"

    def ran_here(self, each):
        self.here = each
        if self.there is not None and self.there <= LOST * each:
            self._stays = self._losses = 0

    def ran_there(self, each, alone, first):
        """each: by the clock. alone: by the clocks of the iterations, that of each chunk in its process. first: what those few took
        that ran here before."""
        if not self._warm:  # the processes have loaded what it needs, too
            self._warm = True
            return
        self.there, self._alone = each, alone
        if each > LOST * (alone if self.here is None else self.here):
            self._stays = STAYS_MIN << self._losses
            self._losses = min(self._losses + 1, LOSSES_MAX)
        elif self.here is None and each > DOUBTFUL * min(alone, first):
            self._stays = 1
        else:
            self._losses = 0
