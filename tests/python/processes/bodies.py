"""Bodies of contexts: here, because pytest rewrites the code of tests, and what runs is then not what their source says."""
import os

import epochly


def names(value):
    return {"name": str(value), "pid": os.getpid()}


def appended(items):
    with epochly.optimize_context(level=3) as context:
        found = []
        for item in items:
            found.append(names(item))
    return found, context
