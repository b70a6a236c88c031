"""One driver per system, behind one small interface. The systems' own packages are imported in start(), in the driver's
process, so that none weighs on another."""
import abc
import os


class Peer(abc.ABC):
    """A running system with a number of worker processes."""
    name = ""
    package = None  # what pip calls it; None: it comes with Python

    @abc.abstractmethod
    def start(self, workers):
        """Starts it and returns its version."""

    @abc.abstractmethod
    def submit(self, fn, argument):
        """Submits one call the way its manual shows first; returns its future."""

    @abc.abstractmethod
    def wait(self, futures):
        """Results of these futures, in order."""

    @abc.abstractmethod
    def stop(self):
        """Ends it and its processes."""


class Epochly(Peer):
    name = "epochly"

    def start(self, workers):
        import importlib.metadata

        import epochly
        os.environ["EPOCHLY_MAX_WORKERS"] = str(workers)
        self.client = epochly.connect()
        return importlib.metadata.version("epochly-client")

    def submit(self, fn, argument):
        return self.client.submit(fn, argument, level=0)

    def wait(self, futures):
        return self.client.gather(futures)

    def stop(self):
        self.client.close()


class ProcessPool(Peer):
    name = "pool"

    def start(self, workers):
        import concurrent.futures
        import platform
        self.executor = concurrent.futures.ProcessPoolExecutor(workers)
        return platform.python_version()

    def submit(self, fn, argument):
        return self.executor.submit(fn, argument)

    def wait(self, futures):
        return [future.result() for future in futures]

    def stop(self):
        self.executor.shutdown()


class Ray(Peer):
    name = "ray"
    package = "ray"

    def start(self, workers):
        import ray
        self.ray = ray
        self.remote = {}
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="error",
                 object_store_memory=200_000_000)
        return ray.__version__

    def submit(self, fn, argument):
        remote = self.remote.get(fn)
        if remote is None:
            remote = self.remote[fn] = self.ray.remote(fn)
        return remote.remote(argument)

    def wait(self, futures):
        return self.ray.get(futures)

    def stop(self):
        self.ray.shutdown()


class Dask(Peer):
    name = "dask"
    package = "distributed"

    def start(self, workers):
        import distributed
        self.client = distributed.Client(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None)
        return distributed.__version__

    def submit(self, fn, argument):
        return self.client.submit(fn, argument, pure=False)  # pure: equal calls would be run once

    def wait(self, futures):
        return self.client.gather(futures)

    def stop(self):
        cluster = self.client.cluster
        self.client.close()
        cluster.close()


PEERS = {peer.name: peer for peer in (Epochly, ProcessPool, Ray, Dask)}
