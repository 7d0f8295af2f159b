"""The mistakes: signs, off-by-one, swapped axes, dropped terms, other comparisons, constants, statements left out."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator

BINARY: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.MatMult: ast.Mult,
}  # fmt: skip
COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,), ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}  # fmt: skip
PAIRS = (
    ("min", "max"), ("minimum", "maximum"), ("amin", "amax"), ("argmin", "argmax"), ("fmin", "fmax"), ("sin", "cos"),
    ("floor", "ceil"), ("any", "all"), ("zeros", "ones"), ("zeros_like", "ones_like"), ("logical_and", "logical_or"),
    ("nanmin", "nanmax"), ("round", "floor"), ("cumsum", "cumprod"), ("width", "height"), ("union", "intersection"),
)  # fmt: skip
SAME_SWAPPED = ("hypot", "maximum", "minimum", "max", "min", "isclose", "array_equal")
LEAVES = (ast.Return, ast.Raise, ast.Continue)
OTHER_NAME = {**{b: a for a, b in PAIRS}, **dict(PAIRS)}


def variants(node: ast.AST) -> Iterator[ast.AST]:
    """What could stand there instead of `node`; each yielded node is a copy of its own."""
    for change in (_binary, _unary, _compare, _boolean, _constant, _name, _swap, _condition, _statement):
        yield from change(node)


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.deepcopy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _binary(node: ast.AST) -> Iterator[ast.AST]:
    """a + b -> a - b, and for sums and products also a and b alone: a dropped term, a dropped factor."""
    if isinstance(node, ast.BinOp):
        yield _with(node, op=BINARY[type(node.op)]())
        if not isinstance(node.op, ast.MatMult):
            yield node.left
            if not isinstance(node.op, ast.Sub | ast.Div | ast.FloorDiv | ast.Mod | ast.Pow | ast.LShift | ast.RShift):
                yield node.right
    elif isinstance(node, ast.AugAssign):
        yield _with(node, op=BINARY[type(node.op)]())


def _unary(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.UAdd):
        yield node.operand


def _compare(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            for other in COMPARED[type(op)]:
                yield _with(node, ops=[*node.ops[:i], other(), *node.ops[i + 1 :]])


def _boolean(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BoolOp):
        yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        for i in range(len(node.values)):
            rest = node.values[:i] + node.values[i + 1 :]
            yield rest[0] if len(rest) == 1 else _with(node, values=rest)


def _constant(node: ast.AST) -> Iterator[ast.AST]:
    if not isinstance(node, ast.Constant) or node.value is None or node.value is Ellipsis:
        return
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield ast.Constant(value + 1)
        yield ast.Constant(value - 1)
    elif isinstance(value, float):
        yield ast.Constant(value * 1.25 if value else 1.0)
    elif isinstance(value, str):
        yield ast.Constant(value + "_")


def _name(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Attribute) and node.attr in OTHER_NAME:
        yield _with(node, attr=OTHER_NAME[node.attr])
    elif isinstance(node, ast.Name) and node.id in OTHER_NAME and isinstance(node.ctx, ast.Load):
        yield _with(node, id=OTHER_NAME[node.id])


def _swap(node: ast.AST) -> Iterator[ast.AST]:
    """(h, w) -> (w, h), f(a, b) -> f(b, a), x if c else y -> y if c else x."""
    if isinstance(node, ast.Tuple | ast.List) and len(node.elts) >= 2:
        first, second, *rest = node.elts
        yield _with(node, elts=[second, first, *rest])
        if rest:
            yield _with(node, elts=[*node.elts[:-2], node.elts[-1], node.elts[-2]])
    elif isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        fixed = called in SAME_SWAPPED or any(isinstance(argument, ast.Starred) for argument in node.args)
        for i in range(0 if fixed else len(node.args) - 1):
            args = list(node.args)
            args[i], args[i + 1] = args[i + 1], args[i]
            yield _with(node, args=args)
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("astype", "clamp", "clip", "float", "to", "abs"):
            yield node.func.value
    elif isinstance(node, ast.IfExp):
        yield _with(node, body=node.orelse, orelse=node.body)


def _condition(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.If | ast.While) and not isinstance(node.test, ast.Compare):
        yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))


def _statement(node: ast.AST) -> Iterator[ast.AST]:
    """A statement left out: a call, a change of what has a value already, a guard that leaves early."""
    changes = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript | ast.Attribute)
    leaves = isinstance(node, ast.If) and not node.orelse and isinstance(node.body[-1], LEAVES)
    if changes or leaves or isinstance(node, ast.AugAssign | ast.Expr | ast.Delete | ast.Continue):
        yield ast.Pass()
