"""The programs as child processes."""
import codecs
import collections
import json
import os
import pathlib
import selectors
import shutil
import signal
import subprocess
import sys
import threading

from epochly import _native
from epochly.errors import EpochlyError

# Where the programs are, if not in the package (a build that is not installed).
BIN_VARIABLE = "EPOCHLY_BIN_DIR"
# What of a program's standard error is kept for an error message.
ERROR_LINES_MAX = 50
# Of a line that does not end: past it a piece is passed on as it is, so that output without line ends takes no memory here. As
# much as is read at once.
LINE_BYTES_MAX = 64 << 10
# From SIGTERM to SIGKILL, in seconds: a program that drains nothing ends in milliseconds.
STOP_PATIENCE = 3.0


class DaemonFailed(EpochlyError):
    """A program of an embedded cluster did not start; the message has what it wrote to standard error."""


def program(name):
    """The path of "epochly-scheduler", "epochly-worker" or "epochly-embedded"."""
    folders = [os.environ[BIN_VARIABLE]] if os.environ.get(BIN_VARIABLE) else []
    # Beside the native module, with which they are installed: in an editable install this file is elsewhere.
    folders.append(str(pathlib.Path(_native.__file__).parent / "bin"))
    for folder in folders:
        path = pathlib.Path(folder) / name
        if os.access(path, os.X_OK):
            return str(path)
    found = shutil.which(name)
    if found is None:
        raise DaemonFailed(f"{name} is neither in {' nor in '.join(folders)} nor on PATH: reinstall the package, or name its "
                           f"folder in {BIN_VARIABLE}")
    return found


class Daemon:
    """A running program. It ends by itself when this process does, whatever ends that: it is told our pid.

    Before it says ``last_event``, what it writes is kept; from then on it goes to this process's sys.stdout and sys.stderr,
    because it is what user code prints.
    """

    def __init__(self, name, arguments, environment=None, *, last_event):
        self.name = name
        self._last_event = last_event
        self._owner = os.getpid()
        self._condition = threading.Condition()   # guards what follows
        self._events = {}
        self._errors = collections.deque(maxlen=ERROR_LINES_MAX)
        self._ended = False
        self._passing = False
        # A session of its own: a Ctrl-C on the terminal is for this process, which then decides.
        self._process = subprocess.Popen(
            [program(name), *arguments, "--parent-pid", str(os.getpid())], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True, env=environment)
        self._reader = threading.Thread(target=self._read, name=f"{name}-output", daemon=True)
        self._reader.start()

    @property
    def pid(self):
        return self._process.pid

    def alive(self):
        return self._process.poll() is None

    def await_event(self, event, seconds):
        """The line of JSON by which it says ``event``. Raises DaemonFailed if it ends before, or takes longer."""
        with self._condition:
            self._condition.wait_for(lambda: event in self._events or self._ended, seconds)
            if event in self._events:
                return self._events[event]
            ended = self._ended
        why = f"ended with {_exit_text(self._process.wait())}" if ended else f"was not ready within {seconds:g} s"
        self.kill()
        raise DaemonFailed("\n".join([f"{self.name} {why}", *self._errors]))

    def stop(self):
        """Ends it and waits. Does nothing in a forked child: there it is not ours."""
        if self._owner != os.getpid():
            return
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
        self._reader.join(STOP_PATIENCE)  # what user code printed last

    def kill(self):
        self.signal(signal.SIGKILL)
        if self._owner == os.getpid():
            self._process.wait()

    def signal(self, number):
        if self._owner == os.getpid() and self.alive():
            self._process.send_signal(number)

    # ---- its output, in a thread of its own ----

    def _read(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ, _Lines(self._on_output))
            selector.register(self._process.stderr, selectors.EVENT_READ, _Lines(self._on_error))
            while selector.get_map():
                for key, _ in selector.select():
                    data = os.read(key.fd, LINE_BYTES_MAX)
                    key.data.feed(data)
                    if not data:
                        selector.unregister(key.fileobj)
                        key.fileobj.close()
        with self._condition:
            self._ended = True
            self._condition.notify_all()

    def _on_output(self, line):
        try:
            event = None if self._passing else json.loads(line)
        except ValueError:
            event = None
        if event is None:
            return self._pass_on(sys.stdout, line)
        with self._condition:
            self._events[event.get("event")] = event
            self._passing = event.get("event") == self._last_event
            held = list(self._errors) if self._passing else []
            self._condition.notify_all()
        for text in held:
            self._pass_on(sys.stderr, text + "\n")

    def _on_error(self, line):
        self._errors.append(line.rstrip("\n"))
        if self._passing:
            self._pass_on(sys.stderr, line)

    def _pass_on(self, stream, text):
        try:
            stream.write(text)
            stream.flush()
        except (AttributeError, ValueError, OSError):
            pass  # no such stream, or it is closed: the interpreter is ending


class _Lines:
    """Cuts a stream into lines, the last of which may be without its end, and what is longer than LINE_BYTES_MAX into pieces."""

    def __init__(self, consume):
        self._consume = consume
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a piece may end within a character
        self._rest = b""

    def feed(self, data):
        """``data`` is empty at the end of the stream."""
        lines = (self._rest + data).splitlines(keepends=True)
        partial = data and lines and not lines[-1].endswith(b"\n") and len(lines[-1]) < LINE_BYTES_MAX
        self._rest = lines.pop() if partial else b""
        for line in lines:
            self._consume(self._decoder.decode(line))
        if not data and (cut := self._decoder.decode(b"", final=True)):
            self._consume(cut)


def _exit_text(code):
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit status {code}"


class Reaper:
    """Removes a folder, and this process's objects in shared memory, when this process is gone, however it went: a shell that waits
    for the end of a pipe of which only we hold the other end."""

    # A line says that this process goes on, and only the folder does not. Names as worker/objects/name.h has them.
    _SCRIPT = 'read -r goes_on; rm -rf -- "$0"; [ -n "$goes_on" ] || exec rm -f -- "/dev/shm/$1"*'

    def __init__(self, folder):
        self._owner = os.getpid()
        read_end, self._write_end = os.pipe()
        try:
            objects = f"epochly-{os.geteuid()}-{os.getpid():08x}"
            self._process = subprocess.Popen(["/bin/sh", "-c", self._SCRIPT, folder, objects], stdin=read_end,
                                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        finally:
            os.close(read_end)

    def reap(self):
        """Now."""
        if self._owner != os.getpid():
            return
        try:
            os.write(self._write_end, b"goes on\n")
        except BrokenPipeError:  # somebody has killed it
            pass
        os.close(self._write_end)
        self._process.wait()


