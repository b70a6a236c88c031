"""The client of a cluster."""
import atexit
import concurrent.futures
import platform
import time

from epochly import _native
from epochly._map import MapIterator
from epochly.errors import ClientClosed, ConnectionFailed, ConnectionLost, NotFound
from epochly.future import Future

# Environment variables of the address and the token, for connect() without them.
ADDRESS_VARIABLE = "EPOCHLY_ADDRESS"
TOKEN_FILE_VARIABLE = "EPOCHLY_TOKEN_FILE"
# Seconds that a question to the scheduler (workers, totals) may take: it answers within milliseconds, or it is gone.
QUESTION_PATIENCE = 10.0
# Of a task window, see schemas; tests use small ones.
WINDOW_TASKS = 16 * 1024
WINDOW_BYTES = 64 << 20


class Client:
    """A connection to a cluster. Made by :func:`epochly.connect`; usable by any number of threads.

    As a context manager it waits for its tasks at the end, as an executor of ``concurrent.futures`` does; after an exception it
    cancels them.
    """

    def __init__(self, address, token=b"", *, connect_timeout=5.0, overload_patience=None, patience=None, window_tasks=WINDOW_TASKS,
                 window_bytes=WINDOW_BYTES, cluster=None, on_close=None):
        """See :func:`epochly.connect`. patience: seconds by the names of ``client::Patience`` in ext/client_link.h, for tests.
        cluster: kept alive for as long as this client. on_close: called once, after ``close``."""
        self.address = address
        self._cluster = cluster
        self._on_close = on_close
        self._overload_patience = overload_patience
        self._closed = False
        software = f"epochly-client/{_native.__version__} {platform.python_implementation()}/{platform.python_version()}"
        patience = {"connect": connect_timeout, **(patience or {})}
        self._native = _native.ClientBase(address, token, software, patience, window_tasks, window_bytes, Future)
        try:
            self._native.await_connected(connect_timeout + patience.get("handshake", 10.0) + 1.0)
        except ConnectionLost as error:
            self._native.close()
            raise ConnectionFailed(str(error)) from None
        except BaseException:
            self._native.close()
            raise

    # ---- tasks ----

    def submit(self, fn, /, *args, level="auto", retries=0, timeout=None, **kwargs):
        """Has ``fn(*args, **kwargs)`` run on the cluster and returns its Future.

        level: "auto", or 0 (monitor), 1 (threads), 2 (jit), 3 (multicore), 4 (gpu); a level that declines says why in the
        future's report. retries: how often it is run again after it raised, timed out or took its process down. timeout:
        seconds that one attempt may run; then it ends with TaskTimeout.

        Function and arguments are taken as they are now. Waits while the cluster takes no more tasks; raises Overloaded instead
        after ``overload_patience`` seconds, if the client was given that. Raises InvalidTask (a ValueError),
        FunctionNotPicklable, ArgumentsNotPicklable, PayloadTooLarge, ConnectionLost or ClientClosed.
        """
        return self._submit(fn, args, kwargs, level, retries, timeout)

    def _submit(self, fn, args, kwargs, level, retries=0, timeout=None):
        return self._native.submit(fn, args, kwargs, level, retries, timeout, self._overload_patience)

    def map(self, fn, *iterables, chunksize="auto", level="auto", retries=0, timeout=None):
        """Apply ``fn`` to every item on the cluster and yield results in input order.

        Lazy: only as many items are taken as keep the cluster busy, so endless iterators work. chunksize: items per task;
        "auto" finds one whose task takes some 10 ms. timeout: seconds for the whole map; ``TimeoutError`` names the first
        unfinished index. Raises the exception of the lowest failing index, with the worker's traceback attached; items behind it
        are cancelled, or ran for nothing.
        """
        return MapIterator(self, fn, iterables, chunksize=chunksize, level=level, retries=retries, timeout=timeout)

    def gather(self, futures):
        """The results of ``futures`` in their order. Raises the exception of the first that failed; the others go on."""
        futures = list(futures)
        for future in futures:
            if not isinstance(future, concurrent.futures.Future):
                raise TypeError(f"gather() takes futures, not {type(future).__name__}")
        return [future.result() for future in futures]

    def as_completed(self, futures, timeout=None):
        """Yields ``futures`` of this client as they end. timeout: seconds for all of them; then concurrent.futures.TimeoutError."""
        futures = list(futures)
        deadline = None if timeout is None else time.monotonic() + timeout
        completions = _native.Completions()
        for index, future in enumerate(futures):
            if not isinstance(future, Future):
                raise TypeError(f"as_completed() takes this client's futures, not {type(future).__name__}")
            completions.add(future, index)
        return self._completed(futures, completions, deadline)

    @staticmethod
    def _completed(futures, completions, deadline):
        left = len(futures)
        while left > 0:
            ready = completions.take(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if not ready:
                raise concurrent.futures.TimeoutError(f"{left} of {len(futures)} futures unfinished")
            left -= len(ready)
            for index in ready:
                yield futures[index]

    def explain(self, future):
        """Why a task is where it is, in words: what it waits for, or how and where it ran."""
        report = future.placement
        if report is None:
            try:
                return self._native.explain(future._seq, QUESTION_PATIENCE)
            except NotFound:  # it has ended meanwhile, and its result is on its way
                report = future.report(QUESTION_PATIENCE)
        return _told(report)

    # ---- the cluster ----

    def workers(self):
        """The workers, as dicts: id, name, host, shares_memory (with this process), pid, state, python, capabilities, slots (by
        capability), cores, memory_bytes, load (inflight, window, queued, running, resident_bytes, executor_restarts), completed,
        seconds_since_heartbeat, facts. None is unknown."""
        return self._native.workers(QUESTION_PATIENCE)

    def metrics(self):
        """What the scheduler counts (queued, running, succeeded, failed, cancelled, retried, stale_results, workers), with
        ``functions``: a dict per function with calls, errors, level_chosen, why and its measured workload; and ``client``: of this
        connection, submitted, pending, reconnects, refusals (submissions that met a full queue), shared_memory. None is not
        measured."""
        return {**self._native.totals(QUESTION_PATIENCE), "functions": self._native.functions(QUESTION_PATIENCE),
                "client": self._native.facts()}

    @property
    def http_url(self):
        """The base of the scheduler's REST API, "http://127.0.0.1:8080"; None if it offers none."""
        return self._native.facts()["http_url"] or None

    @property
    def connected(self):
        """False while a lost connection is being tried again."""
        return not self._closed and self._native.facts()["connected"]

    # ---- its end ----

    def close(self, wait=False):
        """Ends the connection. What has not ended is cancelled, unless ``wait``: then it is waited for first."""
        if self._closed:
            return
        if wait:
            self._native.await_idle(None)
        self._closed = True
        self._native.close()
        if self._on_close is not None:
            self._on_close()

    def __enter__(self):
        if self._closed:
            raise ClientClosed("this client is closed: call epochly.connect() again")
        return self

    def __exit__(self, kind, error, traceback):
        self.close(wait=kind is None)

    def __repr__(self):
        if self._closed:
            return f"<epochly.Client {self.address} closed>"
        try:
            facts = self._native.facts()
        except ClientClosed:
            return f"<epochly.Client {self.address} of another process>"
        state = "connected" if facts["connected"] else "reconnecting"
        return f"<epochly.Client {self.address} {state}, {facts['pending']} of {facts['submitted']} tasks pending>"


# Before what their threads use is gone.
atexit.register(_native.end_clients)


def _told(report):
    if report.level_chosen is None:
        return "It never reached a worker."
    words = [f"Level {report.level_chosen} was chosen: {report.why}."]
    words += [f"Level {level} declined: {reason}." for level, reason in report.declined]
    if report.level is not None:
        words.append(f"Attempt {report.attempt} ran at level {report.level} on {report.worker}.")
    return " ".join(words)
