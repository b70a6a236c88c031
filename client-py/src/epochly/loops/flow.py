"""Definite assignment: which name an iteration of a loop may read before it has bound it."""

import ast

from epochly.loops.effects import operands

__all__ = ["Walk", "carried"]


def carried(loop, written, put_off):
    """The first Name that an iteration may read before binding it, and so from the iteration before. None if there is none.

    written: the names that the loop binds. put_off: id() of statements of which only the operands run in the iteration.
    """
    walk = Walk(written, put_off)
    walk.target(loop.target, assigned := set())
    walk.block(loop.body, assigned)
    return walk.found


class Walk:
    """Goes through statements in the order in which they run. A set of names says what is bound; None: it does not get there."""

    def __init__(self, written, put_off):
        self.written, self.put_off = written, put_off
        self.found = None

    def block(self, statements, assigned):
        for statement in statements:
            if assigned is None:
                return None
            assigned = self.statement(statement, assigned)
        return assigned

    def statement(self, node, assigned):
        if id(node) in self.put_off:
            self.operands(node, assigned)
            return assigned
        handler = getattr(self, "on_" + type(node).__name__, None)
        if handler is not None:
            return handler(node, assigned)
        self.read(node, assigned)
        return assigned

    def operands(self, node, assigned):
        for each in operands(node):
            self.read(each, assigned)

    # ---- reads and bindings ----

    def read(self, node, assigned):
        """Every name that `node` loads; those that it binds by := are bound afterwards."""
        if node is None or self.found is not None:
            return
        own = set()
        for each in ast.walk(node):
            if isinstance(each, ast.comprehension):
                own.update(name.id for name in ast.walk(each.target) if isinstance(name, ast.Name))
            elif isinstance(each, ast.arg):
                own.add(each.arg)
        for each in ast.walk(node):
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load):
                if each.id in self.written and each.id not in assigned and each.id not in own:
                    if not any(isinstance(by, ast.NamedExpr) and by.target.id == each.id for by in ast.walk(node)):
                        self.found = each
                        return
        for each in ast.walk(node):
            if isinstance(each, ast.NamedExpr):
                assigned.add(each.target.id)

    def target(self, node, assigned):
        if isinstance(node, ast.Name):
            assigned.add(node.id)
        elif isinstance(node, (ast.Tuple, ast.List)):
            for each in node.elts:
                self.target(each, assigned)
        elif isinstance(node, ast.Starred):
            self.target(node.value, assigned)
        else:
            self.read(node, assigned)

    # ---- statements ----

    def on_Assign(self, node, assigned):
        self.read(node.value, assigned)
        for target in node.targets:
            self.target(target, assigned)
        return assigned

    def on_AnnAssign(self, node, assigned):
        if node.value is not None:
            self.read(node.value, assigned)
            self.target(node.target, assigned)
        return assigned

    def on_AugAssign(self, node, assigned):
        self.read(node.value, assigned)
        if isinstance(node.target, ast.Name):
            if node.target.id in self.written and node.target.id not in assigned and self.found is None:
                self.found = node.target
        else:
            self.read(node.target, assigned)
        return assigned

    def on_If(self, node, assigned):
        self.read(node.test, assigned)
        return _both(self.block(node.body, set(assigned)), self.block(node.orelse, set(assigned)))

    def on_For(self, node, assigned):
        self.read(node.iter, assigned)
        inside = set(assigned)
        self.target(node.target, inside)
        self.block(node.body, inside)
        return self.block(node.orelse, set(assigned))

    on_AsyncFor = on_For

    def on_While(self, node, assigned):
        self.read(node.test, assigned)
        self.block(node.body, set(assigned))
        return self.block(node.orelse, set(assigned))

    def on_With(self, node, assigned):
        swallows = any(isinstance(name, (ast.Name, ast.Attribute)) and getattr(name, "id", getattr(name, "attr", "")) == "suppress"
                       for item in node.items for name in ast.walk(item.context_expr))
        for item in node.items:
            self.read(item.context_expr, assigned)
            if item.optional_vars is not None:
                self.target(item.optional_vars, assigned)
        before = set(assigned)
        after = self.block(node.body, assigned)
        return before if swallows else after

    on_AsyncWith = on_With

    def on_Try(self, node, assigned):
        before = set(assigned)
        after = self.block(node.body, set(assigned))
        if after is not None:
            after = self.block(node.orelse, after)
        for handler in node.handlers:
            inside = set(before)
            self.read(handler.type, inside)
            if handler.name:
                inside.add(handler.name)
            after = _both(after, self.block(handler.body, inside))
        if node.finalbody:
            last = self.block(node.finalbody, set(before))
            after = None if last is None or after is None else after | last
        return after

    on_TryStar = on_Try

    def on_Match(self, node, assigned):
        self.read(node.subject, assigned)
        after = set(assigned)
        for case in node.cases:
            inside = set(assigned)
            for each in ast.walk(case.pattern):
                name = getattr(each, "rest", None) if isinstance(each, ast.MatchMapping) else getattr(each, "name", None)
                if name:
                    inside.add(name)
            self.read(case.guard, inside)
            after = _both(after, self.block(case.body, inside))
        return after

    def on_FunctionDef(self, node, assigned):
        for each in (*node.decorator_list, *node.args.defaults, *node.args.kw_defaults):
            self.read(each, assigned)
        assigned.add(node.name)
        for each in node.body:
            self.read(each, set(assigned) | {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)})
        return assigned

    on_AsyncFunctionDef = on_FunctionDef

    def on_ClassDef(self, node, assigned):
        assigned.add(node.name)
        return assigned

    def on_Import(self, node, assigned):
        assigned.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        return assigned

    on_ImportFrom = on_Import

    def on_Delete(self, node, assigned):
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.read(ast.copy_location(ast.Name(target.id, ast.Load()), target), assigned)
                assigned.discard(target.id)
            else:
                self.read(target, assigned)
        return assigned

    def on_Raise(self, node, assigned):
        self.read(node, assigned)

    def on_Continue(self, node, assigned):
        return None

    on_Break = on_Return = on_Continue


def _both(one, other):
    """What is bound where two paths meet."""
    if one is None or other is None:
        return other if one is None else one
    return one & other
