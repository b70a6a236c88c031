"""The program's modules at the interpreter's end."""
import atexit
import sys
from types import ModuleType


def finalise_them():
    """Has CPython empty them, so that what they hold is finalised: a file that the program left open is written out.

    CPython empties the modules that are still alive at its end; it lets go of the others, and trusts that their variables go with
    them. Those of a function that level 2 has compiled do not: its table of such functions is never destroyed.
    """
    if "epochly._jit" not in sys.modules:
        return
    import ctypes

    from epochly.loops.callees import is_users_file

    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType) and is_users_file(vars(module).get("__file__") or ""):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(module))


atexit.register(finalise_them)
