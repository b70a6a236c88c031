"""A function's source as nested tuples, which the extension writes as schemas/program.capnp.

Nothing is judged here: what the levels cannot run is passed on as "unsupported" with a sentence, and declines where it is
reached.
"""

import _ast as ast  # the classes alone: ast itself loads ten modules, which takes longer than all the rest of a first call
import sys
import types
import warnings

__all__ = ["NoSource", "encode"]

BINARY = {
    ast.Add: 0, ast.Sub: 1, ast.Mult: 2, ast.Div: 3, ast.FloorDiv: 4, ast.Mod: 5, ast.Pow: 6, ast.LShift: 7, ast.RShift: 8,
    ast.BitAnd: 9, ast.BitOr: 10, ast.BitXor: 11, ast.MatMult: 12,
}
UNARY = {ast.USub: 0, ast.UAdd: 1, ast.Invert: 2, ast.Not: 3}
COMPARE = {
    ast.Eq: 0, ast.NotEq: 1, ast.Lt: 2, ast.LtE: 3, ast.Gt: 4, ast.GtE: 5, ast.Is: 6, ast.IsNot: 7, ast.In: 8, ast.NotIn: 9,
}
STATEMENTS = {
    "With": "a with block", "AsyncWith": "a with block", "AsyncFor": "an async loop", "Try": "try", "TryStar": "try",
    "FunctionDef": "a nested function", "AsyncFunctionDef": "a nested function", "ClassDef": "a class",
    "Import": "an import", "ImportFrom": "an import", "Match": "match",
}
EXPRESSIONS = {
    "Dict": "a dict", "Set": "a set", "DictComp": "a dict comprehension", "SetComp": "a set comprehension", "Lambda": "a lambda",
    "JoinedStr": "an f-string", "Yield": "yield", "YieldFrom": "yield", "Await": "await",
}
# What a method's first parameter is called. What is called otherwise is an argument as any other.
RECEIVER = "self"
# Of code objects and compile(): the imports from __future__ that the file has.
FUTURE_FLAGS = 0x1FE0000
# Files whose syntax trees are kept: a program's hot functions sit in few files, and a tree is some ten times its source.
FILES_MAX = 32
# Beside the lines of a file, where its functions are: the file itself.
MODULE = 0
_files = {}
# Trees of code that was made from others: as many as there are functions with code in ext/jit/api.cpp.
ADDED_MAX = 512
_added = {}


class NoSource(Exception):
    """Why a function cannot be encoded at all, as a sentence for the user."""


def encode(function):
    """The function as (name, file, parameters, body, nodes, receiver).

    Raises NoSource if there is no source, or if it is not the source of the code that would run.
    """
    if not isinstance(function, types.FunctionType):
        raise NoSource(f"it is no Python function but {type(function).__name__}")
    code = function.__code__
    if code.co_flags & 0x20:
        raise NoSource("generators are not compiled")
    if code.co_flags & (0x80 | 0x100 | 0x200):
        raise NoSource("coroutines are not compiled")
    if code.co_flags & (0x04 | 0x08):
        raise NoSource("*args and **kwargs are not compiled")
    node = _find(code, function)
    return _Encoder(code).function(function, node)


def add(code, node):
    """Has functions of `code`, which has no source of its own, encoded from a FunctionDef."""
    if len(_added) >= ADDED_MAX:
        _added.pop(next(iter(_added)))
    _added[code] = node


def node_of(code):
    """What add() was given for it."""
    return _added[code]


def _find(code, function):
    if code in _added:
        return _added[code]
    source = _source(code.co_filename, function.__globals__)
    tree, codes = _excerpt(code, source) or _parse(code.co_filename, source)
    if code not in codes:
        raise NoSource("its source file has changed since it was loaded, or is not what was compiled")
    found = [node for node in tree.get(code.co_firstlineno, ()) if getattr(node, "name", "<lambda>") == code.co_name]
    if len(found) != 1:
        raise NoSource("several functions begin on its line")
    return found[0]


