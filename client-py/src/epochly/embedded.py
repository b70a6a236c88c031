"""``epochly.connect()``, and the cluster that it starts when there is none."""
import atexit
import os
import sys
import tempfile
import threading

from epochly import _native
from epochly._daemon import Daemon, Reaper
from epochly.client import ADDRESS_VARIABLE, TOKEN_FILE_VARIABLE, Client
from epochly.executor import SYS_PATH_VARIABLE

# Processor slots of the embedded worker; without it, the cores that this process may use.
MAX_WORKERS_VARIABLE = "EPOCHLY_MAX_WORKERS"
# Until a program is ready, in seconds: it takes 50 ms, a loaded machine may take a hundred times that.
START_PATIENCE = 30.0
# Of a unix socket's path: sockaddr_un has 108 bytes, one of them the terminating zero.
SOCKET_PATH_BYTES_MAX = 107


def connect(address=None, token=None, token_file=None, *, connect_timeout=5.0, overload_patience=None):
    """A Client of the cluster at ``address``.

    address: "unix:PATH" or "tcp://HOST:PORT". Without one, the environment's EPOCHLY_ADDRESS; without that, a cluster of this
    process's own is started, a scheduler and a worker on this machine, which later calls share and which is gone when this
    process is. token: the secret that the scheduler asks for; token_file: a file with it (also EPOCHLY_TOKEN_FILE).
    connect_timeout: seconds to try for; 0 tries once. overload_patience: seconds that ``submit`` waits while the cluster takes no
    more tasks, before it raises Overloaded; None waits for as long as it takes.

    Raises ValueError for what is not an address, ConnectionFailed, AuthenticationError, ProtocolMismatch.
    """
    options = {"connect_timeout": connect_timeout, "overload_patience": overload_patience}
    address = address or os.environ.get(ADDRESS_VARIABLE)
    if address is None:
        cluster = _embedded_cluster()
        try:
            return Client(cluster.address, cluster=cluster, on_close=cluster.client_closed, **options)
        except BaseException:
            cluster.client_closed()
            raise
    return Client(address, _token(token, token_file), **options)


def _token(token, token_file):
    if token is not None:
        return _native.token_of(token)
    token_file = token_file or os.environ.get(TOKEN_FILE_VARIABLE)
    return _native.load_token(os.fspath(token_file)) if token_file else b""


def default_slots():
    """EPOCHLY_MAX_WORKERS, else the cores that this process may use."""
    text = os.environ.get(MAX_WORKERS_VARIABLE)
    if not text:
        return len(os.sched_getaffinity(0))
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{MAX_WORKERS_VARIABLE}={text}: use a whole number, at least 1")
    return int(text)


