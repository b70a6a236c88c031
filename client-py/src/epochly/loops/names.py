"""What is known of functions and methods by their names alone."""

#: Methods that change their object and whose value is rarely used. As statements on an object from outside of a loop they are
#: put off: the caller's thread makes them, in the order of the iterations.
PUT_OFF = frozenset((
    "add", "append", "appendleft", "discard", "extend", "extendleft", "insert", "put", "put_nowait", "remove", "send", "sendall",
    "setdefault", "update", "write", "writelines", "writerow", "writerows",
))

#: Methods that change their object. On an object from outside of a loop they carry something from one iteration to the next.
CHANGES = PUT_OFF | frozenset((
    "clear", "difference_update", "intersection_update", "pop", "popitem", "popleft", "readline", "reverse", "rotate", "sort",
    "symmetric_difference_update", "__delitem__", "__setitem__", "__next__",
))

#: Of PUT_OFF, those that look into their argument: it must not change between the iteration and the caller.
READS_ARGUMENT = frozenset(("extend", "extendleft", "update", "write", "writelines", "writerow", "writerows", "send", "sendall"))

#: Functions that change their first argument.
CHANGES_FIRST = frozenset((
    "heapq.heappush", "heapq.heappop", "heapq.heapify", "heapq.heapreplace", "heapq.heappushpop", "bisect.insort",
    "bisect.insort_left", "bisect.insort_right", "random.shuffle", "next", "setattr", "delattr",
))

#: Functions that have another meaning, or none, on a thread that is not the caller's.
BOUND_TO_CALLER = {
    **dict.fromkeys(("os.fork", "posix.fork", "os.forkpty", "posix.forkpty"),
                    "leaves the child with one thread, which must be the caller's"),
    **dict.fromkeys(("signal.signal", "signal.set_wakeup_fd"), "works in the main thread only"),
}

#: Functions that see or change the variables of their caller by name.
SEES_VARIABLES = frozenset(("locals", "vars", "eval", "exec", "dir"))

#: Functions that never wait for anything.
NEVER_WAITS = frozenset((
    "abs", "all", "any", "ascii", "bin", "bool", "bytearray", "bytes", "callable", "chr", "complex", "dict", "divmod",
    "enumerate", "filter", "float", "format", "frozenset", "getattr", "hasattr", "hash", "hex", "id", "int", "isinstance",
    "issubclass", "iter", "len", "list", "max", "memoryview", "min", "oct", "ord", "pow", "print", "range", "repr", "reversed",
    "round", "set", "slice", "sorted", "str", "sum", "super", "tuple", "type", "zip",
))

#: Methods of strings and containers, which never wait.
METHOD_NEVER_WAITS = frozenset((
    "append", "capitalize", "casefold", "copy", "count", "encode", "decode", "endswith", "extend", "find", "format", "index",
    "isalnum", "isalpha", "isdigit", "islower", "isspace", "isupper", "items", "join", "keys", "ljust", "lower", "lstrip",
    "partition", "replace", "rfind", "rjust", "rpartition", "rsplit", "rstrip", "setdefault", "split", "splitlines",
    "startswith", "strip", "swapcase", "title", "upper", "values", "zfill",
))

#: Consumers of a generator expression that take every item, whatever the items are.
CONSUMERS = frozenset(("sum", "list", "tuple", "set", "frozenset", "dict", "max", "min", "sorted"))
#: Those that stop as soon as they know their answer.
STOP_EARLY = frozenset(("any", "all", "next"))
