"""Where things are in the checkout."""
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
LOGS = BUILD / "logs"
RESULTS = BUILD / "results"  # JUnit files of the last run
TOOLS = BUILD / "tools"      # programs fetched for the tests, never installed
VENV = ROOT / ".venv"
PACKAGE = ROOT / "client-py"
