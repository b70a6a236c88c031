"""Epochly: finds out how each Python function should run, and where, and never changes the answer.

    import epochly

    @epochly.optimize
    def work(data): ...

    work(data)
    print(epochly.report(work))
"""
try:
    from epochly import _native
except ImportError as error:  # nanobind hides the reason behind one of its own
    raise error.__cause__ if isinstance(error.__cause__, ImportError) else error from None
from epochly import _config, _modules  # noqa: F401
from epochly._metrics import get_metrics, reset_metrics
from epochly._monitoring import monitoring_context
from epochly._optimize import optimize
from epochly.levels import get_level, optimize_context, select_optimal_level, set_level

TYPE_CHECKING = False
if TYPE_CHECKING:
    from epochly import errors, testing
    from epochly._benchmark import benchmark_levels
    from epochly._features import check_feature
    from epochly._inspect import Inspection, inspect
    from epochly._report import Report, report
    from epochly.client import Client
    from epochly.embedded import connect
    from epochly.future import Future, TaskReport

__version__: str = _native.__version__

__all__ = ["Client", "Future", "Inspection", "Report", "TaskReport", "benchmark_levels", "check_feature", "connect", "errors",
           "get_level", "get_metrics", "inspect", "monitoring_context", "optimize", "optimize_context", "report", "reset_metrics",
           "select_optimal_level", "set_level", "testing"]

# What is imported when it is first asked for, and from where: `import epochly` alone takes a few milliseconds.
_LATER = {
    "Client": "client",
    "Future": "future",
    "Report": "_report",
    "TaskReport": "future",
    "benchmark_levels": "_benchmark",
    "check_feature": "_features",
    "Inspection": "_inspect",
    "connect": "embedded",
    "inspect": "_inspect",
    "report": "_report",
}
_MODULES = ("client", "embedded", "errors", "executor", "future", "serialize", "testing")


def __getattr__(name):
    from importlib import import_module

    if name in _LATER:
        value = getattr(import_module(f"epochly.{_LATER[name]}"), name)
    elif name in _MODULES:
        value = import_module(f"epochly.{name}")
    elif name not in ("__path__", "__wrapped__") and (found := _error_class(name)) is not None:
        value = found
    else:
        raise AttributeError(f"module 'epochly' has no attribute {name!r}")
    globals()[name] = value
    return value


def _error_class(name):
    """The exception of epochly.errors with this name: epochly.Overloaded is epochly.errors.Overloaded."""
    if not name[:1].isupper():
        return None
    from epochly import errors

    found = getattr(errors, name, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else None


def __dir__():
    return sorted({*globals(), *__all__})


if _config.level is not None:
    set_level(_config.level)
