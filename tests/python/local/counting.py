"""How often the loops of a call went round, as epochly counted it."""
import epochly

# A machine that is busy elsewhere may stretch one counted call past its allowance, rarely several.
TRIES = 5


def counted(function, *arguments):
    """Iterations of one call, as counted to its end."""
    for _ in range(TRIES):
        measured = epochly.optimize(function)
        for _ in range(2):  # the second call is a counted one
            measured(*arguments)
        metrics = epochly.get_metrics(measured)
        if not metrics["loop_samples_cut"]:
            break
    assert (metrics["loop_samples"], metrics["loop_samples_cut"]) == (1, 0), "nothing was counted"
    return metrics["avg_loop_iterations"]
