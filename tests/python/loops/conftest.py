import textwrap

import pytest
from together import convene


@pytest.fixture(autouse=True)
def four_meet():
    """``together.meet`` lets four go on at a time."""
    convene(4)


@pytest.fixture
def run_script(run_python, tmp_path):
    """Runs code from a file, where its source is found; returns what it printed."""
    def run(code, seconds=60, check=True):
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(code))
        return run_python(f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')", seconds=seconds, check=check)
    return run
