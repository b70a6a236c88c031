"""The twin of a function: the same code, with its independent loops handed to a runner.

A loop becomes a function of its items and of a log. It runs the loop's own body, as it stands, over as many items as it is given,
and notes in the log what the caller's thread is to do with them. So

    for url in urls:
        out.append(fetch(url))

becomes, with the original kept for when the runner does not take the loop as it finds it,

    def body(items, log):
        for url in items:
            log.append((0, fetch(url)))
    if run.takes(0, body):
        for log in run.each(0, body, urls):
            for entry in log:
                if entry[0] == 0: out.append(entry[1])
    else: ...

Lines and file are the original's, so tracebacks show what the user wrote.
"""

import __future__

import ast
import copy
import types
import warnings

from epochly.loops.effects import operands, reads_now, running_operand
from epochly.loops.tree import FUNCTIONS

RUN, BODY, ITEMS, LOG, ENTRY = "__epochly_run__", "__epochly_body__", "__epochly_items__", "__epochly_log__", "__epochly_entry__"
LOGS = "__epochly_logs__"
# In an entry of the log: the values of the iteration's variables.
VARIABLES = -1

_FUTURE = 0
for _name in __future__.all_feature_names:
    _FUTURE |= getattr(__future__, _name).compiler_flag


def twin(node, loops, code, class_name, live=frozenset(), free=None):
    """The code of the twin of a function. It has the free variables of `code`, and RUN.

    node: of the function, and loops: of that very node, which is changed. class_name: of the class whose private names it uses.
    live: variables that others than the function look at. free: its free variables, if not those of `code`.
    """
    rewriter = _Rewriter(node, loops, live)
    node = rewriter.visit(node)
    if rewriter.bodies:
        node.body = [*rewriter.bodies, *node.body]
    return compiled(node, code, class_name, code.co_freevars if free is None else free)


def compiled(node, code, class_name, free):
    """A function's code from its tree; in tracebacks it is a part of `code`."""
    name = getattr(node, "name", "<lambda>")
    tree = _enclosed(node, free, class_name)
    flags = code.co_flags & _FUTURE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # the file's import has given them
        module = compile(ast.fix_missing_locations(tree), code.co_filename, "exec", flags, dont_inherit=True)
    return _renamed(_inner(module, name), code)


def bind(twin_code, function, run):
    """The twin as a function, with the globals, defaults and variables of the original; `run` is what its loops go to."""
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or ()))
    cells[RUN] = types.CellType(run)
    closure = tuple(cells[name] for name in twin_code.co_freevars)
    made = types.FunctionType(twin_code, function.__globals__, function.__name__, function.__defaults__, closure)
    made.__kwdefaults__ = function.__kwdefaults__
    made.__qualname__ = function.__qualname__
    return made


def looked_at(loop, node, live=frozenset()):
    """Names that a loop binds and that others look at, in the function `node` or outside of it."""
    return [name for name in loop.written if name in live or _used_elsewhere(name, loop.node, node)]


# ---- code -----------------------------------------------------------------------------------------------------------------


def _enclosed(node, free, class_name):
    """A module with a function around `node`, whose parameters are its free variables."""
    if isinstance(node, ast.Lambda):
        inner = ast.copy_location(ast.Return(node), node)
    else:
        node.decorator_list, node.returns = [], None
        node.args.defaults, node.args.kw_defaults = _no_defaults(node.args)
        for each in ast.walk(node.args):
            if isinstance(each, ast.arg):
                each.annotation = None
        if hasattr(node, "type_params"):
            node.type_params = []
        inner = node
    if class_name is not None:  # for __private names
        inner = ast.copy_location(ast.ClassDef(class_name, [], [], [inner], [], **no_type_params()), node)
    arguments = ast.arguments([], [ast.arg(name) for name in (*free, RUN)], None, [], [], None, [])
    outer = ast.FunctionDef("__epochly_outer__", arguments, [inner], [], None, None, **no_type_params())
    return ast.Module([ast.copy_location(outer, node)], [])


