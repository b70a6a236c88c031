"""Processes that are to end."""
import threading
from pathlib import Path


def gone(pid):
    """The process is no more (or only its entry for the parent is)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def await_gone(pids):
    """They are ended by those who started them; a test that waits forever is ended by its timeout."""
    pause = threading.Event()
    while not all(map(gone, pids)):
        pause.wait(0.02)
