"""The code cache: what a fresh process finds of an earlier one, and what must never reach a call."""
import os
import pathlib
import shutil
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("epochly._jit", reason="built without LLVM")

PROGRAM = textwrap.dedent("""
    import sys
    import epochly

    def polynomial(x, n):
        total = 0.0
        for i in range(n):
            total = total * x + i
        return total

    compiled = epochly.optimize(polynomial, level=2)
    assert compiled(0.5, 100) == polynomial(0.5, 100)
    versions = epochly.inspect(compiled).versions
    llvm = any("LLVM" in line for line in open("/proc/self/maps"))
    print(epochly.report(compiled).level, versions and versions[0]["from_disk"], llvm, "epochly._program" in sys.modules)
""")
# What a process prints that compiled, and one that found all on disk: the level, whether its code is from disk, whether LLVM was
# loaded, whether it read the source.
COMPILED, FOUND = ["2", "False", "True", "True"], ["2", "True", "False", "False"]


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)

    def run(folder, **variables):
        space = {**os.environ, "EPOCHLY_CACHE_DIR": str(folder), **variables}
        answer = subprocess.run([sys.executable, path], env=space, capture_output=True, text=True, timeout=120)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.split(), answer.stderr

    return run


def files(folder, kind=None):
    """Of a cache, sorted by their endings: code, then program."""
    return sorted((f for f in pathlib.Path(folder).iterdir() if kind in (None, f.suffix)), key=lambda f: f.suffix)


def test_a_second_process_finds_the_code_and_loads_no_llvm(program, tmp_path):
    assert program(tmp_path / "cache")[0] == COMPILED
    assert [f.suffix for f in files(tmp_path / "cache")] == [".code", ".program"]
    assert program(tmp_path / "cache")[0] == FOUND
    assert [f.suffix for f in files(tmp_path / "cache")] == [".code", ".program"]


def test_a_program_on_disk_needs_no_source(program, tmp_path):
    compiled = [sys.executable, "-c", "import py_compile, sys; py_compile.compile(sys.argv[1], cfile=sys.argv[2])"]
    source, alone = tmp_path / "program.py", tmp_path / "program.pyc"
    subprocess.run([*compiled, source, alone], check=True)
    space = {**os.environ, "EPOCHLY_CACHE_DIR": str(tmp_path / "cache")}
    assert program(tmp_path / "cache")[0] == COMPILED
    source.unlink()
    answer = subprocess.run([sys.executable, alone], env=space, capture_output=True, text=True, timeout=120)
    assert answer.stdout.split() == FOUND, answer.stderr


@pytest.mark.parametrize("change", [("total * x + i", "total * x - i"), ("total = 0.0", "total = 1.0"),
                                    ("def polynomial", "# a line more\ndef polynomial")])
def test_a_function_that_was_changed_is_another_program(program, tmp_path, change):
    source = tmp_path / "program.py"
    assert program(tmp_path / "cache")[0] == COMPILED
    source.write_text(source.read_text().replace(*change))
    assert program(tmp_path / "cache")[0][3] == "True"
    assert len(files(tmp_path / "cache", ".program")) == 2


def test_a_block_of_a_context_has_no_program_on_disk(tmp_path):
    # Its code object is made of the function's around it, and may be that of another block.
    script = tmp_path / "block.py"
    script.write_text(textwrap.dedent("""
        import epochly

        def run(n):
            total = 0
            with epochly.optimize_context(level=2):
                for i in range(n):
                    total += i * i
            return total

        print(run(1000))
    """))
    space = {**os.environ, "EPOCHLY_CACHE_DIR": str(tmp_path / "cache")}
    for _ in range(2):
        answer = subprocess.run([sys.executable, script], env=space, capture_output=True, text=True, timeout=120)
        assert answer.stdout.split() == [str(sum(i * i for i in range(1000)))], answer.stderr
    assert [f.suffix for f in files(tmp_path / "cache")] == [".code"]


def test_the_cache_is_of_its_owner_alone(program, tmp_path):
    program(tmp_path / "cache")
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert [f.stat().st_mode & 0o777 for f in files(tmp_path / "cache")] == [0o600, 0o600]


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"garbage" * 1000,
                                    lambda b: b[:-1] + bytes([b[-1] ^ 1])])
@pytest.mark.parametrize("kind, then", [(".code", ["2", "False", "True", "False"]), (".program", ["2", "True", "False", "True"])])
def test_a_damaged_file_is_ignored_and_written_anew(program, tmp_path, damage, kind, then):
    program(tmp_path)
    (path,) = files(tmp_path, kind)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert program(tmp_path)[0] == then
    assert path.read_bytes() == whole
    assert program(tmp_path)[0] == FOUND


def test_a_full_disk_or_a_folder_that_cannot_be_written_fails_no_call(program, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for folder in ("/dev/full/cache", "/proc/no/such", file, ""):
        assert program(folder)[0] == COMPILED


def test_code_of_another_processor_or_build_is_not_taken(program, tmp_path):
    program(tmp_path / "cache")
    for one in files(tmp_path / "cache"):
        one.rename(one.with_name("0" * 32 + one.suffix))
    assert program(tmp_path / "cache")[0] == COMPILED


def test_many_processes_at_a_time(program, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: program(tmp_path / "cache")[0], range(12)))
    assert all(level == "2" for level, *_ in answers)
    assert [f.suffix for f in files(tmp_path / "cache")] == [".code", ".program"]


def test_without_the_compiler_the_function_stays_in_cpython_and_that_is_logged_once(tmp_path):
    import epochly

    package = tmp_path / "epochly"
    shutil.copytree(pathlib.Path(epochly.__file__).parent, package, ignore=shutil.ignore_patterns("bin", "__pycache__"))
    (package / "_jit_compiler.so").unlink()
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent("""
        import epochly

        @epochly.optimize(level=2)
        def polynomial(x, n):
            return x * n

        assert polynomial(0.5, 4) == 2.0 and polynomial(2, 4) == 8 and polynomial(0.5, 4) == 2.0
        assert epochly.report(polynomial).level == 0
        assert "LLVM: it cannot be loaded" in str(epochly.report(polynomial).declined)
    """))
    space = {**os.environ, "PYTHONPATH": str(tmp_path), "EPOCHLY_CACHE_DIR": "", "EPOCHLY_LOG": "ERROR"}
    answer = subprocess.run([sys.executable, script], env=space, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.count("stays in CPython, code could not be made of it: LLVM") == 1
    assert "polynomial" in answer.stderr and "FMUL" in answer.stderr.upper()
