"""The frame that enters a context: leaving the body of its with statement before it begins, and its variables.

An exception raised by a line event inside of the body ends it where it stands; __exit__ swallows it. From CPython 3.12 on the event
is sys.monitoring's, of that one code object; before, it is that of a trace function, which the thread has for no longer than that.
"""

import sys

from epochly import _native

__all__ = ["Skip", "arm", "disarm", "obstacle", "variables", "write_back"]


class Skip(BaseException):
    """Leaves the body. Seen by nobody but the __exit__ of the context that armed it."""


def variables(frame):
    """{name: value} of what is bound in the frame."""
    return dict(frame.f_locals)


def write_back(frame, values):
    if frame.f_locals is frame.f_globals:
        frame.f_globals.update(values)
        return
    frame.f_locals.update(values)  # the frame's one dictionary; from 3.13 on the variables themselves
    _native.locals_to_fast(frame)


if sys.version_info >= (3, 12):
    _monitoring = sys.monitoring
    # By id of frames that are armed: (frame, first line, last line, what to raise). Guarded by the GIL.
    _armed = {}
    _codes = {}  # how many of them, by code
    _tool = None

    def obstacle():
        """Why no body can be left now, a sentence; None if it can."""
        if _native.is_watched() or any(map(_monitoring.get_tool, (_monitoring.DEBUGGER_ID, _monitoring.COVERAGE_ID))):
            return "a debugger, profiler or coverage tool watches"
        return None if _find_tool() else "every place for a tool of sys.monitoring is taken"

    def _find_tool():
        global _tool
        if _tool is None:
            for number in (4, 3):  # those that sys.monitoring has no name for
                if _monitoring.get_tool(number) is None:
                    _monitoring.use_tool_id(number, "epochly.optimize_context")
                    _monitoring.register_callback(number, _monitoring.events.LINE, _on_line)
                    _tool = number
                    break
        return _tool is not None

    def _on_line(code, line):
        frame = sys._getframe(1)
        armed = _armed.get(id(frame))
        if armed is not None and armed[1] <= line <= armed[2]:
            disarm(frame)
            raise armed[3]

    def arm(frame, first, last, skip):
        _armed[id(frame)] = (frame, first, last, skip)
        code = frame.f_code
        _codes[code] = _codes.get(code, 0) + 1
        _monitoring.set_local_events(_tool, code, _monitoring.events.LINE)

    def disarm(frame):
        if _armed.pop(id(frame), None) is None:
            return
        code = frame.f_code
        _codes[code] -= 1
        if _codes[code] == 0:
            del _codes[code]
            _monitoring.set_local_events(_tool, code, 0)

else:

    def obstacle():
        """Why no body can be left now, a sentence; None if it can."""
        return "a debugger, profiler or coverage tool watches" if _native.is_watched() else None

    def arm(frame, first, last, skip):
        def on_line(at, event, _):
            if at is not frame:
                return None
            if event == "line" and first <= at.f_lineno <= last:
                raise skip  # which also ends the tracing
            return on_line

        frame.f_trace = on_line
        sys.settrace(on_line)

    def disarm(frame):
        trace = frame.f_trace
        if trace is not None and sys.gettrace() is trace:
            sys.settrace(None)
        frame.f_trace = None
