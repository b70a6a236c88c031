"""What iterations tell the world beside their results: what they print and what they log. It is told where they would have run.

``logging`` in another process has none of the program's handlers and levels: the levels go there, and the records come back.
"""

import io
import logging
import sys

__all__ = ["Levels", "Told", "tell"]

_RECORD = "record"


class Levels:
    """Which records a process makes."""

    def __init__(self):
        loggers = logging.Logger.manager.loggerDict.items()
        self.of = {name: logger.level for name, logger in loggers if isinstance(logger, logging.Logger) and logger.level}
        self.root, self.disabled = logging.root.level, logging.Logger.manager.disable

    def set(self):
        for name, level in self.of.items():
            logging.getLogger(name).setLevel(level)
        logging.root.setLevel(self.root)
        logging.disable(self.disabled)


class Told:
    """Keeps, in ``all``, what is told while it is entered: [(name of the stream, text) or ("record", its fields)], in order."""

    def __init__(self, levels):
        self.levels, self.all = levels, []

    def __enter__(self):
        self._streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = _Stream("stdout", self.all, sys.stdout), _Stream("stderr", self.all, sys.stderr)
        if self.levels is not None:
            self._handlers, logging.root.handlers = logging.root.handlers, [_Handler(self.all)]
            self._levels = Levels()
            self.levels.set()

    def __exit__(self, *_):
        sys.stdout, sys.stderr = self._streams
        if self.levels is not None:
            logging.root.handlers = self._handlers
            self._levels.of = {**dict.fromkeys(self.levels.of, logging.NOTSET), **self._levels.of}
            self._levels.set()


class _Handler(logging.Handler):
    def __init__(self, told):
        super().__init__()
        self._told = told

    def emit(self, record):
        fields = {**vars(record), "msg": record.getMessage(), "args": None, "exc_info": None}
        if record.exc_info:
            fields["exc_text"] = record.exc_text or logging.Formatter().formatException(record.exc_info)
        self._told.append((_RECORD, {name: value for name, value in fields.items() if type(value) in _PLAIN}))


# What a record keeps on its way; what else a program has put into it stays behind.
_PLAIN = frozenset((str, int, float, bool, type(None)))


class _Stream(io.TextIOBase):
    def __init__(self, name, told, stream):
        self._name, self._told, self._stream = name, told, stream

    @property
    def encoding(self):
        return self._stream.encoding

    @property
    def errors(self):
        return self._stream.errors

    def fileno(self):
        return self._stream.fileno()

    def writable(self):
        return True

    def write(self, text):
        self._told.append((self._name, str(text)))
        return len(text)


def tell(told):
    for name, what in told:
        if name == _RECORD:
            record = logging.makeLogRecord(what)
            logger = logging.getLogger(record.name)
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)
        else:
            getattr(sys, name).write(what)
