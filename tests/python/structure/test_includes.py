"""The include table of the design, held to the code: who may include whom, and the one home of each foreign library."""
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)

# Directory -> directories whose headers it may include, beside its own. What those may include is allowed too.
ALLOWED = {
    "schemas/wire": set(),
    "schemas/rt": set(),
    "schemas/transport": {"schemas/wire"},
    "scheduler/core": {"schemas/wire"},
    "scheduler/admission": {"scheduler/core"},
    "scheduler/classify": {"scheduler/core"},
    "scheduler/route": {"scheduler/core"},
    "scheduler/events": {"scheduler/admission", "scheduler/classify", "scheduler/route"},
    "scheduler/dispatch": {"scheduler/events", "schemas/wire", "schemas/rt"},
    "scheduler/rpc": {"scheduler/events", "schemas/transport", "schemas/wire", "schemas/rt"},
    "scheduler/rest": {"scheduler/events", "schemas/wire", "schemas/rt"},
    "scheduler/store": {"scheduler/core", "schemas/wire"},
    "scheduler/metrics": {"scheduler/core"},
    "scheduler/config": {"scheduler/core", "scheduler/classify", "schemas/wire", "schemas/rt"},
    "scheduler/daemon": {"scheduler/config", "scheduler/dispatch", "scheduler/metrics", "scheduler/rest", "scheduler/rpc",
                         "scheduler/store"},
    "worker/daemon": {"worker/config", "worker/link", "worker/metrics", "worker/objects", "worker/probe"},
    "worker/run": {"worker/objects", "schemas/wire", "schemas/rt"},
    "worker/objects": {"schemas/wire"},
    "worker/probe": {"schemas/wire"},
    "worker/link": {"worker/run", "schemas/transport", "schemas/wire", "schemas/rt"},
    "worker/metrics": {"worker/run"},
    "worker/config": {"worker/run"},
    "worker/levels/monitor": {"worker/run"},
    "worker/levels/choice": {"schemas/wire"},
    "worker/levels/registry": {"worker/run"},
    "worker/levels/program": set(),
    "worker/levels/jit": {"worker/levels/program"},
    "worker/levels/multicore": {"worker/levels/jit", "worker/levels/program", "worker/probe"},
    "client-py/ext": {"schemas/transport", "schemas/wire", "schemas/rt", "worker/run", "worker/objects", "worker/levels/monitor",
                      "worker/levels/choice", "worker/levels/registry", "worker/levels/program", "worker/levels/jit",
                      "worker/levels/multicore"},
}
# A foreign library's include prefix -> the only directories where it may stand.
HOMES = {
    "boost/": ("scheduler/rest",),
    "hiredis/": ("scheduler/store",),
    "prometheus/": ("scheduler/metrics", "worker/metrics"),
    "llvm/": ("worker/levels/jit", "worker/levels/gpu"),
    "oneapi/": ("worker/levels/multicore",),
    "tbb/": ("worker/levels/multicore",),
    "cuda": ("worker/cuda",),
    "nanobind/": ("client-py/ext",),
    "Python.h": ("client-py/ext",),
}
INCLUDE_ROOTS = ("schemas", "scheduler", "worker", "client-py")


def sources():
    for top in INCLUDE_ROOTS:
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix in (".h", ".cpp") and path.name != "main.cpp":
                yield path.relative_to(ROOT)


def includes(path):
    return INCLUDE.findall((ROOT / path).read_text())


def home(path):
    """The directory of ALLOWED that a file belongs to."""
    text = path.as_posix()
    owners = [directory for directory in ALLOWED if text.startswith(directory + "/")]
    return max(owners, key=len, default=None)


def closure(directory):
    seen, todo = set(), [directory]
    while todo:
        here = todo.pop()
        if here not in seen:
            seen.add(here)
            todo.extend(ALLOWED[here])
    return seen


def included_home(path, name):
    """The directory that a quoted include comes from; None for generated and the file's own neighbours."""
    same_root = [root for root in INCLUDE_ROOTS if path.as_posix().startswith(root + "/")]
    for root in same_root + [r for r in INCLUDE_ROOTS if r not in same_root]:
        if (ROOT / root / name).exists():
            return home(pathlib.PurePosixPath(root, name))
    return None


def test_every_directory_with_sources_stands_in_the_table():
    strangers = {str(path.parent) for path in sources() if home(path) is None}
    assert not strangers, f"add them to ALLOWED, and to the design's table: {sorted(strangers)}"


@pytest.mark.parametrize("directory", sorted(ALLOWED))
def test_a_directory_includes_only_what_the_table_allows(directory):
    allowed = closure(directory)
    wrong = []
    for path in sources():
        if home(path) != directory:
            continue
        for quoted, _ in includes(path):
            origin = included_home(path, quoted) if quoted else None
            if origin is not None and origin not in allowed:
                wrong.append(f"{path} includes {quoted}")
    assert not wrong, wrong


@pytest.mark.parametrize("prefix", sorted(HOMES))
def test_a_foreign_library_has_one_home(prefix):
    wrong = [
        f"{path} includes {name}"
        for path in sources()
        for quoted, angled in includes(path)
        for name in (quoted, angled)
        if name.startswith(prefix) and not path.as_posix().startswith(tuple(h + "/" for h in HOMES[prefix]))
    ]
    assert not wrong, wrong


def test_scheduler_and_worker_never_include_each_other():
    for path in sources():
        for quoted, _ in includes(path):
            origin = included_home(path, quoted) if quoted else None
            if origin and path.parts[0] in ("scheduler", "worker"):
                assert origin.split("/")[0] in (path.parts[0], "schemas"), f"{path} includes {quoted}"
