"""The work that every peer is given. A module of its own, so that all of them import it instead of pickling it."""


def noop(value):
    return value


def spin(iterations):
    """Busy for a time proportional to ``iterations``: the kernel of METG. A float in, a float out, no allocation kept."""
    x = 0.5
    for _ in range(iterations):
        x = x * 1.0000001 + 1e-9
    return x