def no_type_params():
    return {"type_params": []} if hasattr(ast, "TypeAlias") else {}


def _no_defaults(arguments):
    """Stand-ins: bind() gives the twin the real ones."""
    none = ast.Constant(None)
    return [none] * len(arguments.defaults), [value and none for value in arguments.kw_defaults]


def _inner(module, name):
    todo = [module]
    while todo:
        code = todo.pop(0)
        if code.co_name == name:
            return code
        todo.extend(const for const in code.co_consts if isinstance(const, types.CodeType))
    raise AssertionError(f"the twin has no {name}")


def _renamed(code, original):
    """With the names of the original, which tracebacks and profilers show; its bodies bear them too."""
    def inside(each):
        consts = tuple(inside(const) if isinstance(const, types.CodeType) else const for const in each.co_consts)
        each = each.replace(co_consts=consts)
        return _named(each, original) if each.co_varnames[:2] == (ITEMS, LOG) else each

    return _named(inside(code), original).replace(co_firstlineno=original.co_firstlineno)


def _named(code, original):
    qualified = {"co_qualname": original.co_qualname} if hasattr(original, "co_qualname") else {}
    return code.replace(co_name=original.co_name, **qualified)


# ---- tree -----------------------------------------------------------------------------------------------------------------


class _Rewriter(ast.NodeTransformer):
    def __init__(self, node, loops, live):
        self.node, self.live, self.loops = node, live, loops
        self.inside = False  # of a loop that is handed to the runner
        self.bodies = []  # of expressions that await: no lambda can
        self.chosen = {id(loop.node): (index, loop) for index, loop in enumerate(loops) if loop.independent}

    def visit(self, node):
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and node is not self.node:
            return node
        index, loop = self.chosen.get(id(node), (None, None))
        if loop is None or (self.inside and (isinstance(node, ast.For) or loop.awaits)):
            return self.generic_visit(node)
        if isinstance(node, ast.For):
            return self.for_statement(index, loop)
        return self.map_call(index, node) if isinstance(node, ast.Call) else self.comprehension(index, node)

    def comprehension(self, index, node):
        first = node.generators[0]
        iterable, first.iter = self.visit(first.iter), _load(ITEMS, node)
        node = self.generic_visit(node)
        if isinstance(node, ast.DictComp):
            element, kind = ast.copy_location(ast.Tuple([node.key, node.value], ast.Load()), node.key), "dict"
        else:
            element, kind = node.elt, {ast.ListComp: "list", ast.SetComp: "set", ast.GeneratorExp: "flat"}[type(node)]
        values = ast.copy_location(ast.ListComp(element, node.generators), node)
        if self.loops[index].awaits:
            return self.awaiting(index, node, kind, values, iterable)
        body = _lambda(_method(LOG, "extend", values), node)
        return _call(kind, ast.Constant(index), body, iterable, at=node)

    def awaiting(self, index, node, kind, values, iterable):
        name = f"{BODY}{index}"
        statement = _statement(_method(LOG, "extend", values), node)
        self.bodies.append(ast.copy_location(ast.AsyncFunctionDef(name, _of_body(), [statement], [], None, None,
                                                                  **no_type_params()), node))
        gathered = _call("gathered", ast.Constant(index), _load(name, node), iterable, at=node)
        made = ast.copy_location(ast.Await(gathered), node)
        return made if kind == "list" else _call(f"made_{kind}", made, at=node)

    def map_call(self, index, node):
        function, *iterables = (self.visit(arg) for arg in node.args)
        return _call("map", ast.Constant(index), function, *iterables, at=node)

    def for_statement(self, index, loop):
        node = loop.node
        plain = copy.deepcopy(node)
        plain.orelse = []
        names = looked_at(loop, self.node, self.live)
        orelse = [self.visit(statement) for statement in node.orelse]
        log = _Log(loop)
        statements = [log.visit(statement) for statement in node.body]
        made = _body_function(node, [self.visit_inside(statement) for statement in statements], names, loop.awaits)
        taken = _call("takes", ast.Constant(index), _load(BODY, node), at=node)
        node.iter = self.visit(node.iter)
        logs = _call("gather" if loop.awaits else "each", ast.Constant(index), _load(BODY, node), node.iter, at=node)
        consumer = (_consume_async if loop.awaits else _consume_in_order)(node, logs, _consume(node, log, names))
        return [made, ast.copy_location(ast.If(taken, consumer, [plain]), node), *orelse]

    def visit_inside(self, statement):
        """Expressions that loop inside of an iteration are handed to the runner too; statements are the iteration's own."""
        outer, self.inside = self.inside, True
        try:
            return self.visit(statement)
        finally:
            self.inside = outer


