"""Finds searches and launches in log files with DuckDB.

`python -m tests.bench.duckdb_hunt QUERY DIR` prints how many records there are that hunt calls
searches and launches. QUERY is one of QUERIES.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import duckdb

THREADS: Final = 2

# What hunt reads of a record, and no field more.
_RECORD: Final = """STRUCT(eventSource VARCHAR, eventName VARCHAR, eventTime VARCHAR,
 awsRegion VARCHAR, eventID VARCHAR, userAgent VARCHAR, sourceIPAddress VARCHAR, errorCode VARCHAR,
 userIdentity STRUCT(arn VARCHAR, accountId VARCHAR, sessionContext STRUCT(
   sessionIssuer STRUCT(arn VARCHAR))), requestParameters {parameters},
 responseElements {response})"""
_AS_JSON: Final = _RECORD.format(parameters="JSON", response="JSON")
_TYPED: Final = _RECORD.format(
    parameters="""STRUCT(filterSet STRUCT(items STRUCT(name VARCHAR, valueSet STRUCT(
 items STRUCT(value VARCHAR)[]))[]), ownersSet STRUCT(items STRUCT("owner" VARCHAR)[]),
 imagesSet STRUCT(items STRUCT(imageId VARCHAR)[]),
 instancesSet STRUCT(items STRUCT(imageId VARCHAR)[]))""",
    response="STRUCT(instancesSet STRUCT(items STRUCT(imageId VARCHAR, instanceId VARCHAR)[]))",
)
_WANTED: Final = """record.eventSource = 'ec2.amazonaws.com' AND record.errorCode IS NULL
 AND record.eventName IN ('DescribeImages', 'RunInstances')"""
_READ: Final = (
    "read_json('{glob}', columns={{Records: '{record}[]'}}, {more}maximum_object_size=4194304)"
)
_COUNT: Final = "SELECT count(*), count(record::VARCHAR) FROM found"
_UNNEST: Final = (
    "WITH found AS MATERIALIZED (SELECT record FROM (SELECT unnest(Records) AS record FROM "  # noqa: S608 - of constants alone
    + _READ
    + ") WHERE "
    + _WANTED
    + ") "
    + _COUNT
)
_FILTER: Final = (
    "WITH found AS MATERIALIZED (SELECT unnest(list_filter(Records, lambda record: "  # noqa: S608 - of constants alone
    + _WANTED
    + ")) AS record FROM "
    + _READ
    + ") "
    + _COUNT
)

QUERIES: Final = {
    "json": (_UNNEST, _AS_JSON, ""),
    "json-newline": (_UNNEST, _AS_JSON, "format='newline_delimited', "),
    "typed": (_UNNEST, _TYPED, ""),
    "typed-newline": (_UNNEST, _TYPED, "format='newline_delimited', "),
    "filter": (_FILTER, _AS_JSON, ""),
}
"""Ways to ask: what is parsed at once, in which format, and where the filter stands."""


def count(query: str, directory: Path) -> int:
    """Returns how many searches and launches there are."""
    statement, record, more = QUERIES[query]
    with duckdb.connect(config={"threads": THREADS}) as connection:
        row = connection.execute(
            statement.format(glob=f"{directory}/**/*.json.gz", record=record, more=more)
        ).fetchone()
    assert row is not None
    return int(row[0])


if __name__ == "__main__":
    print(count(sys.argv[1], Path(sys.argv[2])))
