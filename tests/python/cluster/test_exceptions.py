"""What user code raises comes back as what it was."""
import linecache
import sys
import traceback

import pytest
import tasks

import epochly
from epochly._exceptions import MESSAGE_CHARS_MAX


class Custom(Exception):
    def __init__(self, message, extra=None):
        super().__init__(message, extra)
        self.extra = extra


def raise_custom():
    raise Custom("custom", extra=[1, 2])


def raise_with_cause():
    try:
        {}["missing"]
    except KeyError as error:
        raise ValueError("outer") from error


def raise_with_context():
    try:
        {}["missing"]
    except KeyError:
        raise ValueError("outer")  # noqa: B904  # the context is what is tested


def raise_from_none():
    try:
        {}["missing"]
    except KeyError:
        raise ValueError("outer") from None


def raise_with_notes():
    error = ValueError("noted")
    error.add_note("first")
    error.add_note("second")
    raise error


def raise_group():
    raise ExceptionGroup("several", [ValueError(1), TypeError("two")])  # noqa: F821


def raise_with_lock():
    import threading

    raise ValueError("holds a lock", threading.Lock())


def raise_badly_spoken():
    class Silent(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    raise Silent


def raise_deep(depth):
    if depth == 0:
        raise RecursionError("deep")
    try:
        raise_deep(depth - 1)
    except RecursionError as error:
        raise RecursionError(f"at {depth}") from error


def raise_long():
    raise ValueError("x" * 200_000)


def raise_surrogate():
    raise ValueError("lone \ud800")


def exception_of(client, function, *args):
    error = client.submit(function, *args).exception()
    assert error is not None
    return error


def text_of(error):
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def test_type_arguments_and_attributes_survive(client):
    error = exception_of(client, raise_custom)
    assert type(error) is Custom and error.args == ("custom", [1, 2]) and error.extra == [1, 2]


def test_result_raises_it_with_the_workers_traceback(client):
    with pytest.raises(ValueError, match="boom") as caught:
        client.submit(tasks.fail).result()
    text = text_of(caught.value)
    assert "tasks.py" in text and "raise ValueError(message)" in text and "in fail" in text
    assert isinstance(caught.value.__cause__, epochly.RemoteTraceback)
    assert "epochly/" not in str(caught.value.__cause__), "only the user's frames"


def test_lines_that_only_this_process_knows_are_seen_all_the_same(client):
    source = "def cell():\n    helper()\ndef helper():\n    raise ValueError('in a notebook')\n"
    linecache.cache["<cell 1>"] = (len(source), None, source.splitlines(keepends=True), "<cell 1>")
    space = {"__name__": "__main__"}
    exec(compile(source, "<cell 1>", "exec"), space)
    text = text_of(exception_of(client, space["cell"]))
    assert '  File "<cell 1>", line 2, in cell\n    helper()\n' in text
    assert """  File "<cell 1>", line 4, in helper\n    raise ValueError('in a notebook')\nValueError: in a notebook\n""" in text


def test_the_cause_survives_and_the_traceback_is_behind_it(client):
    error = exception_of(client, raise_with_cause)
    assert isinstance(error, ValueError) and isinstance(error.__cause__, KeyError) and error.__cause__.args == ("missing",)
    assert isinstance(error.__cause__.__cause__, epochly.RemoteTraceback)
    assert "direct cause" in text_of(error)


def test_the_context_survives(client):
    error = exception_of(client, raise_with_context)
    assert error.__cause__ is None and isinstance(error.__context__, KeyError) and not error.__suppress_context__


def test_from_none_survives(client):
    error = exception_of(client, raise_from_none)
    assert isinstance(error.__cause__, epochly.RemoteTraceback) and error.__suppress_context__


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes and groups are of Python 3.11")
def test_notes_and_groups_survive(client):
    assert exception_of(client, raise_with_notes).__notes__ == ["first", "second"]
    group = exception_of(client, raise_group)
    assert [type(error) for error in group.exceptions] == [ValueError, TypeError]


def test_an_exception_whose_arguments_do_not_make_it_again_comes_as_remote_error(client):
    error = exception_of(client, tasks.raise_awkward)
    assert type(error) is epochly.RemoteError
    assert (error.type, error.message) == ("tasks.Awkward", "7: detail")
    assert "raise Awkward(7" in error.traceback and "raise Awkward(7" in text_of(error)
    assert str(error) == "tasks.Awkward: 7: detail"


def raise_of_a_module_of_its_own():
    import sys
    import types

    module = sys.modules["only_there"] = types.ModuleType("only_there")
    exec("class OnlyThere(Exception):\n    pass", module.__dict__)
    raise module.OnlyThere("seen only there") from ValueError("its cause")


def test_an_exception_of_a_module_that_this_process_lacks_comes_as_remote_error_with_its_cause(client):
    error = exception_of(client, raise_of_a_module_of_its_own)
    assert type(error) is epochly.RemoteError and (error.type, error.message) == ("only_there.OnlyThere", "seen only there")
    assert type(error.__cause__) is ValueError and error.__cause__.args == ("its cause",)


def test_an_exception_that_does_not_pickle_comes_as_remote_error(client):
    error = exception_of(client, raise_with_lock)
    assert type(error) is epochly.RemoteError and error.type == "ValueError" and "holds a lock" in error.message


def test_an_exception_that_cannot_be_printed_comes_all_the_same(client):
    error = exception_of(client, raise_badly_spoken)
    assert type(error).__name__ == "Silent" and isinstance(error.__cause__, epochly.RemoteTraceback)


def raise_enormous_chain():
    error = None
    for _ in range(40):
        enormous = ValueError("x" * (2 << 20))
        enormous.__cause__ = error
        error = enormous
    raise error


@pytest.mark.parametrize("level", [0, 1])
def test_a_message_too_large_to_travel_is_cut_and_costs_no_executor(client, level):
    pid = client.submit(tasks.pid, level=level).result()
    error = client.submit(raise_enormous_chain, level=level).exception()
    assert isinstance(error, epochly.RemoteError)
    assert "x" * MESSAGE_CHARS_MAX + " [...]" in str(error) and "x" * (MESSAGE_CHARS_MAX + 1) not in str(error)
    assert level == 0 or client.submit(tasks.pid, level=level).result() == pid


def test_a_long_chain_is_cut_and_a_long_message_comes_whole(client):
    error = exception_of(client, raise_deep, 60)
    links = 0
    while error is not None:
        error, links = error.__cause__, links + 1
    assert 30 <= links <= 35
    assert len(str(exception_of(client, raise_long))) == 200_000


def test_text_that_is_no_utf8_comes(client):
    assert "lone" in str(exception_of(client, raise_surrogate).args)


def test_system_exit_is_an_exception_like_another(client):
    error = exception_of(client, tasks.exit_politely)
    assert type(error) is SystemExit and error.code == 4
    assert client.submit(tasks.add, 1).result() == 1


def test_the_same_object_is_raised_each_time(client):
    future = client.submit(tasks.fail)
    assert future.exception() is future.exception()
    for _ in range(2):
        with pytest.raises(ValueError) as caught:
            future.result()
        assert caught.value is future.exception()


def test_an_exception_class_of_the_main_script_is_caught_by_its_own_name(script):
    assert script("""
        import epochly

        class Mine(Exception):
            pass

        def work():
            raise Mine("here", 5)

        try:
            epochly.connect().submit(work).result()
        except Mine as error:
            print(type(error) is Mine, error.args)
    """).stdout == "True ('here', 5)\n"