def _consume_in_order(node, logs, entries):
    return [ast.copy_location(ast.For(ast.Name(LOG, ast.Store()), logs, [entries], [], None), node)]


def _consume_async(node, logs, entries):
    assign = ast.copy_location(ast.Assign([ast.Name(LOGS, ast.Store())], logs), node)
    loop = ast.copy_location(ast.AsyncFor(ast.Name(LOG, ast.Store()), _load(LOGS, node), [entries], [], None), node)
    close = _statement(ast.Await(_method(LOGS, "aclose")), node)
    return [assign, ast.copy_location(ast.Try([loop], [], [], [close]), node)]


def _body_function(node, statements, names, awaits):
    inner = ast.copy_location(ast.For(node.target, _load(ITEMS, node), statements, [], None), node)
    if names:
        variables = ast.Call(ast.Name("locals", ast.Load()), [], [])
        note = _method(LOG, "append", _tuple([ast.Constant(VARIABLES), variables], node))
        inner = ast.copy_location(ast.Try([inner], [], [], [_statement(note, node)]), node)
    kind = ast.AsyncFunctionDef if awaits else ast.FunctionDef
    return ast.copy_location(kind(BODY, _of_body(), [inner], [], None, None, **no_type_params()), node)


def _of_body():
    return ast.arguments([], [ast.arg(ITEMS), ast.arg(LOG)], None, [], [], None, [])


def _consume(node, log, names):
    """A statement that does in the caller's thread what an iteration has noted."""
    branches = [(ast.Constant(number), [statement]) for number, statement in enumerate(log.changes)]
    if names:
        branches.append((ast.Constant(VARIABLES), [_assign_variable(name, node) for name in names]))
    entries = ast.copy_location(ast.Pass(), node)
    for number, statements in reversed(branches):
        test = ast.copy_location(ast.Compare(_entry(0, node), [ast.Eq()], [number]), node)
        entries = ast.copy_location(ast.If(test, statements, [entries]), node)
    return ast.copy_location(ast.For(ast.Name(ENTRY, ast.Store()), _load(LOG, node), [entries], [], None), node)


def _lambda(value, at):
    return ast.copy_location(ast.Lambda(_of_body(), ast.copy_location(value, at)), at)


def _assign_variable(name, node):
    values = _entry(1, node)
    present = ast.copy_location(ast.Compare(ast.Constant(name), [ast.In()], [values]), node)
    value = ast.copy_location(ast.Subscript(_entry(1, node), ast.Constant(name), ast.Load()), node)
    assign = ast.copy_location(ast.Assign([ast.Name(name, ast.Store())], value), node)
    return ast.copy_location(ast.If(present, [assign], []), node)


class _Log(ast.NodeTransformer):
    """Replaces put-off statements by entries of the log. changes[n]: what to do with an entry that begins with n."""

    def __init__(self, loop):
        self.loop = loop
        self.changes = []

    def visit(self, node):
        if id(node) not in self.loop.put_off:
            return self.generic_visit(node)
        number = len(self.changes)
        values = [self.visit(each) for each in operands(node)]
        change, values = _change(node, values)
        self.changes.append(change)
        return _statement(_method(LOG, "append", _tuple([ast.Constant(number), *values], node)), node)