def _excerpt(code, source):
    """What _parse() gives, of the function's own lines alone; None: they do not compile to this code by themselves.

    A function is a small part of its file. Two sources of the same code mean the same, so what the lines behind its last
    instruction would add (comments, dead code) need not be known.
    """
    if code.co_name == "<lambda>" or code.co_freevars or code.co_filename in _files:
        return None
    first, last = code.co_firstlineno, _last_line(code)
    newline = "\n" if isinstance(source, str) else b"\n"
    lines = source.split(newline)[first - 1 : last]
    if not lines or (newline == b"\n" and not b"".join(lines).isascii()):
        return None  # bytes of an encoding that the file's first lines may name
    if not lines[0][:1].isspace():
        before = newline * (first - 1)
    elif first > 1:
        before = newline * (first - 2) + ("if 1:\n" if newline == "\n" else b"if 1:\n")
    else:
        return None
    try:
        made = _compiled(before + newline.join(lines) + newline, code.co_filename, code.co_flags & FUTURE_FLAGS)
    except (SyntaxError, ValueError, RecursionError):
        return None
    return made if code in made[1] else None


def _last_line(code):
    if hasattr(code, "co_positions"):  # 3.11; where expressions end
        lines = [end for _, end, _, _ in code.co_positions() if end is not None]
    else:
        lines = [line for _, _, line in code.co_lines() if line is not None]
    inner = [_last_line(const) for const in code.co_consts if isinstance(const, types.CodeType)]
    return max([code.co_firstlineno, *lines, *inner])


def _source(filename, module_globals):
    """Text of a file, or its bytes. Where nobody has used linecache yet, nobody has put a source into it."""
    if "linecache" not in sys.modules:
        try:
            with open(filename, "rb") as file:
                return file.read()
        except OSError:
            pass
    import linecache

    lines = linecache.getlines(filename, module_globals)
    if not lines:
        raise NoSource("its source was not found")
    return "".join(lines)


def _walk(node):
    todo = [node]
    while todo:
        node = todo.pop()
        yield node
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                todo.append(value)
            elif isinstance(value, list):
                todo.extend(item for item in value if isinstance(item, ast.AST))


def _parse(filename, source):
    known = _files.get(filename)
    if known is not None and known[0] == source:
        return known[1]
    try:
        made = _compiled(source, filename, 0)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise NoSource(f"its source does not parse: {error}") from None
    if len(_files) >= FILES_MAX:
        _files.pop(next(iter(_files)))
    _files[filename] = (source, made)
    return made