class Cluster:
    """A scheduler and workers of this process's own, on a unix socket in a private folder. Gone when this process is."""

    def __init__(self, workers=1, cpu_slots=None, io_threads=None, scheduler_options=(), worker_options=(), environment=None):
        self._folder = _private_folder()
        self._reaper = Reaper(self._folder)
        self.address = f"unix:{self._folder}/scheduler.sock"
        self.import_path = _import_path()
        self.clients = 0  # of connect(), not closed; one that is dropped stays counted, for its futures may be waited for
        self._cpu_slots = cpu_slots or default_slots()
        self._io_threads = io_threads
        self._scheduler_options = list(scheduler_options)
        self._worker_options = list(worker_options)
        # A function of an executor that connects comes to this cluster, instead of starting one of its own.
        self._environment = {**os.environ, **(environment or {}), SYS_PATH_VARIABLE: os.pathsep.join(self.import_path),
                             ADDRESS_VARIABLE: self.address}
        self._environment.setdefault("EPOCHLY_LOG", "warning")
        self.workers = []
        self.scheduler = None
        self._stopped = False
        try:
            ready = self._start(workers)
        except BaseException:
            self.stop()
            raise
        self.http_url = ready.get("http") or None

    def _start(self, workers):
        """Starts everything and waits for it; what the scheduler said when it was ready."""
        self.scheduler = Daemon("epochly-scheduler", self._scheduler_arguments(), self._environment, last_event="ready")
        ready = self.scheduler.await_event("ready", START_PATIENCE)
        started = [self._start_worker() for _ in range(workers)]
        for worker in started:
            worker.await_event("joined", START_PATIENCE)
        return ready

    def _scheduler_arguments(self):
        return ["--listen", self.address, "--http", "127.0.0.1:0", "--store", "memory", "--drain-seconds", "0",
                *self._scheduler_options]

    def _worker_arguments(self):
        arguments = ["--scheduler", self.address, "--python", sys.executable, "--cpu-slots", str(self._cpu_slots)]
        if self._io_threads is not None:
            arguments += ["--io-threads", str(self._io_threads)]
        return arguments + self._worker_options

    def _start_worker(self):
        worker = Daemon("epochly-worker", self._worker_arguments(), self._environment, last_event="joined")
        self.workers.append(worker)
        return worker

    def client_closed(self):
        with _lock:
            self.clients -= 1
            _stop_unused()

    def add_worker(self):
        """Starts another worker; returns its Daemon once it has joined."""
        worker = self._start_worker()
        worker.await_event("joined", START_PATIENCE)
        return worker

    def stop(self):
        """Ends everything. Does nothing in a forked child, to which it does not belong."""
        if self._stopped:
            return
        self._stopped = True
        for worker in self.workers:
            worker.stop()
        if self.scheduler is not None:
            self.scheduler.stop()
        self._reaper.reap()


def _import_path():
    """sys.path as another process in the same folder needs it: "" stands for that folder."""
    return [entry or os.getcwd() for entry in sys.path if isinstance(entry, str)]


def _private_folder():
    """A new folder that only this user can enter, with a short enough path for a socket."""
    folder = tempfile.mkdtemp(prefix=f"epochly-{os.getpid()}-")
    if len(os.fsencode(f"{folder}/scheduler.sock")) <= SOCKET_PATH_BYTES_MAX:
        return folder
    os.rmdir(folder)
    return tempfile.mkdtemp(prefix=f"epochly-{os.getpid()}-", dir="/tmp")


class OneProgramCluster(Cluster):
    """The same with one worker, in one program: what passes between the two wakes no process."""

    def _start(self, workers):
        self.scheduler = Daemon("epochly-embedded", [*self._scheduler_arguments(), "--", *self._worker_arguments()],
                                self._environment, last_event="joined")
        self.scheduler.await_event("joined", START_PATIENCE)
        return self.scheduler.await_event("ready", START_PATIENCE)


# ---- this process's own ----------------------------------------------------------------------------------------------

_lock = threading.Lock()
_cluster = None
# Those whose workers do not look where this process has come to look for modules: no new client gets them, and they go with their
# last one.
_outdated = []


def _embedded_cluster():
    """The one for a new client, which is counted."""
    global _cluster
    with _lock:
        if _cluster is not None and not _cluster.scheduler.alive():
            _cluster.stop()
            _cluster = None
        if _cluster is not None and not set(_import_path()) <= set(_cluster.import_path):
            _outdated.append(_cluster)
            _cluster = None
        _stop_unused()
        if _cluster is None:
            _cluster = OneProgramCluster()
        _cluster.clients += 1
        return _cluster


def _stop_unused():
    for cluster in list(_outdated):
        if cluster.clients == 0:
            cluster.stop()
            _outdated.remove(cluster)


def _forget_parents_cluster():
    global _cluster, _lock
    _cluster = None
    _outdated.clear()
    _lock = threading.Lock()


def _end():
    _native.end_clients()
    for cluster in [*_outdated, *([_cluster] if _cluster is not None else [])]:
        cluster.stop()


os.register_at_fork(after_in_child=_forget_parents_cluster)
atexit.register(_end)
