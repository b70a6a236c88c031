"""epochly.errors against the table of the protocol."""
import concurrent.futures
import pickle

import pytest

import epochly
from epochly import _native, errors

TABLE = _native.error_table()


@pytest.mark.parametrize(("code", "name", "class_name", "status", "title"), TABLE[1:])
def test_every_row_of_the_table_has_its_class(code, name, class_name, status, title):
    cls = getattr(errors, class_name)
    assert issubclass(cls, epochly.EpochlyError) and cls.__doc__ and class_name in errors.__all__
    error = errors.from_code(code, "words")
    assert type(error) is cls and "words" in str(error)


def test_a_code_of_a_later_release_is_an_internal_error():
    assert type(errors.from_code(9999, "words")) is errors.InternalError


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_can_be_reached_from_the_package(name):
    assert getattr(epochly, name) is getattr(errors, name)


@pytest.mark.parametrize("name", sorted(set(errors.__all__) - {"RemoteError"}))
def test_every_error_pickles(name):
    error = pickle.loads(pickle.dumps(getattr(errors, name)("words")))
    assert type(error) is getattr(errors, name) and error.args == ("words",)


def test_remote_errors_pickle():
    error = pickle.loads(pickle.dumps(errors.RemoteError("a.B", "words", "trace")))
    assert (error.type, error.message, error.traceback) == ("a.B", "words", "trace")


@pytest.mark.parametrize(("name", "builtin"), [
    ("TaskTimeout", TimeoutError), ("ConnectionLost", ConnectionError), ("ConnectionFailed", errors.ConnectionLost),
    ("InvalidTask", ValueError), ("PayloadTooLarge", ValueError), ("NotFound", LookupError),
    ("AuthenticationError", PermissionError),
    ("FunctionNotPicklable", TypeError), ("ArgumentsNotPicklable", pickle.PicklingError), ("ResultNotPicklable", TypeError),
    ("TaskCancelled", concurrent.futures.CancelledError), ("ClientClosed", RuntimeError)])
def test_errors_are_caught_by_the_builtin_that_they_are_a_kind_of(name, builtin):
    assert issubclass(getattr(errors, name), builtin)