def _compiled(source, filename, flags):
    """Functions by the line they begin on, and the set of all code objects."""
    with warnings.catch_warnings():
        # The file's import has given them.
        warnings.simplefilter("ignore", SyntaxWarning)
        tree = compile(source, filename, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
        module = compile(tree, filename, "exec", flags, dont_inherit=True)
    by_line = {MODULE: [tree]}
    for node in _walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            first = min([node.lineno] + [d.lineno for d in getattr(node, "decorator_list", ())])
            by_line.setdefault(first, []).append(node)
    codes, todo = set(), [module]
    while todo:
        code = todo.pop()
        codes.add(code)
        todo.extend(const for const in code.co_consts if isinstance(const, types.CodeType))
    return by_line, codes


class _Encoder:
    """One function. `scopes` holds the variables of the comprehensions around, innermost last."""

    def __init__(self, code):
        self.locals = set(code.co_varnames) | set(code.co_cellvars)
        self.closure = set(code.co_freevars)
        self.scopes = []
        self.nodes = 0
        self.receiver = None  # the name of a method's first parameter
        self.attributes = []  # of it, that are read

    def function(self, function, node):
        args = node.args
        parameters = (
            [(a.arg, 0) for a in args.posonlyargs] + [(a.arg, 1) for a in args.args] + [(a.arg, 2) for a in args.kwonlyargs]
        )
        if parameters and parameters[0][0] == RECEIVER and parameters[0][1] != 2:
            self.receiver = RECEIVER
            del parameters[0]
        if isinstance(node, ast.Lambda):
            body = [("return", node.lineno, self.expression(node.body))]
        else:
            body = self.statements(node.body)
        name = f"{function.__module__}.{function.__qualname__}"
        parameters += [(name, 3) for name in self.attributes]
        return name, function.__code__.co_filename, parameters, body, self.nodes, self.receiver is not None

    # ---- statements ----

    def statements(self, nodes):
        return [self.statement(node) for node in nodes]

    def statement(self, node):
        make = getattr(self, "statement_" + type(node).__name__, None)
        if make is not None:
            return make(node)
        return "unsupported", node.lineno, STATEMENTS.get(type(node).__name__, type(node).__name__) + " is not compiled"

    def statement_Assign(self, node):
        return "assign", node.lineno, [self.expression(t) for t in node.targets], self.expression(node.value)

    def statement_AnnAssign(self, node):
        if node.value is None:
            return "pass", node.lineno
        return "assign", node.lineno, [self.expression(node.target)], self.expression(node.value)

    def statement_AugAssign(self, node):
        return "augment", node.lineno, self.expression(node.target), BINARY[type(node.op)], self.expression(node.value)

    def statement_Expr(self, node):
        if isinstance(node.value, ast.Constant):  # a docstring
            return "pass", node.lineno
        return "expression", node.lineno, self.expression(node.value)

    def statement_If(self, node):
        return "if", node.lineno, self.expression(node.test), self.statements(node.body), self.statements(node.orelse)

    def statement_While(self, node):
        return "while", node.lineno, self.expression(node.test), self.statements(node.body), self.statements(node.orelse)

    def statement_For(self, node):
        return (
            "for", node.lineno, self.expression(node.target), self.expression(node.iter),
            self.statements(node.body), self.statements(node.orelse),
        )

    def statement_Return(self, node):
        return "return", node.lineno, self.none(node) if node.value is None else self.expression(node.value)

    def statement_Break(self, node):
        return "break", node.lineno

    def statement_Continue(self, node):
        return "continue", node.lineno

    def statement_Pass(self, node):
        return "pass", node.lineno

    # Names that are declared so are encoded as what they are; assigning to one declines where it is done.
    statement_Global = statement_Nonlocal = statement_Pass

    def statement_Delete(self, node):
        return "delete", node.lineno, [self.expression(target) for target in node.targets]

    def statement_Raise(self, node):
        return "raise", node.lineno

    def statement_Assert(self, node):
        return "assert", node.lineno, self.expression(node.test)

    # ---- expressions: (kind, line, id, ...) ----

    def expression(self, node):
        make = getattr(self, "expression_" + type(node).__name__, None)
        if make is None:
            return self.unsupported(node, EXPRESSIONS.get(type(node).__name__, type(node).__name__) + " is not compiled")
        return make(node)

    def head(self, kind, node):
        self.nodes += 1
        return kind, node.lineno, self.nodes - 1

    def none(self, node):
        return self.head("none", node)

    def optional(self, node, owner):
        return self.none(owner) if node is None else self.expression(node)

    def unsupported(self, node, reason):
        return *self.head("unsupported", node), reason

    def expression_Constant(self, node):
        value = node.value
        kind = type(value)
        if value is None:
            return self.none(node)
        if kind is bool:
            return *self.head("bool", node), value
        if kind is int:
            if -(2**63) <= value < 2**63:
                return *self.head("int", node), value
            return *self.head("bigInt", node), hex(value)
        if kind is float:
            return *self.head("float", node), value
        if kind is complex:  # a literal has no real part
            return *self.head("imaginary", node), value.imag
        if kind is str:
            if not value.isprintable() and ("\0" in value or any("\ud800" <= c <= "\udfff" for c in value)):
                return self.unsupported(node, "a string with a NUL or half a character is not compiled")
            return *self.head("str", node), value
        if kind is bytes:
            return *self.head("bytes", node), value
        return self.unsupported(node, f"a {kind.__name__} constant is not compiled")

    def expression_Name(self, node):
        if node.id == self.receiver:
            return self.unsupported(node, f"'{RECEIVER}' is used for more than reading its attributes: that is not compiled")
        for scope in reversed(self.scopes):
            if node.id in scope:
                return *self.head("local", node), scope[node.id]
        kind = "local" if node.id in self.locals else "closure" if node.id in self.closure else "global"
        return *self.head(kind, node), node.id

    def expression_UnaryOp(self, node):
        return *self.head("unary", node), UNARY[type(node.op)], self.expression(node.operand)

    def expression_BinOp(self, node):
        return *self.head("binary", node), BINARY[type(node.op)], self.expression(node.left), self.expression(node.right)

    def expression_BoolOp(self, node):
        kind = "and" if isinstance(node.op, ast.And) else "or"
        return *self.head(kind, node), [self.expression(v) for v in node.values]

    def expression_Compare(self, node):
        return (
            *self.head("compare", node), self.expression(node.left),
            [COMPARE[type(op)] for op in node.ops], [self.expression(c) for c in node.comparators],
        )

    def expression_IfExp(self, node):
        return (
            *self.head("conditional", node), self.expression(node.test), self.expression(node.body), self.expression(node.orelse),
        )

    def expression_Call(self, node):
        if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
            return self.unsupported(node, "a call with * or ** is not compiled")
        return (
            *self.head("call", node), self.expression(node.func), [self.expression(a) for a in node.args],
            [(k.arg, self.expression(k.value)) for k in node.keywords],
        )

    def expression_Attribute(self, node):
        if isinstance(node.value, ast.Name) and node.value.id == self.receiver and isinstance(node.ctx, ast.Load):
            name = f"{RECEIVER}.{node.attr}"
            if name not in self.attributes:
                self.attributes.append(name)
            return *self.head("local", node), name
        return *self.head("attribute", node), self.expression(node.value), node.attr

    def expression_Subscript(self, node):
        return *self.head("subscript", node), self.expression(node.value), self.expression(node.slice)

    def expression_Slice(self, node):
        return (
            *self.head("slice", node), self.optional(node.lower, node), self.optional(node.upper, node),
            self.optional(node.step, node),
        )

    def expression_Tuple(self, node):
        return *self.head("tuple", node), [self.expression(e) for e in node.elts]

    def expression_List(self, node):
        return *self.head("list", node), [self.expression(e) for e in node.elts]

    def expression_NamedExpr(self, node):
        return *self.head("named", node), self.expression(node.target), self.expression(node.value)

    def expression_Starred(self, node):
        return *self.head("starred", node), self.expression(node.value)

    def expression_ListComp(self, node):
        return self.comprehension(node, False)

    def expression_GeneratorExp(self, node):
        return self.comprehension(node, True)

    def comprehension(self, node, lazy):
        if any(g.is_async for g in node.generators):
            return self.unsupported(node, "an async comprehension is not compiled")
        head = self.head("comprehension", node)
        scope, generators = {}, []
        # The first iterable belongs to the scope around.
        first = self.expression(node.generators[0].iter)
        for generator in node.generators:
            for name in _walk(generator.target):
                if isinstance(name, ast.Name):
                    scope[name.id] = f"{name.id}@{head[2]}"
        self.scopes.append(scope)
        for at, generator in enumerate(node.generators):
            iterable = first if at == 0 else self.expression(generator.iter)
            target = self.expression(generator.target)
            generators.append((target, iterable, [self.expression(test) for test in generator.ifs]))
        element = self.expression(node.elt)
        self.scopes.pop()
        return *head, element, generators, lazy
