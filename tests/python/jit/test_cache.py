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
    print(epochly.report(compiled).level, versions and versions[0]["from_disk"], llvm)
""")


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


def files(folder):
    return sorted(pathlib.Path(folder).iterdir())


def test_a_second_process_finds_the_code_and_loads_no_llvm(program, tmp_path):
    assert program(tmp_path / "cache")[0] == ["2", "False", "True"]
    assert len(files(tmp_path / "cache")) == 1
    assert program(tmp_path / "cache")[0] == ["2", "True", "False"]


def test_the_cache_is_of_its_owner_alone(program, tmp_path):
    program(tmp_path / "cache")
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert files(tmp_path / "cache")[0].stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"garbage" * 1000,
                                    lambda b: b[:-1] + bytes([b[-1] ^ 1])])
def test_a_damaged_file_is_ignored_and_written_anew(program, tmp_path, damage):
    program(tmp_path)
    path = [f for f in files(tmp_path) if f.suffix == ".code"][0]
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert program(tmp_path)[0] == ["2", "False", "True"]
    assert path.read_bytes() == whole
    assert program(tmp_path)[0] == ["2", "True", "False"]


def test_a_full_disk_or_a_folder_that_cannot_be_written_fails_no_call(program, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for folder in ("/dev/full/cache", "/proc/no/such", file, ""):
        assert program(folder)[0] == ["2", "False", "True"]


def test_code_of_another_processor_or_build_is_not_taken(program, tmp_path):
    program(tmp_path / "cache")
    only = files(tmp_path / "cache")[0]
    only.rename(only.with_name("0" * 32 + ".code"))
    assert program(tmp_path / "cache")[0] == ["2", "False", "True"]


def test_many_processes_at_a_time(program, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: program(tmp_path / "cache")[0], range(12)))
    assert all(level == "2" for level, _, _ in answers)
    assert [f.suffix for f in files(tmp_path / "cache")] == [".code"]


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
