"""The process that runs user code on a worker: ``python -m epochly.executor``, started by the worker daemon."""
import argparse
import atexit
import importlib
import os
import platform
import sys
import traceback

from epochly import _native

# Set by who starts the worker: where the functions' modules are, as in the process that submits. os.pathsep between.
SYS_PATH_VARIABLE = "EPOCHLY_SYS_PATH"

# This process is an executor: epochly._cluster runs here what it would send to a cluster elsewhere.
active = False


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m epochly.executor", description=__doc__)
    parser.add_argument("--mode", choices=("cpu", "io"), required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--fds", required=True)
    options = parser.parse_args(arguments)
    _mark()
    _use_path(os.environ.get(SYS_PATH_VARIABLE))
    _write_lines_at_once()
    software = f"epochly/{_native.__version__} {platform.python_implementation()}/{platform.python_version()}"
    told_to_stop = _native.run_executor(options.fds, options.mode, options.threads, software)
    _end(told_to_stop)


def _mark():
    """In the module that others import: this one's name is __main__."""
    importlib.import_module("epochly.executor").active = True


def _use_path(path):
    if path:
        sys.path[:] = path.split(os.pathsep)


def _write_lines_at_once():
    """A function's prints are seen when they are made, not when a buffer is full."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)


def _end(told_to_stop):
    """Ends the process under whatever threads user code and our pool have left. The interpreter is not taken down: it would
    wait
    for the user's threads, and unwind the stacks of those that are in native code, which C++ does not survive."""
    if told_to_stop:  # else the daemon is gone, and with it who would want anything from here
        try:
            atexit._run_exitfuncs()
        except BaseException:  # CPython 3.10 and later print what the handlers raise; none may keep us here
            traceback.print_exc()
    _flush()
    os._exit(0)


def _flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError, OSError):
            pass  # no such stream, it is closed, or nobody reads it


def explain_load_failure(name, module, error):
    """What to say of a function that does not load here; called by native code."""
    here = f"Python {platform.python_version()} of {sys.executable}"
    if isinstance(error, ModuleNotFoundError):
        return (f"{name} cannot be loaded on the worker: there is no module {error.name!r} for its {here}. Install it there, or "
                f"start the worker with the folder of {error.name!r} on PYTHONPATH (its sys.path is {sys.path})")
    if isinstance(error, AttributeError) and module:
        return (f"{name} cannot be loaded on the worker: its module {module!r} there is another version without that name "
                f"({error}; {here})")
    return f"{name} cannot be loaded on the worker: {type(error).__name__}: {error} ({here})"


if __name__ == "__main__":
    main()
