"""One line per step: what, how far, how long. The full output is in build/logs; its tail is shown when a step fails."""
import contextlib
import os
import re
import signal
import subprocess
import sys
import time

from scripts.dev.paths import LOGS, ROOT

# Lines of a failed step's log that are shown: a compiler error with its context fits, a screen is not flooded.
TAIL_LINES = 40
# And characters of each: a command may name every file there is.
TAIL_COLUMNS = 300
# How often a running step's line is painted again, seconds.
REPAINT_SECONDS = 0.2
# A step that was interrupted gets this long to clean up before it is killed, seconds.
INTERRUPT_GRACE_SECONDS = 10


class StepFailed(Exception):
    """A step ended badly; what there is to say was printed."""


class Failures:
    """The steps that failed in this run, in order, for the summary."""

    def __init__(self):
        self.names = []

    @contextlib.contextmanager
    def collect(self):
        """Swallows StepFailed, so that the next step runs; the run stays red."""
        try:
            yield
        except StepFailed as error:
            self.names.append(str(error))


def say(text=""):
    print(text, flush=True)


def complain(text):
    print(text, file=sys.stderr, flush=True)


def run_step(name, command, *, cwd=ROOT, env=None, may_fail=False):
    """Runs ``command`` as a step of that name and returns its exit code; its output goes to build/logs/<name>.log.

    may_fail: the caller judges the exit code. Otherwise a code other than 0 shows the log's tail and raises StepFailed.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    log_path = log_of(name)
    started = time.monotonic()
    with open(log_path, "w") as log:
        log.write("$ " + " ".join(map(str, command)) + "\n")
        log.flush()
        code = _wait(name, _start(command, cwd, env, log), log_path, started)
    ok = code == 0 or may_fail
    _finish_line(name, "ok" if ok else "FAILED", time.monotonic() - started)
    if not ok:
        show_tail(log_path)
        raise StepFailed(name)
    return code


@contextlib.contextmanager
def step(name):
    """A step done in this process: prints its line and time when the block ends."""
    started = time.monotonic()
    try:
        yield
    except BaseException:
        _finish_line(name, "FAILED", time.monotonic() - started)
        raise
    _finish_line(name, "ok", time.monotonic() - started)


def log_of(name):
    return LOGS / (re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-") + ".log")


def show_tail(log_path):
    lines = log_path.read_text(errors="replace").splitlines()
    if len(lines) > TAIL_LINES:
        say(f"        ... {len(lines) - TAIL_LINES} lines above")
    for line in lines[-TAIL_LINES:]:
        say("        " + (line if len(line) <= TAIL_COLUMNS else line[:TAIL_COLUMNS] + " ..."))
    say(f"        the whole of it: {log_path.relative_to(ROOT)}")


def run_in_foreground(command, *, env=None):
    """Runs ``command`` on this terminal and returns its exit code. Ctrl-C reaches it; it decides what that means."""
    previous = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        return subprocess.run([str(word) for word in command], cwd=ROOT, env={**os.environ, **(env or {})}).returncode
    finally:
        signal.signal(signal.SIGINT, previous)


def _start(command, cwd, env, log):
    """A session of its own, so that an interrupt reaches it once, from _end(), and all its children with it."""
    interrupts = []  # while the process starts: it is ours to end only once we know it
    previous = signal.signal(signal.SIGINT, lambda *_: interrupts.append(True))
    try:
        process = subprocess.Popen([str(word) for word in command], cwd=cwd, env={**os.environ, **(env or {})}, stdout=log,
                                   stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True)
    finally:
        signal.signal(signal.SIGINT, previous)
    if interrupts:
        _end(process)
        raise KeyboardInterrupt
    return process


def _wait(name, process, log_path, started):
    """Waits for the process, painting progress. On Ctrl-C the process is interrupted and let to clean up."""
    try:
        while True:
            try:
                return process.wait(REPAINT_SECONDS)
            except subprocess.TimeoutExpired:
                _paint(name, log_path, time.monotonic() - started)
    except KeyboardInterrupt:
        _end(process)
        raise


def _end(process):
    """Interrupts the step and ends what is left of its processes after the grace."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(INTERRUPT_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _paint(name, log_path, seconds):
    if sys.stdout.isatty():
        print(f"\r\033[K  ..      {name:<44}{seconds:7.1f} s  {_progress(log_path)}", end="", flush=True)


def _progress(log_path):
    """The last "[12/345]" or "12%" of the log, as Ninja, ctest and pytest print them."""
    with open(log_path, "rb") as log:
        log.seek(max(0, os.fstat(log.fileno()).st_size - 4096))
        found = re.findall(rb"\[ *\d+(?:/\d+|%)\]|\d+/\d+ Test", log.read())
    return found[-1].decode() if found else ""


def _finish_line(name, verdict, seconds):
    if sys.stdout.isatty():
        print("\r\033[K", end="")
    say(f"  {verdict:<8}{name:<44}{seconds:7.1f} s")
