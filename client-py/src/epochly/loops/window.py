"""How many iterations run side by side. Pure: times are arguments."""

__all__ = ["Window"]

# While nothing has finished yet and those that run only wait, more are started, twice as many each time: after so many seconds,
# and so many more for each one that runs already. 256 requests are on their way after some 20 ms, 32 when answers come within 5 ms.
STALL_SECONDS = 0.0005
STALL_SECONDS_EACH = 0.00005
# A round with more side by side must be better by this much to be worth it.
GAIN_MIN = 1.1
# Rounds without another try after one that gained nothing.
ROUNDS_HELD = 8
# From here on the iterations' own computing fills the interpreter, which runs one thread at a time.
BUSY_SHARE = 0.8


class Window:
    """``size`` is how many may run at once, at most ``limit``. Lives on the caller's thread."""

    __slots__ = ("size", "limit", "_before", "_round_start", "_finished", "_cpu", "_held", "_stalled_since")

    def __init__(self, limit, size, now):
        self.limit = max(1, limit)
        self.size = min(max(1, size), self.limit)
        self._before = None  # (size, rate) of the last round that was worth it
        self._held = 0
        self._stalled_since = now
        self._begin(now)

    def _begin(self, now):
        self._round_start, self._finished, self._cpu = now, 0, 0.0

    def stall_seconds(self):
        """After how long without an end stalled() is to be asked."""
        return STALL_SECONDS + STALL_SECONDS_EACH * self.size

    def stalled(self, now, cpu):
        """Nothing has ended since the last call, and what runs has computed for ``cpu`` seconds meanwhile. True: it grew."""
        waited, self._stalled_since = now - self._stalled_since, now
        if cpu > waited / 2 or self.size >= self.limit:
            return False
        self.size = min(2 * self.size, self.limit)
        self._begin(now)
        return True

    def ended(self, now, cpu):
        """An iteration has ended after ``cpu`` seconds of computing."""
        self._stalled_since = now
        self._finished += 1
        self._cpu += cpu
        if self._finished >= self.size:
            self._end_round(now)

    def _end_round(self, now):
        seconds = max(now - self._round_start, 1e-9)
        rate, busy = self._finished / seconds, self._cpu / seconds
        if self._held > 0:
            self._held -= 1
        elif self._before is None or rate >= GAIN_MIN * self._before[1]:
            self._before = (self.size, rate)
            if busy < BUSY_SHARE:
                self.size = min(2 * self.size, self.limit)
        else:
            self.size = self._before[0]
            self._before = None
            self._held = ROUNDS_HELD
        self._begin(now)
