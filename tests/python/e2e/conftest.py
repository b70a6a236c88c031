"""Several hosts on one machine: network namespaces, each with a cable to this one."""
import os
import shutil
import subprocess
import uuid

import pytest


class Host:
    """A network namespace whose only way out is a cable to the scheduler's host."""

    def __init__(self, number):
        tag = uuid.uuid4().hex[:6]
        self.namespace = f"epochly-{tag}"
        self.cable = f"ep{tag}a"
        self.scheduler_ip = f"10.77.{number}.1"
        self.ip = f"10.77.{number}.2"
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

    def unplug(self):
        ip("link", "set", self.cable, "down")

    def plug(self):
        ip("link", "set", self.cable, "up")

    def remove(self):
        ip("netns", "del", self.namespace)


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts():
    """hosts(n): n other hosts."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    made = []

    def make(count):
        for _ in range(count):
            made.append(Host(len(made) + 1))
        return made[-count:]

    yield make
    for host in made:
        host.remove()
