"""A cluster for tests."""
import os
import signal

from epochly.client import Client
from epochly.embedded import Cluster


class LocalCluster:
    """A scheduler and workers on this machine, with a client. A context manager.

    workers: how many; cpu_slots: tasks that each runs at once on its processors; io_threads: tasks that wait side by side on
    each. client_options: for epochly.Client.

        with epochly.testing.LocalCluster(workers=2) as cluster:
            assert cluster.client.submit(pow, 2, 10).result() == 1024
    """

    def __init__(self, workers=2, cpu_slots=1, io_threads=None, *, scheduler_options=(), worker_options=(), environment=None,
                 client_options=None):
        self._client_options = dict(client_options or {})
        self._cluster = Cluster(workers, cpu_slots, io_threads, scheduler_options, worker_options, environment)
        self._client = None

    @property
    def client(self):
        """A client of it, made when first asked for."""
        if self._client is None:
            self._client = self.connect()
        return self._client

    def connect(self, **options):
        """Another client of it."""
        return Client(self.address, cluster=self._cluster, **{**self._client_options, **options})

    @property
    def address(self):
        return self._cluster.address

    @property
    def http_url(self):
        return self._cluster.http_url

    @property
    def worker_pids(self):
        """Of the worker daemons that run."""
        return [worker.pid for worker in self._cluster.workers if worker.alive()]

    @property
    def scheduler_pid(self):
        return self._cluster.scheduler.pid

    def kill_worker(self, index):
        """SIGKILL to the daemon of that place in worker_pids; its executors go with it. Returns its pid."""
        pid = self.worker_pids[index]
        for worker in self._cluster.workers:
            if worker.pid == pid:
                worker.kill()
        return pid

    def add_worker(self):
        """Starts another worker and returns its pid once it has joined."""
        return self._cluster.add_worker().pid

    def pause_scheduler(self):
        """SIGSTOP; resume_scheduler() lets it go on."""
        os.kill(self.scheduler_pid, signal.SIGSTOP)

    def resume_scheduler(self):
        os.kill(self.scheduler_pid, signal.SIGCONT)

    def close(self):
        if self._client is not None:
            self._client.close()
        self._cluster.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
