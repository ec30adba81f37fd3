"""What the project's modules are, what they import, and what runs when they are imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "amiguard": ROOT / "proto",
    "amiguard_client": ROOT / "clients",
    "amiguard_core": ROOT / "service",
    "amiguard_migrations": ROOT / "migrations",
    "amiguard_service": ROOT / "service",
}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name, and whether importing the module imports it too."""

    target: str
    name: str | None
    eager: bool

    @property
    def dotted(self) -> str:
        """The name in full."""
        return f"{self.target}.{self.name}" if self.name else self.target


def modules(package: str) -> dict[str, Path]:
    """The hand-written modules of a package by dotted name."""
    root = PACKAGES[package]
    paths = (path for path in (root / package).rglob("*.py") if "_pb2" not in path.name)
    return {dotted_name(path.relative_to(root)): path for path in sorted(paths)}


def dotted_name(path: Path) -> str:
    """The name a module at a path is imported by."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def parse(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(tree: ast.Module) -> list[Import]:
    """Every import of a module, wherever it stands."""
    eager = set(map(id, evaluated_at_import(tree)))
    found: list[Import] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, None, id(node) in eager) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            target = "." * node.level + (node.module or "")
            found.extend(Import(target, alias.name, id(node) in eager) for alias in node.names)
    return found


def evaluated_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs when the module is imported, defaults and decorators included."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and is_guard(child.test):
            continue
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            decorators = getattr(child, "decorator_list", [])
            defaults = [default for default in child.args.kw_defaults if default]
            for outer in [*decorators, *child.args.defaults, *defaults]:
                yield outer
                yield from evaluated_at_import(outer)
        else:
            yield child
            yield from evaluated_at_import(child)


def is_guard(test: ast.expr) -> bool:
    """Whether a condition keeps its body from a plain import."""
    return ast.unparse(test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'"}
