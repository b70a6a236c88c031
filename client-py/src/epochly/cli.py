"""The command ``epochly``."""
import argparse
import os
import runpy
import sys
import textwrap

from epochly.client import ADDRESS_VARIABLE, TOKEN_FILE_VARIABLE

# What ./epochly-scheduler listens on by default, and so where to look for one.
DEFAULT_ADDRESS = "tcp://127.0.0.1:7070"

EXAMPLES = """\
examples:
  epochly run script.py --size 10          run a script; its tasks go to a cluster of its own
  epochly scheduler                        serve this machine on tcp://127.0.0.1:7070, REST on 127.0.0.1:8080
  epochly worker --scheduler tcp://127.0.0.1:7070
  epochly status                           what the cluster does
  epochly scheduler --listen tcp://0.0.0.0:7070 --token-file /etc/epochly/token
"""


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] in (["scheduler"], ["worker"]):
        return _run_program(arguments[0], arguments[1:])  # whose flags are its own
    options = _parser().parse_args(arguments)
    return options.handler(options)


def _parser():
    parser = argparse.ArgumentParser(prog="epochly", description="Runs Python functions at the level that fits them, here or on a "
                                     "cluster.", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"epochly {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    commands.add_parser("scheduler", add_help=False, help="run a scheduler (epochly scheduler --help lists its flags)")
    commands.add_parser("worker", add_help=False, help="run a worker (epochly worker --help lists its flags)")
    status = commands.add_parser("status", help="show a cluster's workers, tasks and functions")
    status.add_argument("--address", default=os.environ.get(ADDRESS_VARIABLE) or DEFAULT_ADDRESS,
                        help=f"unix:PATH or tcp://HOST:PORT (default: ${ADDRESS_VARIABLE} or {DEFAULT_ADDRESS})")
    status.add_argument("--token-file", default=os.environ.get(TOKEN_FILE_VARIABLE), help="file with the scheduler's secret")
    status.set_defaults(handler=_status)
    run = commands.add_parser("run", help="run a script with a cluster of its own")
    run.add_argument("--address", help="use this cluster instead")
    run.add_argument("script")
    run.add_argument("arguments", nargs=argparse.REMAINDER, help="the script's own")
    run.set_defaults(handler=_run_script)
    return parser


def _version():
    from epochly import _native

    return _native.__version__


# ---- scheduler, worker ------------------------------------------------------------------------------------------------


def _run_program(name, arguments):
    from epochly._daemon import DaemonFailed, program

    try:
        path = program(f"epochly-{name}")
    except DaemonFailed as error:
        return _fail(error)
    if name == "worker" and not any(argument.split("=")[0] == "--python" for argument in arguments):
        arguments = ["--python", sys.executable, *arguments]
    sys.stdout.flush()
    os.execv(path, [path, *arguments])


# ---- run --------------------------------------------------------------------------------------------------------------


def _run_script(options):
    if options.address:
        os.environ[ADDRESS_VARIABLE] = options.address
    if not os.path.isfile(options.script):
        return _fail(f"there is no script {options.script!r}")
    sys.argv = [options.script, *options.arguments]
    sys.path[0] = os.path.dirname(os.path.abspath(options.script))
    runpy.run_path(options.script, run_name="__main__")
    return 0


# ---- status -----------------------------------------------------------------------------------------------------------


def _status(options):
    from epochly.embedded import connect
    from epochly.errors import EpochlyError

    try:
        with connect(options.address, token_file=options.token_file, connect_timeout=0) as client:
            _print_status(client)
    except (EpochlyError, ValueError) as error:
        return _fail(error)
    return 0


def _print_status(client):
    metrics = client.metrics()
    print(f"scheduler  {client.address}" + (f", REST {client.http_url}" if client.http_url else ", REST off"))
    counts = ("queued", "running", "succeeded", "failed", "cancelled", "retried")
    print("tasks      " + ", ".join(f"{metrics[name]} {name}" for name in counts))
    print()
    _print_table(("name", "state", "python", "slots", "running", "done", "memory"),
                 [_worker_row(worker) for worker in client.workers()], "no workers have joined")
    print()
    _print_table(("name", "calls", "errors", "mean run", "level", "why"),
                 [_function_row(function) for function in metrics["functions"]], "no functions were called yet")


def _worker_row(worker):
    slots = " ".join(f"{name}:{count}" for name, count in worker["slots"].items())
    return (worker["name"], worker["state"], worker["python"], slots, worker["load"]["running"], worker["completed"],
            _bytes_text(worker["load"]["resident_bytes"]))


def _function_row(function):
    return (function["name"], function["calls"], function["errors"], _seconds_text(function["run_seconds_mean"]),
            function["level_chosen"], textwrap.shorten(function["why"], 60, placeholder="..."))


def _print_table(heads, rows, nothing):
    if not rows:
        print(nothing)
        return
    cells = [heads] + [tuple(str(cell) for cell in row) for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def _bytes_text(count):
    return "unknown" if count is None else f"{count / (1 << 20):.0f} MiB"


def _seconds_text(seconds):
    if seconds is None:
        return "not measured"
    for unit, scale in (("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def _fail(why):
    print(f"epochly: {why}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
