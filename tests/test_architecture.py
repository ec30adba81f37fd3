"""Laws of the layout: imports point one way, the core is pure, and importing does no work."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest

from tests.source_code import PACKAGES, evaluated_at_import, imports, modules, parse

# Which of our own areas each area may import, besides itself. A module belongs to the longest name.
MAY_IMPORT = {
    "amiguard": frozenset[str](),
    "amiguard_client": frozenset({"amiguard", "amiguard_core.log_files"}),
    "amiguard_client.cli": frozenset(
        {"amiguard", "amiguard_client", "amiguard_core", "amiguard_core.log_files"}
    ),
    "amiguard_core": frozenset({"amiguard_core.log_files"}),
    # How log files are read, by the same code on both sides.
    "amiguard_core.log_files": frozenset[str](),
    "amiguard_migrations": frozenset({"amiguard_migrations.documents"}),
    # How stored bytes read, which revisions and the store have to agree on.
    "amiguard_migrations.documents": frozenset[str](),
    # What Alembic runs to compare the schema with the database.
    "amiguard_migrations.env": frozenset({"amiguard_migrations", "amiguard_service.store"}),
    "amiguard_service": frozenset(
        {
            "amiguard",
            "amiguard_core",
            "amiguard_core.log_files",
            "amiguard_migrations",
            "amiguard_service.store",
        }
    ),
    "amiguard_service.store": frozenset(
        {"amiguard_core", "amiguard_migrations.documents", "amiguard_service"}
    ),
}

# What the core may import: modules that only take values and give values.
PURE_MODULES = frozenset(
    {
        "__future__",
        "abc",
        "base64",
        "binascii",
        "bisect",
        "collections",
        "collections.abc",
        "csv",
        "dataclasses",
        "datetime",
        "difflib",
        "enum",
        "functools",
        "hashlib",
        "heapq",
        "ipaddress",
        "itertools",
        "json",
        "math",
        "msgspec",
        "msgspec.json",
        "msgspec.structs",
        "operator",
        "re",
        "string",
        "textwrap",
        "types",
        "typing",
        "unicodedata",
        "urllib.parse",
        "zlib",
    }
)
# Of modules that are not pure as a whole, the names that are.
PURE_NAMES = frozenset({"io.BytesIO", "io.StringIO"})
# Builtins and methods that reach outside, or whose answer differs from run to run.
IMPURE_BUILTINS = frozenset(
    {"__import__", "breakpoint", "eval", "exec", "hash", "id", "input", "open", "print"}
)
IMPURE_METHODS = frozenset({"now", "today", "utcnow"})

# What a base install has. The library, without its command line, asks a host for no more.
BASE_INSTALL = frozenset({"google", "grpc", "grpc_status"})

# Calls that open, start or read something. None belongs into the import of a module.
WORK = frozenset(
    {
        "Popen",
        "ProcessPoolExecutor",
        "Thread",
        "ThreadPoolExecutor",
        "basicConfig",
        "connect",
        "create_engine",
        "getLogger",
        "getenv",
        "insecure_channel",
        "open",
        "print",
        "read_bytes",
        "read_text",
        "run",
        "secure_channel",
        "server",
        "sleep",
    }
)
# Alembic runs these as scripts; they are work, not modules.
SCRIPTS = ("amiguard_migrations.env", "amiguard_migrations.versions.")

# Imports each module named on the command line and prints what that did besides reading files.
WATCHED_IMPORT = """
import importlib, os, sys, threading

SEEN = []
EVENTS = ("os.exec", "os.fork", "os.mkdir", "os.posix_spawn", "os.putenv", "os.remove", "os.rename",
          "os.system", "socket.bind", "socket.connect", "sqlite3.connect", "subprocess.Popen")

def watch(event, args):
    if event in EVENTS:
        SEEN.append(f"{event} {args[0]!r}")
    elif event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR):
        SEEN.append(f"{event} for writing {args[0]!r}")

sys.addaudithook(watch)
for name in sys.argv[1:]:
    importlib.import_module(name)
    others = set(threading.enumerate()) - {threading.main_thread()}
    SEEN.extend(f"thread {thread.name}" for thread in others)
    if SEEN:
        sys.exit(f"{name}: {SEEN}")
