"""What the mutator changes, what it leaves alone, and how it tells a change."""

from __future__ import annotations

import ast
from textwrap import dedent

import pytest

from tests.mutants.mutator import mutants_of
from tests.mutants.run import ACCEPTED, Fate, Name, reaching_tests, read_accepted, table


def mutations(source: str) -> list[str]:
    """Returns the mutations of a source, as text."""
    return [mutant.mutation for mutant in mutants_of(dedent(source))]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a == b", {"a == b -> a != b"}),
        ("a < b", {"a < b -> a >= b", "a < b -> a <= b"}),
        ("a <= b < c", {"a <= b < c -> a > b < c", "a <= b < c -> a <= b <= c"}),
        ("a is None", {"a is None -> a is not None"}),
        ("a not in b", {"a not in b -> a in b"}),
        ("not a", {"not a -> a"}),
        ("a and b", {"a and b -> a or b", "a and b -> b", "a and b -> a"}),
        ("a or b or c", {"a or b or c -> a or c", "a or b or c -> a and b and c"}),
        ("a + b", {"a + b -> a - b"}),
        ("a if b else c", {"a if b else c -> a", "a if b else c -> c"}),
        ("[a for a in b if c]", {"[a for a in b if c] -> [a for a in b]"}),
        ("f(7)", {"f(7) -> f(8)", "f(7) -> f(6)"}),
        ("f(True)", {"f(True) -> f(False)"}),
        ("f('x')", {"f('x') -> f('x~')"}),
        ("f(b'x')", {"f(b'x') -> f(b'x~')"}),
        ("max(a, b)", {"max(a, b) -> min(a, b)"}),
        ("any(a)", {"any(a) -> all(a)"}),
        ("sorted(a)", {"sorted(a) -> list(a)"}),
        ("a.startswith(b)", {"a.startswith(b) -> a.endswith(b)"}),
        ("f()", {"f() -> pass"}),
        ("a += b", {"a += b -> a -= b", "a += b -> pass"}),
        ("raise a", {"raise a -> pass"}),
        ("if a:\n    b = c", {"if a: -> if True:", "if a: -> if False:"}),
        ("def f():\n    return a", {"return a -> return None"}),
    ],
)
def test_each_kind_of_fault_is_planted(source: str, expected: set[str]) -> None:
    """Comparisons, bounds, conditions, terms, constants, statements and results are all changed."""
    assert expected <= set(mutations(source))


@pytest.mark.parametrize(
    "source",
    [
        '"""For people."""',
        "import a",
        "from a import b",
        "a: int = b",
        "def f(a: Literal['x'] = b) -> Literal['y']: ...",
        "@cache(size=5)\ndef f():\n    a = b",
        "class C(Struct, frozen=True):\n    a: int",
        "a = f'{b} of 5'",
        "a = 'some words for people'",
        "assert a == b",
        "a = None",
    ],
)
def test_what_no_test_could_see_is_left_alone(source: str) -> None:
    """Documentation, types, names and words for people change nothing that a test is about."""
    assert [told for told in mutations(source) if told != "... -> pass"] == []


def test_mutant_is_the_module_with_one_change() -> None:
    """Each parses, differs from the source and from every other mutant, and leaves the rest."""
    source = "def f(a, b):\n    if a < b and (not a):\n        return a + 1\n    return max(a, b)\n"

    sources = [mutant.source for mutant in mutants_of(source)]

    assert len(set(sources)) == len(sources) > 10
    assert source.strip() not in sources
    for mutated in sources:
        ast.parse(mutated)
        changed = set(mutated.splitlines()) ^ set(source.splitlines())
        assert len(changed) <= 2


def test_mutant_names_its_function_and_keeps_its_name_when_lines_move() -> None:
    """What is accepted today is found again after an edit elsewhere."""
    method = "class C:\n    def m(self):\n        return a == b\n"
    moved = f"x = y\n\n\n{method}"

    assert [(m.function, m.mutation) for m in mutants_of(method)] == [
        ("C.m", "return a == b -> return None"),
        ("C.m", "return a == b -> return a != b"),
    ]
    assert {(m.function, m.mutation) for m in mutants_of(method)} <= {
        (m.function, m.mutation) for m in mutants_of(moved)
    }


def test_two_mutants_are_never_told_alike() -> None:
    """The second of two changes that read the same says so."""
    source = "def f():\n    g(a == b)\n    g(a == b)\n"

    told = mutations(source)

    assert "g(a == b) -> g(a != b) (#2)" in told
    assert len(set(told)) == len(told)


def test_long_code_is_told_by_what_stands_around_the_change() -> None:
    """A change in a long expression fits a line."""
    source = "x = [" + ", ".join(f"value_{number}" for number in range(50)) + ", a == b]"

    (told,) = mutations(source)

    assert "a == b] ->" in told
    assert len(told) < 150


def test_own_tests_run_first_and_the_laws_last() -> None:
    """A module's own tests kill most of its mutants; the laws are tried on what is left."""
    own, others = ([path.rpartition("/")[2] for path in tests] for tests in reaching_tests("judge"))

    assert own == ["test_judge.py"]
    assert others[-1] == "test_laws.py"
    assert "test_inflate.py" not in others


def test_modules_in_folders_are_reached() -> None:
    """The reader of log files is of the core, and has tests of its own."""
    own, others = reaching_tests("log_files.reader")

    assert "log_files/test_reader.py" in [path.rpartition("/core/")[2] for path in own]
    assert all("/core/log_files/test_reader" in path for path in own)
    assert len(others) > 5


def test_accepted_survivors_have_reasons() -> None:
    """The kept list can be read, and says of each why no test can see it."""
    accepted = read_accepted(ACCEPTED.read_text())

    assert all(len(reason.split()) >= 3 for reason in accepted.values())


def test_table_counts_by_module_and_in_all() -> None:
    """One line a module, and one for all."""
    fates = {
        Name("judge", "f", "1"): Fate.KILLED,
        Name("judge", "f", "2"): Fate.SURVIVED,
        Name("score", "f", "1"): Fate.KILLED,
    }

    rows = [line.split() for line in table(fates).splitlines()]

    assert rows == [
        ["module", "killed", "accepted", "survived"],
        ["judge", "1", "0", "1"],
        ["score", "1", "0", "0"],
        ["all", "2", "0", "1"],
    ]
