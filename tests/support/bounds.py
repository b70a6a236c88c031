"""The named bounds of the C++ sources, for tests at them."""
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def constant(name, path):
    """The value of a named bound in a C++ file."""
    text = (ROOT / path).read_text()
    return int(re.search(rf"\b{name} = ([\d']+);", text).group(1).replace("'", ""))
