"""What is said of databases that may lose what they have committed."""

from __future__ import annotations

import pytest
from sqlalchemy import make_url
from structlog.testing import capture_logs

from amiguard_service import logs
from amiguard_service.coverage_book import CoverageQuery
from amiguard_service.engine import Engine
from amiguard_service.store.durability import fetch_gaps
from amiguard_service.store.engines import Database
from tests.databases import Postgres, durable
from tests.service.running import serving


def with_setting(url: str, setting: str) -> str:
    """Returns the URL of sessions with one more setting."""
    parsed = make_url(durable(url))
    options = {"options": f"{parsed.query['options']} -c {setting}"}
    return parsed.update_query_dict(options).render_as_string(hide_password=False)


@pytest.mark.parametrize(
    ("setting", "gaps"),
    [
        ("synchronous_commit=off", ["synchronous_commit = off"]),
        # Without a standby to wait for it is the same as `on`.
        ("synchronous_commit=local", []),
        ("synchronous_commit=remote_write", []),
    ],
)
def test_setting_of_the_session_counts(postgres: Postgres, setting: str, gaps: list[str]) -> None:
    """Whoever set it: the configuration, the database or the role."""
    database = Database(with_setting(postgres.clear(), setting))

    assert list(database.read(fetch_gaps)) == gaps

    database.close()


def test_operator_is_told_at_the_start_and_by_the_doctor(postgres: Postgres) -> None:
    """The log warns of the settings by name, and so does the diagnosis for as long as they are."""
    engine = Engine.open(with_setting(postgres.clear(), "synchronous_commit=off"))
    with capture_logs() as entries, serving(engine):
        found = engine.coverage.report(CoverageQuery(limit=1))
    engine.close()

    (warning,) = [entry for entry in entries if entry["event"] == logs.STORE_NOT_DURABLE]
    assert (warning["log_level"], warning["settings"]) == ("warning", ["synchronous_commit = off"])
    assert found.diagnoses[0].code == "NOT_DURABLE"
    assert "synchronous_commit = off" in found.diagnoses[0].message


def test_database_in_memory_is_told_of() -> None:
    """All of it is gone at the end, and the operator has been warned."""
    engine = Engine.open("sqlite://")
    with capture_logs() as entries, serving(engine):
        pass
    engine.close()

    (warning,) = [entry for entry in entries if entry["event"] == logs.STORE_NOT_DURABLE]
    assert warning["settings"] == ["ephemeral = true"]


def test_nothing_is_said_of_a_durable_database(database_url: str) -> None:
    """As each database is unless somebody has set it otherwise."""
    database = Database(durable(database_url))

    assert database.read(fetch_gaps) == ()

    database.close()
