"""Every small mistake in one Python file, as changes of its syntax tree."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tools.mutation.operators import variants

UNTOUCHED = ("annotation", "returns", "decorator_list", "type_params", "bases")  # types, and decorators
SPARED = (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom)  # messages, types' narrowing


@dataclass
class Mutant:
    """One change: `before` at `line` becomes `after`."""

    line: int
    column: int
    before: str
    after: str
    parent: ast.AST = field(repr=False)
    place: tuple[str, int | None] = field(repr=False)  # field of the parent, index where that is a list
    node: ast.AST = field(repr=False)
    in_function: bool = False

    def apply(self) -> None:
        """Change the tree that the mutant was found in (one only: the others were found in the tree as it was)."""
        name, index = self.place
        if index is None:
            setattr(self.parent, name, self.node)
        else:
            getattr(self.parent, name)[index] = self.node


def mutants(tree: ast.Module) -> list[Mutant]:
    """All mutants of a file, in the order of its lines; the same change found twice is one."""
    found: dict[tuple[int, int, str, str], Mutant] = {}
    for parent, place, node, inside in _walk(tree, False):
        for changed in variants(copy.deepcopy(node)):
            ast.copy_location(changed, node)
            ast.fix_missing_locations(changed)
            before, after = _text(node), _text(changed)
            if before != after:
                mutant = Mutant(node.lineno, node.col_offset, before, after, parent, place, changed, inside)
                found.setdefault((node.lineno, node.col_offset, before, after), mutant)
    return sorted(found.values(), key=lambda mutant: mutant.line)


def _text(node: ast.AST) -> str:
    """One line: of a statement with others inside, its condition."""
    if isinstance(node, ast.If | ast.While):
        return f"{type(node).__name__.lower()} {ast.unparse(node.test)}: ..."
    return ast.unparse(node)


def _walk(node: ast.AST, inside: bool) -> Iterator[tuple[ast.AST, tuple[str, int | None], Any, bool]]:
    """Expressions and statements that do something: no docstrings, annotations, imports nor messages of errors."""
    inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for name, value in ast.iter_fields(node):
        if name in UNTOUCHED:
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or isinstance(child, SPARED) or _is_text(child) or _is_typing(child):
                continue
            if isinstance(child, ast.expr | ast.stmt):
                yield node, (name, index), child, inside
            yield from _walk(child, inside)


def _is_text(node: ast.AST) -> bool:
    """A docstring, or a string that is put together: what people read."""
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return docstring or isinstance(node, ast.JoinedStr)


def _is_typing(node: ast.AST) -> bool:
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return True
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):  # an alias of types, __all__
        called = ast.unparse(node.value)
        return node.targets[0].id == "__all__" or called.startswith(("Mapping[", "Callable[", "Literal[", "TypeVar("))
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("cast", "TypeVar")
