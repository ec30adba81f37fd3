"""Submits a CloudTrail log file, if one is given, and lists what is open and likely.

With the generated stubs alone. AMIGUARD_SERVER is the server's address, AMIGUARD_CA a PEM file with
the authority of its certificate (a plain-text connection where unset), AMIGUARD_TOKEN a token.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from amiguard.v1.finding_pb2 import Finding
from amiguard.v1.finding_service_pb2 import GetFindingsRequest
from amiguard.v1.finding_service_pb2_grpc import FindingServiceStub
from amiguard.v1.ingest_service_pb2 import BatchAck, EventBatch, SubmitBatchRequest
from amiguard.v1.ingest_service_pb2_grpc import IngestServiceStub

TIMEOUT_SECONDS = 30


def open_channel() -> grpc.Channel:
    """Connects to the server that the environment names."""
    server = os.environ.get("AMIGUARD_SERVER", "127.0.0.1:7443")
    authority = os.environ.get("AMIGUARD_CA")
    if not authority:
        # Plain text is for this machine alone, so a proxy of the environment must not get it.
        return grpc.insecure_channel(server, options=(("grpc.enable_http_proxy", 0),))
    return grpc.secure_channel(server, grpc.ssl_channel_credentials(Path(authority).read_bytes()))


def metadata() -> tuple[tuple[str, str], ...]:
    """Returns what goes along on each call."""
    token = os.environ.get("AMIGUARD_TOKEN")
    return (("authorization", f"Bearer {token}"),) if token else ()


def submit(channel: grpc.Channel, log_file: Path) -> BatchAck:
    """Submits a log file as AWS delivered it; returns once it is durable."""
    batch = EventBatch(log_file=log_file.read_bytes())
    request = SubmitBatchRequest(source="example-python", batch=batch)
    stub = IngestServiceStub(channel)
    return stub.SubmitBatch(request, timeout=TIMEOUT_SECONDS, metadata=metadata()).ack


def findings(channel: grpc.Channel, wanted: str) -> Iterator[Finding]:
    """Yields the findings a filter lets through, page by page."""
    stub = FindingServiceStub(channel)
    request = GetFindingsRequest(filter=wanted, order_by="likelihood_score desc")
    while True:
        page = stub.GetFindings(request, timeout=TIMEOUT_SECONDS, metadata=metadata())
        yield from page.findings
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def reason_of(error: grpc.RpcError) -> str:
    """Returns the cause as the contract names it, such as FILTER_SYNTAX, else gRPC's own code."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info.reason
    return str(error.code().name)


def main() -> int:
    """Runs the example and returns the exit code."""
    with open_channel() as channel:
        try:
            for name in sys.argv[1:]:
                ack = submit(channel, Path(name))
                print(f"accepted {ack.accepted_count}, rejected {ack.rejected_count}: {name}")
            for finding in findings(channel, "state = OPEN AND likelihood = HIGH"):
                patterns = ", ".join(finding.search.name_patterns)
                print(f"{finding.name} {finding.likelihood_score} {patterns}")
        except grpc.RpcError as error:
            print(f"{reason_of(error)}: {error.details()}", file=sys.stderr)
            return 1
        except OSError as error:
            print(f"{error.filename}: {error.strerror}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
