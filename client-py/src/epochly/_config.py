"""What the environment asks for. Read when the package is imported; a value that makes no sense is told once and not used."""
import os

# Plain Python everywhere: decorators return the function itself, connect() gives a client that runs inline.
DISABLE = "EPOCHLY_DISABLE"
LEVEL = "EPOCHLY_LEVEL"
MAX_WORKERS = "EPOCHLY_MAX_WORKERS"
LOG = "EPOCHLY_LOG"

# More executors than this on one machine is a typing error.
MAX_WORKERS_MAX = 4096

_SWITCHES = {"": False, "0": False, "false": False, "no": False, "off": False,
             "1": True, "true": True, "yes": True, "on": True}
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def _refuse(variable, value, allowed):
    import warnings

    warnings.warn(f"{variable}={value!r} is not {allowed}; it is ignored", RuntimeWarning, stacklevel=2)


def read_switch(variable):
    """True or False from ``variable``; False when it is not set or makes no sense."""
    value = os.environ.get(variable, "")
    known = _SWITCHES.get(value.strip().lower())
    if known is None:
        _refuse(variable, value, "one of 1, true, yes, on, 0, false, no, off")
        return False
    return known


def read_number(variable, low, high):
    """An integer in low..high from ``variable``; None when it is not set or makes no sense."""
    value = os.environ.get(variable)
    if value is None or not value.strip():
        return None
    try:
        number = int(value)
    except ValueError:
        number = None
    if number is None or not low <= number <= high:
        _refuse(variable, value, f"a whole number from {low} to {high}")
        return None
    return number


def _read_log_level():
    value = os.environ.get(LOG)
    if value is None or not value.strip():
        return None
    name = value.strip().upper()
    if name not in _LOG_LEVELS:
        _refuse(LOG, value, "one of " + ", ".join(_LOG_LEVELS))
        return None
    return name


def _set_up_log(name):
    """Logger "epochly" at level ``name``; it writes to stderr if the program has not set logging up itself."""
    import logging

    logger = logging.getLogger("epochly")
    logger.setLevel(name)
    if not logger.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
        logger.addHandler(handler)


disabled = read_switch(DISABLE)
#: Level for calls that no decorator, context or set_level() gives one; None: 0.
level = read_number(LEVEL, 0, 4)
#: Executors of the embedded cluster and of map(); None: as many as there are cores.
max_workers = read_number(MAX_WORKERS, 1, MAX_WORKERS_MAX)
log_level = _read_log_level()
if log_level is not None:
    _set_up_log(log_level)
