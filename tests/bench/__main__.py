"""python -m tests.bench [table ...]: measures, prints tables, writes JSON. `./dev bench` calls it."""
import argparse
import json
import sys
from pathlib import Path

from tests.bench import call_overhead, choice, machine, queue_depth, tables
from tests.bench.peers import PEERS
from tests.bench.rounds import ROOT, Rounds

PEER_TABLES = ("tasks", "roundtrip", "metg")
ALL_TABLES = (*PEER_TABLES, "queue", "calls", "choice")
# "On two cores" is what the targets are about.
WORKERS = 2


def parse(arguments):
    parser = argparse.ArgumentParser(prog="./dev bench", description="Epochly beside its peers, in one run.")
    parser.add_argument("tables", nargs="*", metavar="table", help=f"of {', '.join(ALL_TABLES)}; all when none is named")
    parser.add_argument("--rounds", type=int, default=5, help="medians are over so many rounds (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a batch of tasks (2)")
    parser.add_argument("--round-trips", type=int, default=500, help="lone tasks a round (500)")
    parser.add_argument("--queue-tasks", type=int, default=1_000_000, help="length of the long queue (1000000)")
    parser.add_argument("--peers", default=",".join(PEERS), help=f"of {','.join(PEERS)}")
    parser.add_argument("--peer-python", help="interpreter of the environment that holds Ray and Dask")
    parser.add_argument("--out", type=Path, default=ROOT / "bench-results", help="folder for the JSON file")
    parser.add_argument("--check", action="store_true", help="exit code 1 when a target is not met")
    options = parser.parse_args(arguments)
    options.tables = options.tables or list(ALL_TABLES)
    unknown = [name for name in options.tables if name not in ALL_TABLES]
    unknown += [name for name in options.peers.split(",") if name not in PEERS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; tables: {', '.join(ALL_TABLES)}; peers: {', '.join(PEERS)}")
    return options


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def measure_peers(options):
    """The tables that have peers, from the same rounds; and what was measured, raw."""
    wanted = [name for name in PEER_TABLES if name in options.tables]
    if not wanted:
        return [], {}
    plan = {"workers": WORKERS, "tables": wanted, "seconds": options.seconds, "round_trips": options.round_trips}
    rounds = Rounds(options.peers.split(","), plan, options.peer_python)
    answers = rounds.run(options.rounds, progress)
    progress("")
    made = {"tasks": lambda: tables.tasks_table(answers), "roundtrip": lambda: tables.round_trip_table(answers),
            "metg": lambda: tables.metg_table(answers, WORKERS)}
    return [made[name]() for name in wanted], {"versions": rounds.versions(), "rounds": answers}


def main(arguments):
    options = parse(arguments)
    result = {"machine": machine.describe()}
    if result["machine"]["load_average"] > 0.5:
        print(f"note: the load average was {result['machine']['load_average']:.1f} before the first measurement; "
              "something else is running", file=sys.stderr)
    made, result["raw"] = measure_peers(options)
    if "queue" in options.tables:
        progress("a long queue")
        made.append(tables.queue_table(queue_depth.measure(options.queue_tasks)))
    if "calls" in options.tables:
        progress("calls")
        made.append(call_overhead.table())
    if "choice" in options.tables:
        progress("the automatic choice")
        made.append(choice.table())
    progress("")
    result["tables"] = {table.name: table.as_json() for table in made}
    print("\n\n".join(table.text() for table in made))
    print(f"\nwritten: {write(options.out, result)}")
    return 1 if options.check and any(target.met is False for table in made for target in table.targets) else 0


def write(folder, result):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (result["machine"]["when"].replace(":", "").split("+")[0] + ".json")
    path.write_text(json.dumps(result, indent=1))
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
