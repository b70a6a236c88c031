"""Loops of plain Python whose iterations may run side by side.

source: the syntax tree of a function that runs. shape: which of its loops are independent, and why the others are not.
rewrite: the function with those loops handed to a runner, iteration by iteration. A level brings the runner: threads has that of
level 1.
"""
