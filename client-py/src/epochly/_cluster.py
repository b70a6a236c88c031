"""What ``@epochly.optimize(placement="cluster")`` runs on: one client per process, connected when it is first needed."""
import os
import threading

_lock = threading.Lock()
_client = None
_pid = None


def inside_executor():
    """This process is an executor: it runs what was sent, and sends nothing on."""
    import epochly.executor

    return epochly.executor.active


def client():
    """This process's own client, from ``epochly.connect()``."""
    global _client, _pid
    with _lock:
        if _client is None or _pid != os.getpid() or _client._closed:
            from epochly.embedded import connect

            _client, _pid = connect(), os.getpid()
        return _client


def call(func, args, kwargs, level):
    """Runs ``func(*args, **kwargs)`` on the cluster and returns (value, TaskReport). Raises what the function raised."""
    future = client()._submit(func, args, kwargs, level)
    return future.result(), future.placement