"""


def area(name: str) -> str | None:
    """Which area of ours a dotted name belongs to, if any."""
    parts = name.split(".")
    prefixes = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((prefix for prefix in prefixes if prefix in MAY_IMPORT), None)


def called_name(node: ast.AST) -> str | None:
    """The last name of what a node calls."""
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name
        case _:
            return None


def effects(tree: ast.Module) -> list[str]:
    """What in a module may reach past its arguments, with the line."""
    found = [
        f"import of {imported.dotted}"
        for imported in imports(tree)
        if imported.target not in PURE_MODULES
        and imported.dotted not in PURE_NAMES
        and imported.target.partition(".")[0] != "amiguard_core"
    ]
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_BUILTINS:
                found.append(f"line {node.lineno}: {name}()")
            case ast.Call(func=ast.Attribute(attr=name)) if name in IMPURE_METHODS:
                found.append(f"line {node.lineno}: .{name}()")
            case ast.AsyncFunctionDef() | ast.Await() | ast.Global():
                found.append(f"line {node.lineno}: {type(node).__name__}")
    return found


def work(tree: ast.Module) -> list[str]:
    """What a module does when it is imported, besides defining, with the line."""
    found = []
    for node in evaluated_at_import(tree):
        name = called_name(node)
        if name in WORK:
            found.append(f"line {getattr(node, 'lineno', 0)}: {name}()")
        match node:
            case ast.With() | ast.While():
                found.append(f"line {node.lineno}: {type(node).__name__}")
            case ast.Attribute(value=ast.Name(id="os"), attr="environ"):
                found.append(f"line {node.lineno}: os.environ")
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    """Client → wire; service → core, wire; core → nothing of ours."""
    wrong = []
    for name, path in modules(package).items():
        home = area(name)
        assert home is not None
        for imported in imports(parse(path)):
            there = area(imported.dotted)
            if there is not None and there != home and there not in MAY_IMPORT[home]:
                wrong.append(f"{name} imports {imported.dotted}")

    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_are_absolute(package: str) -> None:
    """An import names its package, so that its direction can be read."""
    relative = [
        f"{name} imports {imported.dotted}"
        for name, path in modules(package).items()
        for imported in imports(parse(path))
        if imported.target.startswith(".")
    ]

    assert relative == []


def test_core_is_pure() -> None:
    """The core takes values and gives values: no clock, no input or output, nothing hidden."""
    found = {name: effects(parse(path)) for name, path in modules("amiguard_core").items()}

    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import os.path",
        "from io import open_code",
        "from sqlalchemy import select",
        "def f():\n    import logging",
        "moment = datetime.now(UTC)",
        "def f(day):\n    return date.today() - day",
        "def f(text):\n    print(text)",
        "def f(path):\n    return open(path)",
        "def f(value):\n    return hash(value)",
        "async def f(): ...",
        "def f():\n    global count\n    count = 1",
    ],
)
def test_an_effect_is_seen(source: str) -> None:
    """No effect of these kinds gets past the law of the pure core."""
    found = effects(ast.parse(source))

    assert found != []


def test_library_needs_the_base_install_alone() -> None:
    """A host that imports the client library needs no extra to do so."""
    allowed = BASE_INSTALL | sys.stdlib_module_names | {"amiguard", "amiguard_client"}
    allowed |= {"amiguard_core.log_files.inflate", "amiguard_core.log_files.reader"}
    wrong = [
        f"{name} imports {imported.dotted}"
        for name, path in modules("amiguard_client").items()
        if area(name) == "amiguard_client"
        for imported in imports(parse(path))
        if imported.eager
        and allowed.isdisjoint({imported.target, imported.target.partition(".")[0]})
    ]

    assert wrong == []


def test_sql_stays_in_the_store() -> None:
    """Only the store and the migrations write SQL; others may hold its handles."""
    speaking = {"amiguard_migrations", "amiguard_migrations.env", "amiguard_service.store"}
    handles = {"sqlalchemy.Connection", "sqlalchemy.Engine"}
    wrong = [
        f"{name} imports {imported.dotted}"
        for package in PACKAGES
        for name, path in modules(package).items()
        if area(name) not in speaking
        for imported in imports(parse(path))
        if imported.target.partition(".")[0] in {"alembic", "psycopg", "sqlalchemy", "sqlite3"}
        and imported.dotted not in handles
    ]

    assert wrong == []


def test_store_does_not_speak_grpc() -> None:
    """The store gives values; turning them into messages and statuses is the servicers' work."""
    wrong = [
        f"{name} imports {imported.dotted}"
        for name, path in modules("amiguard_service").items()
        if area(name) == "amiguard_service.store"
        for imported in imports(parse(path))
        if imported.target.partition(".")[0] in {"google", "grpc", "grpc_status"}
    ]

    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_starts_nothing(package: str) -> None:
    """A module opens, starts and reads nothing while it is imported."""
    found = {
        name: work(parse(path))
        for name, path in modules(package).items()
        if not name.startswith(SCRIPTS)
    }

    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "source",
    [
        "log = logging.getLogger(__name__)",
        "home = os.environ['HOME']",
        "def f(engine=create_engine('sqlite://')): ...",
        "def f(*, engine=create_engine('sqlite://')): ...",
        "class Client:\n    channel = grpc.insecure_channel('localhost')",
        "with lock:\n    count = 1",
        "text = Path('x').read_text()",
    ],
)
def test_work_is_seen(source: str) -> None:
    """No work of these kinds gets past the law of imports."""
    found = work(ast.parse(source))

    assert found != []


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_importing_touches_nothing(package: str) -> None:
    """Importing writes no file, opens no connection, starts no process and no thread."""
    names = [name for name in modules(package) if not name.startswith(SCRIPTS)]
    # Or the byte code that Python keeps would count as a file written.
    env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    imported = subprocess.run(
        [sys.executable, "-c", WATCHED_IMPORT, *names],
        env=env,
        check=False,
        capture_output=True,
        text=True,
    )

    assert (imported.returncode, imported.stderr) == (0, "")


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_are_named_by_their_idea(package: str) -> None:
    """No module is a drawer for what had no other place."""
    drawers = {"common", "helper", "helpers", "manager", "misc", "util", "utils"}

    named = {part.strip("_") for name in modules(package) for part in name.split(".")}

    assert named & drawers == set()
