"""What tests of the Python package share."""
import os
import signal
import subprocess
import sys
import textwrap

import pytest

# Where this checkout's programs are; says nothing of how to run.
LOCATIONS = ("EPOCHLY_PROGRAMS", "EPOCHLY_BIN_DIR")


def clean_environment(**variables):
    """The environment of a fresh process: none of our variables but ``variables``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EPOCHLY_") or name in LOCATIONS}
    return {**kept, **variables}


@pytest.fixture(scope="session", autouse=True)
def _children_can_be_interrupted():
    """A shell's background jobs ignore SIGINT, and so would what they start. A handler that does nothing keeps this process
    as it is, while its children begin with the default."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)


@pytest.fixture
def environment():
    """The environment for a fresh process."""
    return clean_environment()


@pytest.fixture
def run_python():
    """Runs code in a fresh interpreter and returns what it printed; ``check=False`` returns the CompletedProcess."""

    def run(code, *arguments, check=True, seconds=60, **variables):
        done = subprocess.run([sys.executable, *arguments, "-c", textwrap.dedent(code)], capture_output=True, text=True,
                              timeout=seconds, env=clean_environment(**variables))
        if not check:
            return done
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
