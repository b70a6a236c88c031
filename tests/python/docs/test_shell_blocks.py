"""Every `sh` block of the documentation is run.

Three commands are stood in for, because running them here would run this test again or compile for minutes: `./dev`, whose
command and suite are looked up; `pip`, whose paths and extras are looked up; and `.venv/bin/`, which is this environment.
Fixed ports are replaced by free ones, so that nothing on this machine is in the way.
"""
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
# A block starts a scheduler and a worker at most.
BLOCK_SECONDS = 60

STAND_INS = f"""
set -eu -o pipefail
trap 'for job in $(jobs -p); do kill "$job" 2>/dev/null || true; done; wait' EXIT
dev() {{ "{sys.executable}" "{Path(__file__).with_name('stand_ins.py')}" dev "$@"; }}
pip() {{ "{sys.executable}" "{Path(__file__).with_name('stand_ins.py')}" pip "$@"; }}
"""


def blocks():
    for page in PAGES:
        for block in re.finditer(r"^```sh\n(.*?)^```$", page.read_text(), re.M | re.S):
            line = page.read_text()[:block.start()].count("\n") + 1
            yield pytest.param(block.group(1), id=f"{page.relative_to(ROOT)}:{line}")


def with_free_ports(script):
    """The script with every port in an address replaced, the same one by the same one."""
    found = sorted(set(re.findall(r"(?:127\.0\.0\.1|localhost|0\.0\.0\.0):(\d{2,5})", script)))
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in found]
    free = [str(listening.getsockname()[1]) for listening in sockets]
    for listening in sockets:
        listening.close()
    for port, replacement in zip(found, free):
        script = re.sub(rf":{port}\b", f":{replacement}", script)
    return script


def test_there_are_blocks():
    assert len(list(blocks())) >= 3


@pytest.mark.parametrize("script", list(blocks()))
def test_block_runs(script, tmp_path):
    script = with_free_ports(script).replace("./dev ", "dev ").replace(".venv/bin/", "")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    process = subprocess.Popen(["bash", "-c", STAND_INS + script], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        said, _ = process.communicate(timeout=BLOCK_SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
    assert process.returncode == 0, said
