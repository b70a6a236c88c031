"""Whether something must be done again: a hash of the contents of what goes in, kept beside what came out."""
import hashlib
import os
import subprocess
from pathlib import Path

from scripts.dev.paths import ROOT

# Never inputs, where git cannot tell us what is ignored.
SKIPPED_DIRS = {"build", "dist", "__pycache__", ".git", ".pytest_cache"}


def files_under(*parts, root=ROOT):
    """Files below these paths of the checkout, tracked or new but not ignored, sorted."""
    listed = _ask_git(root, parts)
    names = listed if listed is not None else _walk(root, parts)
    return sorted(name for name in names if (root / name).is_file())


def _ask_git(root, parts):
    answer = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard", "--", *parts], cwd=root,
                            stdin=subprocess.DEVNULL, capture_output=True) if (root / ".git").exists() else None
    if answer is None or answer.returncode != 0:
        return None
    return [name for name in answer.stdout.decode().split("\0") if name]


def _walk(root, parts):
    names = []
    for part in parts:
        if (root / part).is_file():
            names.append(part)
        for folder, dirs, files in os.walk(root / part):
            dirs[:] = [name for name in dirs if name not in SKIPPED_DIRS and not name.startswith(".venv")]
            names += [str((Path(folder) / name).relative_to(root)) for name in files]
    return names


def content_hash(names, *extra, root=ROOT):
    """Hex digest over the names and contents of these files and over ``extra`` strings."""
    digest = hashlib.blake2b(digest_size=16)
    for name in names:
        digest.update(f"{name}\0".encode())
        digest.update(hashlib.blake2b((root / name).read_bytes(), digest_size=16).digest())
    for text in extra:
        digest.update(f"{text}\0".encode())
    return digest.hexdigest()


class Stamp:
    """Remembers the hash that something was made from. Write it last: an interrupted run leaves none."""

    def __init__(self, path, wanted):
        self.path = Path(path)
        self.wanted = wanted

    def fresh(self):
        return self.path.is_file() and self.path.read_text() == self.wanted

    def clear(self):
        self.path.unlink(missing_ok=True)

    def write(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(self.path.name + ".new")
        temporary.write_text(self.wanted)
        temporary.replace(self.path)
