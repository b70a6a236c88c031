"""One peer, one round, in a process of its own: python -m tests.bench.driver ray '{"tasks": ...}' prints a line of JSON."""
import json
import sys

from tests.bench import measure
from tests.bench.peers import PEERS


def main(name, plan):
    """plan: {"workers", "tables", "seconds", "round_trips"}."""
    peer = PEERS[name]()
    answer = {"version": peer.start(plan["workers"])}
    try:
        measure.warm_up(peer, plan["workers"])
        if "tasks" in plan["tables"]:
            answer["tasks"] = measure.tasks_per_second(peer, plan["seconds"])
        if "roundtrip" in plan["tables"]:
            answer["roundtrip"] = measure.round_trips(peer, plan["round_trips"])
        if "metg" in plan["tables"]:
            answer["metg"] = measure.granularity_points(peer, plan["workers"], plan["seconds"] / 4)
    finally:
        peer.stop()
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
