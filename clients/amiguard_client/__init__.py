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
    from amiguard_client.tuning import (
        AuditBrokenError,
        TuningClient,
        described_images,
        verify_audit,
    )
    from amiguard_client.tuning_values import (
        AllowlistEntry,
        Audit,
        CorrelateBy,
        KnownImage,
        Mode,
        RuleConfig,
        TuningChange,
        TuningDifference,
        TuningPreview,
        TuningProgress,
    )
    from amiguard_client.values import (
        Disposition,
        EventReference,
        Finding,
        FindingChanges,
        FindingHistoryEntry,
        ImageSearch,
        Likelihood,
        Occurrence,
        PinnedTemplate,
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
    "tuning": ("AuditBrokenError", "TuningClient", "described_images", "verify_audit"),
    "tuning_values": (
        "AllowlistEntry",
        "Audit",
        "CorrelateBy",
        "KnownImage",
        "Mode",
        "RuleConfig",
        "TuningChange",
        "TuningDifference",
        "TuningPreview",
        "TuningProgress",
    ),
    "values": (
        "Disposition",
        "EventReference",
        "Finding",
        "FindingChanges",
        "FindingHistoryEntry",
        "ImageSearch",
        "Likelihood",
        "Occurrence",
        "PinnedTemplate",
        "Remediation",
        "ScoreStep",
        "SearchFilter",
        "State",
    ),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "AllowlistEntry",
    "AmiguardError",
    "Audit",
    "AuditBrokenError",
    "BatchResult",
    "Client",
    "ClientCertificate",
    "ConflictError",
    "CorrelateBy",
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
    "KnownImage",
    "LatenessBucket",
    "Likelihood",
    "LogFile",
    "LogStream",
    "Mode",
    "NotFoundError",
    "Occurrence",
    "OverloadedError",
    "PermissionDeniedError",
    "PinnedTemplate",
    "RecordRejection",
    "Records",
    "RegionCoverage",
    "Remediation",
    "RetryPolicy",
    "RuleConfig",
    "ScoreStep",
    "SearchFilter",
    "ServerFaultError",
    "Severity",
    "SourceCoverage",
    "State",
    "SubmitSummary",
    "Submittable",
    "Timing",
    "TuningChange",
    "TuningClient",
    "TuningDifference",
    "TuningPreview",
    "TuningProgress",
    "UnauthenticatedError",
    "UnreachableError",
    "connect",
    "described_images",
    "verify_audit",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
