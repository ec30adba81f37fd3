"""Client library and command line of amiguard.

Everything below is loaded when it is first used, so that `amiguardctl --help` need not load gRPC.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amiguard_client.channel import ClientCertificate, connect
    from amiguard_client.client import Client
    from amiguard_client.coverage import (
        Coverage,
        Diagnosis,
        LatenessBucket,
        RegionCoverage,
        Severity,
        SourceCoverage,
    )
    from amiguard_client.errors import (
        AmiguardError,
        ConflictError,
        CursorExpiredError,
        FieldViolation,
        InvalidRequestError,
        NotFoundError,
        OverloadedError,
        PermissionDeniedError,
        ServerFaultError,
        UnauthenticatedError,
        UnreachableError,
    )
    from amiguard_client.packing import LogFile, LogStream, Records, Submittable
    from amiguard_client.retry import RetryPolicy, Timing
    from amiguard_client.summary import BatchResult, RecordRejection, SubmitSummary
    from amiguard_client.values import (
        Disposition,
        EventReference,
        Finding,
        FindingChanges,
        FindingHistoryEntry,
        ImageSearch,
        Likelihood,
        Occurrence,
        Remediation,
        ScoreStep,
        SearchFilter,
        State,
    )

_MODULES = {
    "channel": ("ClientCertificate", "connect"),
    "client": ("Client",),
    "coverage": (
        "Coverage",
        "Diagnosis",
        "LatenessBucket",
        "RegionCoverage",
        "Severity",
        "SourceCoverage",
    ),
    "errors": (
        "AmiguardError",
        "ConflictError",
        "CursorExpiredError",
        "FieldViolation",
        "InvalidRequestError",
        "NotFoundError",
        "OverloadedError",
        "PermissionDeniedError",
        "ServerFaultError",
        "UnauthenticatedError",
        "UnreachableError",
    ),
    "packing": ("LogFile", "LogStream", "Records", "Submittable"),
    "retry": ("RetryPolicy", "Timing"),
    "summary": ("BatchResult", "RecordRejection", "SubmitSummary"),
    "values": (
        "Disposition",
        "EventReference",
        "Finding",
        "FindingChanges",
        "FindingHistoryEntry",
        "ImageSearch",
        "Likelihood",
        "Occurrence",
        "Remediation",
        "ScoreStep",
        "SearchFilter",
        "State",
    ),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "AmiguardError",
    "BatchResult",
    "Client",
    "ClientCertificate",
    "ConflictError",
    "Coverage",
    "CursorExpiredError",
    "Diagnosis",
    "Disposition",
    "EventReference",
    "FieldViolation",
    "Finding",
    "FindingChanges",
    "FindingHistoryEntry",
    "ImageSearch",
    "InvalidRequestError",
    "LatenessBucket",
    "Likelihood",
    "LogFile",
    "LogStream",
    "NotFoundError",
    "Occurrence",
    "OverloadedError",
    "PermissionDeniedError",
    "RecordRejection",
    "Records",
    "RegionCoverage",
    "Remediation",
    "RetryPolicy",
    "ScoreStep",
    "SearchFilter",
    "ServerFaultError",
    "Severity",
    "SourceCoverage",
    "State",
    "SubmitSummary",
    "Submittable",
    "Timing",
    "UnauthenticatedError",
    "UnreachableError",
    "connect",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
