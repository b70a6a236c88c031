"""Runs the drivers, round by round, each in a process of its own and in alternating order."""
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.bench.peers import PEERS

ROOT = Path(__file__).resolve().parents[2]
# A driver that takes longer hangs: start, warm-up and three measurements take Dask, the slowest, 40 s.
DRIVER_SECONDS_MAX = 300


class Rounds:
    """Measures ``peers`` by ``plan``; what a driver prints is kept in `answers`, one {peer: answer} per round."""

    def __init__(self, peers, plan, peer_python):
        self.peers = [peer for peer in peers if self._installed(peer, peer_python)]
        self.plan = plan
        self.peer_python = peer_python
        self.answers = []

    def run(self, count, progress):
        for i in range(count):
            order = self.peers[i % len(self.peers):] + self.peers[:i % len(self.peers)]
            self.answers.append({})
            for peer in order if i % 2 == 0 else reversed(order):
                progress(f"round {i + 1} of {count}: {peer}")
                answer = self._drive(peer)
                if answer is not None:
                    self.answers[-1][peer] = answer
        return self.answers

    def versions(self):
        return {peer: answer["version"] for measured in self.answers for peer, answer in measured.items()}

    def _drive(self, peer):
        """A driver's answer; None, having said why, when it failed. Our own driver's failure is ours: it raises."""
        command = [_python_of(peer, self.peer_python), "-m", "tests.bench.driver", peer, json.dumps(self.plan)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
        try:
            ended = subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                                   text=True, timeout=DRIVER_SECONDS_MAX, check=True)
            return json.loads(ended.stdout.splitlines()[-1])
        except subprocess.SubprocessError as error:
            said = (getattr(error, "stderr", None) or "").strip()[-2000:]
            if peer == "epochly":
                raise RuntimeError(f"the driver of epochly failed: {error}\n{said}") from None
            print(f"{peer}: left out of this round: {error}\n{said}", file=sys.stderr)
            return None

    @staticmethod
    def _installed(peer, peer_python):
        package = PEERS[peer].package
        if package is None:
            return True
        if peer_python and subprocess.run([peer_python, "-c", f"import {package}"], capture_output=True).returncode == 0:
            return True
        print(f"{peer}: {package} is not installed; left out", file=sys.stderr)
        return False


def _python_of(peer, peer_python):
    return peer_python if PEERS[peer].package else sys.executable
