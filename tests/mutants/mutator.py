"""Makes the mutants of a module: its source with one small change that a test should notice."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass

_CONTEXT = 40
"""Characters of code told on each side of a change: enough to find the place and to judge it."""

_FLIPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_BOUNDARY: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
_OPPOSITE: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_RIVAL = {
    "max": "min",
    "min": "max",
    "any": "all",
    "all": "any",
    "startswith": "endswith",
    "endswith": "startswith",
}
_DELETABLE = (ast.Expr, ast.AugAssign, ast.Raise, ast.Continue, ast.Break, ast.Delete)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_PASSED_BY = (ast.JoinedStr, ast.Assert, ast.Import, ast.ImportFrom)
"""Texts for people, what only the type checker needs, and names."""
_NO_BEHAVIOUR = {"annotation", "returns", "decorator_list"}
"""Fields that say what a thing is, not what it does."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One small change of a module.

    `function` is the dotted name of where it stands, or `<module>`. `mutation` is the code before
    and after, as text: line numbers would move with every edit. `source` is the changed module.
    """

    function: str
    mutation: str
    source: str


def mutants_of(source: str) -> list[Mutant]:
    """Returns every mutant of a module, in the order of the source."""
    tree = ast.parse(source)
    original = ast.unparse(tree)
    counts: Counter[tuple[str, str]] = Counter()
    mutants = []
    for slot in _slots(tree, "<module>", None):
        for replacement in _replacements(slot.node):
            mutation, mutated = slot.played(replacement, tree)
            if mutated == original:
                continue
            counts[slot.function, mutation] += 1
            count = counts[slot.function, mutation]
            told = mutation if count == 1 else f"{mutation} (#{count})"
            mutants.append(Mutant(slot.function, told, mutated))
    return mutants


@dataclass(frozen=True, slots=True)
class _Slot:
    """A place of the tree, with the widest expression or statement that is told with it."""

    function: str
    told: ast.AST | None
    parent: ast.AST
    field: str
    index: int | None

    @property
    def node(self) -> ast.AST:
        """What stands there."""
        held = getattr(self.parent, self.field)
        node: ast.AST = held if self.index is None else held[self.index]
        return node

    def played(self, replacement: ast.AST, tree: ast.Module) -> tuple[str, str]:
        """Returns the change as text and the changed module; leaves the tree as it was."""
        node = self.node
        before = _line(self.told or node)
        self._put(replacement)
        try:
            after = _line(self.told or replacement)
            mutated = ast.unparse(tree)
        finally:
            self._put(node)
        return _difference(before, after), mutated

    def _put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def _slots(parent: ast.AST, function: str, told: ast.AST | None) -> Iterator[_Slot]:
    """Yields every place that may be changed, outer ones first."""
    if isinstance(parent, _SCOPES):
        function = parent.name if function == "<module>" else f"{function}.{parent.name}"
    for field, value in ast.iter_fields(parent):
        if field in _NO_BEHAVIOUR or (isinstance(parent, ast.ClassDef) and field == "keywords"):
            continue
        held = value if isinstance(value, list) else [value]
        for index, node in enumerate(held):
            if not isinstance(node, ast.AST) or isinstance(node, _PASSED_BY) or _is_docstring(node):
                continue
            place = index if isinstance(value, list) else None
            yield _Slot(function, told, parent, field, place)
            yield from _slots(node, function, told or _told(node))


def _told(node: ast.AST) -> ast.AST | None:
    """Returns a node that can be told whole: an expression, or a statement without a body."""
    is_simple = isinstance(node, ast.stmt) and not hasattr(node, "body")
    return node if isinstance(node, ast.expr) or is_simple else None


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _replacements(node: ast.AST) -> Iterator[ast.AST]:
    """Yields what may stand in the place of a node."""
    match node:
        case ast.stmt():
            yield from _other_statements(node)
        case ast.Compare():
            yield from _other_comparisons(node)
        case ast.BoolOp():
            yield from _other_conditions(node)
        case ast.Constant():
            yield from map(ast.Constant, _other_constants(node.value))
        case ast.comprehension():
            for index in range(len(node.ifs)):
                yield _with(node, ifs=node.ifs[:index] + node.ifs[index + 1 :])
        case _:
            yield from _other_expressions(node)


def _other_expressions(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.BinOp() if type(node.op) in _OPPOSITE:
            yield _with(node, op=_OPPOSITE[type(node.op)]())
        case ast.Name(id=name) if name in _RIVAL:
            yield ast.Name(_RIVAL[name])
        case ast.Attribute(attr=name) if name in _RIVAL:
            yield _with(node, attr=_RIVAL[name])
        case ast.Call(func=ast.Name(id="sorted"), args=[values], keywords=[]):
            yield ast.Call(ast.Name("list"), [values], [])
        case ast.IfExp():
            yield node.body
            yield node.orelse


def _other_conditions(node: ast.BoolOp) -> Iterator[ast.AST]:
    yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    for index in range(len(node.values)):
        kept = node.values[:index] + node.values[index + 1 :]
        yield kept[0] if len(kept) == 1 else _with(node, values=kept)


def _other_statements(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, _DELETABLE):
        yield ast.Pass()
    match node:
        case ast.If():
            yield _with(node, test=ast.Constant(value=True))
            yield _with(node, test=ast.Constant(value=False))
        case ast.AugAssign() if type(node.op) in _OPPOSITE:
            yield _with(node, op=_OPPOSITE[type(node.op)]())
        case ast.Return(value=ast.expr() as value):
            if not (isinstance(value, ast.Constant) and value.value is None):
                yield ast.Return(ast.Constant(None))


def _other_comparisons(node: ast.Compare) -> Iterator[ast.AST]:
    for index, operator in enumerate(node.ops):
        for others in (_FLIPPED, _BOUNDARY):
            if type(operator) in others:
                other = others[type(operator)]()
                yield _with(node, ops=[*node.ops[:index], other, *node.ops[index + 1 :]])


def _other_constants(value: object) -> Iterator[bool | int | float | str | bytes]:
    """Yields other values of a constant; a text with a space is for people, and has none."""
    match value:
        case bool():
            yield not value
        case int() | float():
            yield value + 1
            yield value - 1
        case str() if " " not in value.strip() or not value.strip():
            yield value + "~"
        case bytes():
            yield value + b"~"


def _with(node: ast.AST, **fields: object) -> ast.AST:
    """Copies a node with other values of some fields."""
    copied = copy(node)
    for field, value in fields.items():
        setattr(copied, field, value)
    return copied


def _line(node: ast.AST) -> str:
    """Writes a node in one line; of a statement with a body, the head alone."""
    text = ast.unparse(node)
    if hasattr(node, "body") and isinstance(node, ast.stmt):
        text = text.partition("\n")[0]
    return " ".join(text.split())


def _difference(before: str, after: str) -> str:
    """Writes a change with what stands around it, cut where it is far away."""
    start = max(0, _common(before, after) - _CONTEXT)
    end = max(0, _common(before[start:][::-1], after[start:][::-1]) - _CONTEXT)
    cut = [text[start : len(text) - end] for text in (before, after)]
    told = [("…" if start else "") + _clipped(text) + ("…" if end else "") for text in cut]
    return " -> ".join(told)


def _common(one: str, other: str) -> int:
    """Returns how many characters two texts begin with together."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _clipped(text: str) -> str:
    is_short = len(text) <= 3 * _CONTEXT
    return text if is_short else f"{text[: 2 * _CONTEXT]} … {text[-_CONTEXT // 2 :]}"
