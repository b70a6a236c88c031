"""Several hosts on one machine: network namespaces, each with a cable to this one and shared memory of its own, and the two
programs on them."""
import json
import os
import shutil
import subprocess
import sys
import time
import uuid

from epochly._daemon import program

TOKEN = "the-token-of-this-test-0123456789"
# Runs at the same time on one machine have addresses of their own.
NETWORK = f"10.{64 + os.getpid() % 128}"


def why_none():
    """Why there can be no other hosts here; None: there can."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return "network namespaces need root and iproute2"
    return None


class Host:
    """A network namespace whose only way out is a cable to the scheduler's host."""

    def __init__(self, number):
        tag = uuid.uuid4().hex[:6]
        self.namespace = f"epochly-{tag}"
        self.cable = f"ep{tag}a"
        self.scheduler_ip = f"{NETWORK}.{number}.1"
        self.ip = f"{NETWORK}.{number}.2"
        far_end = f"ep{tag}b"
        ip("netns", "add", self.namespace)
        ip("link", "add", self.cable, "type", "veth", "peer", "name", far_end, "netns", self.namespace)
        ip("addr", "add", f"{self.scheduler_ip}/24", "dev", self.cable)
        ip("link", "set", self.cable, "up")
        self.run_ip("addr", "add", f"{self.ip}/24", "dev", far_end)
        self.run_ip("link", "set", far_end, "up")
        self.run_ip("link", "set", "lo", "up")

    def run_ip(self, *arguments):
        ip("-n", self.namespace, *arguments)

    def command(self, *arguments):
        """The command line that runs ``arguments`` there, with shared memory of its own as on any other machine."""
        own_memory = 'mount -t tmpfs epochly /dev/shm && exec "$@"'  # in the mount namespace that ip netns exec makes
        return ["ip", "netns", "exec", self.namespace, "sh", "-c", own_memory, "sh", *arguments]

    def pids(self):
        """Of what runs there."""
        return set(map(int, ip("netns", "pids", self.namespace).stdout.split()))

    def unplug(self):
        ip("link", "set", self.cable, "down")

    def plug(self):
        ip("link", "set", self.cable, "up")

    def remove(self):
        ip("netns", "del", self.namespace)


def ip(*arguments):
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Program:
    """One of the two programs, on one host."""

    def __init__(self, command, event):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.said = json.loads(line) if line else None
        if self.said is not None:
            assert self.said["event"] == event

    def stop(self):
        self.process.kill()
        self.process.communicate()


class Hosts:
    """Hosts and what runs on them; all gone at its end. A context manager."""

    def __init__(self):
        self._hosts, self._programs = [], []

    def add(self, count):
        for _ in range(count):
            self._hosts.append(Host(len(self._hosts) + 1))
        return self._hosts[-count:]

    def run(self, command, event):
        self._programs.append(Program(command, event))
        return self._programs[-1]

    def scheduler(self, token_file):
        """The port of a scheduler that every host can reach."""
        started = self.run([program("epochly-scheduler"), "--listen", "tcp://0.0.0.0:0", "--http", "off", "--token-file",
                            token_file], "ready")
        return int(started.said["address"].rsplit(":", 1)[1])

    def join(self, host, port, token_file, *options, before=()):
        """A worker on `host`. before: of its command line, "taskset -c 0" say."""
        return self.run(host.command(
            *before, program("epochly-worker"), "--scheduler", f"tcp://{host.scheduler_ip}:{port}", "--token-file", token_file,
            "--python", sys.executable, "--name", host.ip, "--cpu-slots", "1", *options), "joined")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in self._programs:
            each.stop()
        for host in self._hosts:
            host.remove()


def token_file_in(folder):
    path = folder / "token"
    path.write_text(TOKEN)
    path.chmod(0o600)
    return str(path)


def until(condition, seconds=30):
    """Polls: the other side is another process."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)