def _change(node, values):
    """The statement with its operands taken from an entry, and the operands."""
    made = copy.copy(node)
    if isinstance(node, ast.AugAssign):
        if isinstance(node.target, ast.Subscript):
            made.target = _subscript(node.target, _entry(1, node), ast.Store())
        made.value = _entry(len(values), node)
        return made, [*values[:-1], _as_it_is_now(values[-1], node)]
    if isinstance(node, ast.Assign):
        target = node.targets[0]
        if isinstance(target, ast.Subscript):
            made.targets = [_subscript(target, _entry(2, node), ast.Store())]
            made.value = _entry(1, node)
        else:
            made.value = _with_operand(node.value, running_operand(node), _entry(1, node))
        return made, values
    return _change_of_call(node, values)


def _with_operand(value, operand, entry):
    made = copy.copy(value)
    if isinstance(value, ast.BinOp):
        made.right = entry
    else:
        made.args = [entry if arg is operand else arg for arg in value.args]
    return made


def _change_of_call(node, values):
    call = node.value
    made, receiver = copy.copy(call), None
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    before = len(values) - len(arguments)
    if isinstance(call.func, ast.Attribute):
        receiver = copy.copy(call.func.value)
        if isinstance(receiver, ast.Subscript):
            receiver = _subscript(receiver, _entry(1, node), ast.Load())
        elif isinstance(receiver, ast.Call):
            count = len(receiver.args)
            receiver.args = [_from_entry(arg, 1 + at, node) for at, arg in enumerate(receiver.args)]
            receiver.keywords = [ast.keyword(k.arg, _entry(1 + count + at, node)) for at, k in enumerate(receiver.keywords)]
        made.func = ast.copy_location(ast.Attribute(receiver, call.func.attr, ast.Load()), call.func)
    made.args = [_from_entry(arg, 1 + before + at, node) for at, arg in enumerate(call.args)]
    made.keywords = [ast.keyword(k.arg, _entry(1 + before + len(call.args) + at, node)) for at, k in enumerate(call.keywords)]
    return ast.copy_location(ast.Expr(made), node), [_as_it_is_now(value, node) for value in values]


def _from_entry(argument, at, node):
    entry = _entry(at, node)
    return ast.copy_location(ast.Starred(entry, ast.Load()), node) if isinstance(argument, ast.Starred) else entry


def _as_it_is_now(value, node):
    """An operand whose items belong to the iteration."""
    if isinstance(value, ast.Starred):
        return ast.copy_location(ast.List([value], ast.Load()), node)
    method = reads_now(node)
    return value if method is None or isinstance(value, ast.Constant) else _call(method, value, at=node)


def _used_elsewhere(name, loop, function):
    """Whether a name that a loop binds is looked at anywhere else in the function."""
    inside = {id(each) for part in (loop.target, *loop.body) for each in ast.walk(part)}
    return any(isinstance(each, ast.Name) and each.id == name and id(each) not in inside for each in ast.walk(function))


def _load(name, at):
    return ast.copy_location(ast.Name(name, ast.Load()), at)


def _call(method, *arguments, at):
    return ast.copy_location(_method(RUN, method, *arguments), at)


def _method(owner, method, *arguments):
    return ast.Call(ast.Attribute(ast.Name(owner, ast.Load()), method, ast.Load()), list(arguments), [])


def _tuple(elements, at):
    return ast.copy_location(ast.Tuple(elements, ast.Load()), at)


def _statement(value, at):
    return ast.copy_location(ast.Expr(ast.copy_location(value, at)), at)


def _subscript(node, index, context):
    return ast.copy_location(ast.Subscript(node.value, index, context), node)


def _entry(at, node):
    return ast.copy_location(ast.Subscript(_load(ENTRY, node), ast.Constant(at), ast.Load()), node)
