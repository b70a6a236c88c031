"""Tests of level 2 leave the user's code cache alone."""
import os
import tempfile

_folder = tempfile.TemporaryDirectory(prefix="epochly-code-")
# Before the first compilation, which reads it once.
os.environ["EPOCHLY_CACHE_DIR"] = _folder.name
