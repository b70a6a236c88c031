"""Every error of the cluster, one class per row of the table in schemas/wire/errors.cpp (a test holds the two together), and
those of the SDK alone.

User code's own exceptions are not here: they come back as what they were, see :mod:`epochly._exceptions`.
"""
import concurrent.futures
import pickle

__all__ = [
    "ArgumentsNotPicklable", "AuthenticationError", "ClientClosed", "ConnectionFailed", "ConnectionLost", "EpochlyError",
    "ExecutorDied", "ForbiddenHost", "FunctionNotPicklable", "FunctionUnavailable", "InternalError", "InvalidTask",
    "MalformedRequest", "MethodNotAllowed", "NoFittingWorker", "NotFound", "Overloaded", "PayloadTooLarge", "ProtocolMismatch",
    "RemoteError", "RemoteTraceback", "ResultNotPicklable", "ShuttingDown", "SpillFailed", "TaskCancelled", "TaskTimeout",
    "WorkerLost",
]


class EpochlyError(Exception):
    """The base of every error that Epochly raises itself."""


class RemoteError(EpochlyError):
    """The function raised an exception that could not be brought here as an object.

    ``type`` is the exception's class on the worker ("module.Name"), ``message`` its text, ``traceback`` the worker's formatted
    traceback.
    """

    def __init__(self, type, message, traceback=""):
        super().__init__(type, message, traceback)
        self.type = type
        self.message = message
        self.traceback = traceback

    def __str__(self):
        return f"{self.type}: {self.message}"


class RemoteTraceback(Exception):
    """The worker's traceback as text: the innermost ``__cause__`` of an exception that came from there."""

    def __init__(self, text):
        super().__init__(text)
        self.text = text

    def __str__(self):
        return f'\n"""\n{self.text.rstrip()}\n"""'


class Overloaded(EpochlyError):
    """A queue of the scheduler is full. Nothing was lost; the SDK tries again by itself unless it was asked not to wait."""


class AuthenticationError(EpochlyError, PermissionError):
    """The scheduler asks for a token and was given none, or a wrong one."""


class ProtocolMismatch(EpochlyError):
    """Client and scheduler are of releases that do not understand each other."""


class InvalidTask(EpochlyError, ValueError):
    """A level, timeout, number of retries or the like is out of range."""


class NotFound(EpochlyError, LookupError):
    """The scheduler knows no such thing (any more)."""


class PayloadTooLarge(EpochlyError, ValueError):
    """Arguments or a result over the limit of what travels inside a message."""


class FunctionUnavailable(EpochlyError):
    """The function could not be loaded on the worker: its module is not there, or it needs another Python."""


class FunctionNotPicklable(EpochlyError, pickle.PicklingError, TypeError):
    """The function cannot be sent: it, or something it refers to, does not pickle."""


class ArgumentsNotPicklable(EpochlyError, pickle.PicklingError, TypeError):
    """An argument cannot be sent, or cannot be loaded on the worker."""


class ResultNotPicklable(EpochlyError, pickle.PicklingError, TypeError):
    """The function returned something that cannot be sent back, or that cannot be loaded here."""


class ExecutorDied(EpochlyError):
    """The process that ran the function died: a crash, ``os._exit``, a kill, or memory ran out."""


class TaskTimeout(EpochlyError, TimeoutError):
    """The task ran for longer than its ``timeout``."""


class WorkerLost(EpochlyError):
    """Worker after worker was lost while it had the task, which is therefore taken for the cause."""


class NoFittingWorker(EpochlyError):
    """No worker can run the task: none has the Python that the function needs, or none is on the host of its arguments."""


class TaskCancelled(EpochlyError, concurrent.futures.CancelledError):
    """The task was cancelled."""


class ConnectionLost(EpochlyError, ConnectionError):
    """The scheduler was away for too long, or came back without memory of this client.

    A task that ended like this may or may not have run.
    """


class ConnectionFailed(ConnectionLost):
    """No connection to the scheduler came about in the first place."""


class ClientClosed(EpochlyError, RuntimeError):
    """The client was closed, or belongs to the process that this one was forked from."""


class ShuttingDown(EpochlyError, ConnectionError):
    """The scheduler is shutting down and takes no new work."""


class SpillFailed(EpochlyError, OSError):
    """The disk has no room for results that do not fit into ``memory_limit``, or they cannot be written there."""


class MalformedRequest(EpochlyError, ValueError):
    """A message could not be read."""


class MethodNotAllowed(EpochlyError):
    """The scheduler does not offer this."""


class ForbiddenHost(EpochlyError, PermissionError):
    """A request reached the scheduler under a name that it does not answer to."""


class InternalError(EpochlyError):
    """A fault of Epochly itself."""


def _classes_by_code():
    from epochly import _native

    return {code: globals().get(name, InternalError) for code, _, name, _, _ in _native.error_table() if name}


_by_code = None


def from_code(code, message):
    """The error of table row ``code``, saying ``message``."""
    global _by_code
    if _by_code is None:
        _by_code = _classes_by_code()
    cls = _by_code.get(code, InternalError)
    return cls("", message) if cls is RemoteError else cls(message)
