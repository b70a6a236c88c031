"""The body of `with optimize_context(level):` run at that level."""

import types

from epochly.loops import compiled, frames, plan
from epochly.loops.block import Block, block_of
from epochly.loops.run import Run
from epochly.loops.threads import spread

__all__ = ["take_over"]


def take_over(frame, level):
    """A Body that will run in place of the block that `frame` enters, or a sentence that says why it runs as it is."""
    block = block_of(frame)
    if not isinstance(block, Block):
        return block
    made = (_Threads if level == 1 else _Compiled).of(block, frame, level)
    if made.reason is not None:
        return made.reason
    why = frames.obstacle()
    return why if why is not None else Body(frame, block, made)


class Body:
    """One block that was entered. Lives on the thread of its frame.

    level: the highest at which a loop of it ran, once it has run; declined: [(level, why others did not)]
    """

    def __init__(self, frame, block, made):
        self.frame, self.block, self.made = frame, block, made
        self.skip = frames.Skip()
        self.level, self.declined = 0, []
        frames.arm(frame, block.first, block.last, self.skip)

    def leave(self, error):
        """Called by __exit__. True: the block was left before it began, and has now run here; raises what it raises."""
        frames.disarm(self.frame)
        if error is not self.skip:
            self.declined = [(self.made.level, "its body could not be left")]
            return False
        error.__traceback__ = None
        values = {}
        try:
            self._run(values)
        except BaseException as raised:
            _forget(raised, error)
            raise
        finally:
            stored = {name: values[name] for name in self.block.stored if name in values}
            frames.write_back(self.frame, stored)
            self.frame = None
        return True

    def _run(self, values):
        function, inputs, run = self.made.bind(self.frame)
        try:
            function(*inputs, values)
        finally:
            self.level, self.declined = self.made.outcome(run)


def _forget(raised, skip):
    """Takes the exception by which the body was left out of those that came before `raised`."""
    seen = set()
    while raised is not None and id(raised) not in seen:
        seen.add(id(raised))
        if raised.__context__ is skip:
            raised.__context__ = None
        raised = raised.__context__


class _Made:
    """What a level makes of a block: one function for each set of variables that are bound when it is entered.

    reason: why nothing is to be gained; None if something is
    """

    def __init__(self, block, frame, level):
        self.block, self.level = block, level
        self.plans = {}
        found = self._plan(block.inputs(frames.variables(frame)), frame)
        self.reason = None if found.code is not None else found.reason

    @classmethod
    def of(cls, block, frame, level):
        made = block.twins.get(level)
        if made is None:
            made = block.twins[level] = cls(block, frame, level)
        return made

    def _plan(self, inputs, frame):
        found = self.plans.get(inputs)
        if found is None:
            found = self.plans[inputs] = self._make(inputs, frame)
        return found

    def bind(self, frame):
        """(function, its first arguments, its run)."""
        variables = frames.variables(frame)
        inputs = self.block.inputs(variables)
        made = self._plan(inputs, frame)
        run = self._run(made, frame.f_globals)
        function = types.FunctionType(made.code, frame.f_globals, frame.f_code.co_name, None, (types.CellType(run),))
        return function, [variables[name] for name in inputs], run


class _Threads(_Made):
    """Level 1: the block's own loops go to threads."""

    def _make(self, inputs, frame):
        return plan.plan_of_block(self.block, inputs, frame)

    def _run(self, made, module_globals):
        return Run(made, spread)

    def outcome(self, run):
        return (1 if run.overlapped else 0), [(1, why) for why in [*run.plan.declined, *run.declined]]


class _Compiled(_Made):
    """From level 2 on: each of the block's own loops is a function that the level may run."""

    def _make(self, inputs, frame):
        return compiled.plan_of_block(self.block, inputs, frame)

    def _run(self, made, module_globals):
        return compiled.Run(made, self.level, module_globals)

    def outcome(self, run):
        return run.ran, run.declined
