"""The README names what there is."""

from __future__ import annotations

import re
import runpy
import tomllib
from typing import Any

import yaml

from ansible_eda.tests.environment import COLLECTION, ROOT
from ansible_eda.tests.test_source import SOURCE

README = (COLLECTION / "README.md").read_text(encoding="utf-8")
RULEBOOK = (COLLECTION / "extensions/eda/rulebooks/triage.yml").read_text(encoding="utf-8")


def table(title: str) -> set[str]:
    """Returns what the first column of a table names."""
    rows = README.partition(f"| {title} |")[2].partition("\n\n")[0].splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def test_every_variable_of_the_rulebook_is_explained() -> None:
    """What the rulebook reads is in the table, what is not is not, and the example uses them."""
    read = set(re.findall(r"\{\{ ((?:amiguard|triage|drools)_\w+)", RULEBOOK))
    (example,) = re.findall(r"`vars.yml`:\n\n```yaml\n(.*?)```", README, re.DOTALL)

    assert table("variable") == read
    assert set(yaml.safe_load(example)) <= read


def test_every_argument_of_the_source_is_explained() -> None:
    """The table, the documentation and what is accepted are one list."""
    source = runpy.run_path(str(SOURCE))
    documented: dict[str, Any] = yaml.safe_load(source["DOCUMENTATION"])["options"]

    assert table("argument") == documented.keys()
    assert documented.keys() | {"eda_feedback_queue"} == source["_EXPECTED"].keys()


def test_every_part_is_explained() -> None:
    """The table of modules names the parts that there are."""
    parts = {path.stem for path in (COLLECTION / "plugins/modules").glob("*.py")}
    parts |= {path.stem for path in (COLLECTION / "plugins/filter").glob("*.py")}
    parts |= {path.name for path in (COLLECTION / "roles").iterdir()}

    assert table("name") == parts


def test_the_collection_has_the_version_of_the_project() -> None:
    """One release is of both."""
    galaxy = yaml.safe_load((COLLECTION / "galaxy.yml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert galaxy["version"] == project["version"]
    assert f"amiguard-eda-{galaxy['version']}.tar.gz" in README
