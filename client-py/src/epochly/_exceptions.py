"""How an exception of user code travels: as the same type with its arguments, cause, context and notes, and the worker's
traceback as text.

Exceptions drop ``__cause__`` and ``__context__`` when they are pickled, so the chain travels as a list of links, each pickled on
its own: one that cannot be pickled, or not be loaded, does not take the others with it.
"""
import itertools
import linecache
import os
import pickle
import re
import traceback

import cloudpickle

from epochly.errors import RemoteError, RemoteTraceback, ResultNotPicklable

# Links of a chain that travel; what lies behind is in the traceback's text.
CHAIN_LINKS_MAX = 32
# Of one link: exceptions carry messages, not data. A chain of the largest, and one that carries results (epochly._map), fit a
# message.
LINK_BYTES_MAX = 256 << 10
# Of the message of one, as text: what stands in for an exception that cannot be pickled or is larger than a link. A chain of such
# fits a message as well.
MESSAGE_CHARS_MAX = 64 << 10
# schemas/wire/task_spec.h TRACEBACK_BYTES_MAX.
TRACEBACK_BYTES_MAX = 64 << 10


def type_name(error):
    """ "module.QualName", without "builtins."."""
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def message_of(error):
    """``str(error)`` up to a bound, also of exceptions whose ``__str__`` fails."""
    try:
        text = str(error)
        return text if len(text) <= MESSAGE_CHARS_MAX else text[:MESSAGE_CHARS_MAX] + " [...]"
    except Exception as problem:  # user code
        return f"<its __str__ raised {type_name(problem)}>"


def describe(error):
    """(message, type name, traceback text, pickled chain) of an exception that user code raised."""
    shown = getattr(error, "shown_error", error)
    text = "".join(traceback.format_exception(type(shown), shown, _users_part(shown.__traceback__)))
    return message_of(shown), type_name(shown), _shortened(text), pickle.dumps(_links(error), 5)


def _users_part(tb):
    """Without the outermost frames, as long as they are Epochly's own."""
    here = os.path.dirname(__file__) + os.sep
    inner = tb
    while inner is not None and inner.tb_frame.f_code.co_filename.startswith(here):
        inner = inner.tb_next
    return inner if inner is not None else tb


def one_line(error):
    """ "Type: message"."""
    return f"{type_name(error)}: {message_of(error)}"


def _shortened(text):
    """Its end: that is where the error is."""
    data = text.encode("utf-8", "replace")
    if len(data) <= TRACEBACK_BYTES_MAX:
        return text
    return "[...]\n" + data[-TRACEBACK_BYTES_MAX + 8:].decode("utf-8", "ignore")


def _links(error):
    """[(pickled, type name, message, index of cause, index of context, suppress context)], ``error`` first."""
    found = {}
    order = []

    def index_of(link):
        if link is None or (id(link) not in found and len(order) == CHAIN_LINKS_MAX):
            return None
        if id(link) not in found:
            found[id(link)] = len(order)
            order.append(link)
        return found[id(link)]

    index_of(error)
    links = []
    for link in order:  # grows while it is walked
        links.append((_pickled(link), type_name(link), message_of(link), index_of(link.__cause__), index_of(link.__context__),
                      link.__suppress_context__))
    return links


def _pickled(error):
    for dumps in (pickle.dumps, cloudpickle.dumps):
        try:
            data = dumps(error, 5)
        except Exception:  # what its class's pickling may raise
            continue
        return data if len(data) <= getattr(error, "pickled_bytes_max", LINK_BYTES_MAX) else None
    return None


def revive(message, type, text, pickled):
    """The exception object for what ``describe`` gave on the worker."""
    text = _with_source(text)
    links = _load_links(pickled)
    if not links:
        error = RemoteError(type, message, text)
    else:
        error = _joined(links, text)
    _innermost(error).__cause__ = RemoteTraceback(text)
    return error


_FRAME = re.compile(r'( *)File "(.*)", line (\d+), in ')


def _with_source(text):
    """Adds the lines of source that only this process knows: of a notebook's cells, say."""
    lines = text.splitlines()
    seen = []
    for line, following in itertools.zip_longest(lines, lines[1:], fillvalue=""):
        seen.append(line)
        frame = _FRAME.match(line)
        if frame and (_FRAME.match(following) or not following.startswith(frame[1] + "  ")):
            source = linecache.getline(frame[2], int(frame[3])).strip()
            seen += [f"{frame[1]}  {source}"] if source else []
    return "\n".join(seen) + "\n"


def _load_links(pickled):
    if not pickled:
        return []
    try:
        return pickle.loads(pickled)
    except Exception:  # another release of Epochly
        return []


def _joined(links, text):
    errors = [_loaded(*link[:3], text) for link in links]
    for error, (_, _, _, cause, context, suppress) in zip(errors, links):
        if context is not None:
            error.__context__ = errors[context]
        if cause is not None:
            error.__cause__ = errors[cause]
        error.__suppress_context__ = suppress
    return errors[0]


def _loaded(pickled, type, message, text):
    """The exception object, or a RemoteError in its place when its class is not here or does not take its arguments."""
    if pickled is not None:
        try:
            error = pickle.loads(pickled)
            if isinstance(error, BaseException):
                return error
        except Exception:
            pass
    return RemoteError(type, message, text)


def _innermost(error):
    """The end of the chain that Python would print."""
    seen = {id(error)}
    while True:
        inner = error.__cause__
        if inner is None and not error.__suppress_context__:
            inner = error.__context__
        if inner is None or id(inner) in seen:
            return error
        seen.add(id(inner))
        error = inner


def unreadable_result(why):
    """The error for a result that does not load here."""
    error = ResultNotPicklable(f"the function returned a value that cannot be loaded here ({type_name(why)}: {message_of(why)}): "
                               f"its class must be importable where the result is taken")
    error.__cause__ = why
    return error
