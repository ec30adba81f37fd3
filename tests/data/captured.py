"""What EC2 clients really send, and the records CloudTrail would write of it.

The requests come over the wire from real clients; their parameters are read here without the
builders of `records`, so that comparing the two keeps the builders honest.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from tests.data.identities import Identity
from tests.data.instances import Started, instance
from tests.data.records import EC2, ApiError, Caller, record
from tests.data.shapes import Json, Record, derived_id, derived_uuid

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

SOURCE_IP: Final = "127.0.0.1"

_CREDENTIAL = re.compile(r"Credential=[^/]+/\d{8}/(?P<region>[^/]+)/ec2/aws4_request")
_PROTOCOL_PARAMETERS: Final = frozenset({"Action", "Version"})


@dataclass(frozen=True, slots=True)
class CapturedRequest:
    """One request of the EC2 Query API, and what was answered."""

    user_agent: str
    authorization: str
    sent_at: datetime
    invocation_id: str
    body: bytes
    answer: str

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of the request, as on the wire: `Filter.1.Value.2`."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def region(self) -> str:
        """The region that the request was signed for."""
        found = _CREDENTIAL.search(self.authorization)
        if found is None:
            message = f"not signed for EC2: {self.authorization!r}"
            raise ValueError(message)
        return found["region"]

    def caller(self, identity: Identity) -> Caller:
        """Returns what a record of the request says besides its parameters and its answer."""
        return {
            "at": self.sent_at,
            "identity": identity,
            "region": self.region,
            "user_agent": self.user_agent,
            "source_ip": SOURCE_IP,
            "request_id": self.invocation_id,
            "event_id": derived_uuid("captured", self.invocation_id),
        }


class Recorder:
    """A WSGI application that keeps every signed request to the one behind it."""

    def __init__(self, application: "WSGIApplication") -> None:
        """Puts the recorder before the application."""
        self.requests: list[CapturedRequest] = []
        self._application = application

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answers as the application does."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        answer = b"".join(self._application(environ, start_response))
        if "HTTP_AUTHORIZATION" in environ:
            written = environ["HTTP_X_AMZ_DATE"].removesuffix("Z")
            self.requests.append(
                CapturedRequest(
                    user_agent=environ["HTTP_USER_AGENT"],
                    authorization=environ["HTTP_AUTHORIZATION"],
                    sent_at=datetime.fromisoformat(written).replace(tzinfo=UTC),
                    invocation_id=environ["HTTP_AMZ_SDK_INVOCATION_ID"],
                    body=body,
                    answer=answer.decode(),
                )
            )
        return [answer]


def records_from_requests(
    requests: Iterable[CapturedRequest], *, identity: Identity
) -> list[Record]:
    """Returns the CloudTrail records of the requests, had `identity` made them.

    Raises ValueError for a parameter that it does not know, so that none is lost in silence.
    """
    return [_record(request, identity) for request in requests]


def _record(request: CapturedRequest, identity: Identity) -> Record:
    wire = request.parameters
    action = wire["Action"]
    error = _error(request.answer)
    if action == "DescribeImages":
        parameters = _search_parameters(wire)
        return record(EC2, action, parameters=parameters, error=error, **request.caller(identity))
    if action == "RunInstances":
        return record(
            EC2,
            action,
            parameters=_launch_parameters(wire),
            response=_launch_response(request, identity),
            read_only=False,
            error=error,
            **request.caller(identity),
        )
    message = f"no record is known for {action!r}"
    raise ValueError(message)


def _search_parameters(wire: Mapping[str, str]) -> Json:
    known = {"ExecutableBy", "ImageId", "Owner", "Filter"}
    flags = {"IncludeDeprecated", "IncludeDisabled", "DryRun"}
    _refuse_others(wire, known | flags | {"MaxResults", "NextToken"})
    filters = [
        {"name": members["Name"], "valueSet": _set("value", _values(members, "Value"))}
        for members in _structures(wire, "Filter")
    ]
    parameters: Json = {
        "executableBySet": _set("user", _values(wire, "ExecutableBy")),
        "imagesSet": _set("imageId", _values(wire, "ImageId")),
        "ownersSet": _set("owner", _values(wire, "Owner")),
        "filterSet": {"items": filters} if filters else {},
    }
    parameters |= {_camel(name): wire[name] == "true" for name in sorted(flags & wire.keys())}
    if "MaxResults" in wire:
        parameters["maxResults"] = int(wire["MaxResults"])
    if "NextToken" in wire:
        parameters["nextToken"] = wire["NextToken"]
    return parameters


def _launch_parameters(wire: Mapping[str, str]) -> Json:
    asked = ("ImageId", "MinCount", "MaxCount", "KeyName")
    _refuse_others(wire, {*asked, "InstanceType", "ClientToken"})
    written: Json = {_camel(name): wire[name] for name in asked if name in wire}
    for count in ("minCount", "maxCount"):
        written[count] = int(written[count])
    return {
        "instancesSet": {"items": [written]},
        "instanceType": wire["InstanceType"],
        "blockDeviceMapping": {},
        "monitoring": {"enabled": False},
        "disableApiTermination": False,
        "disableApiStop": False,
        "clientToken": wire["ClientToken"],
    }


def _launch_response(request: CapturedRequest, identity: Identity) -> Json:
    wire = request.parameters
    started = zip(
        re.findall(r"<instanceId>(i-[0-9a-f]+)</instanceId>", request.answer),
        re.findall(r"<imageId>(ami-[0-9a-f]+)</imageId>", request.answer),
        strict=True,
    )
    return {
        "requestId": request.invocation_id,
        "reservationId": derived_id("r", request.invocation_id),
        "ownerId": identity["accountId"],
        "groupSet": {},
        "instancesSet": {
            "items": [
                instance(
                    Started(
                        instance_id=instance_id,
                        image_id=image_id,
                        instance_type=wire["InstanceType"],
                        account=identity["accountId"],
                        region=request.region,
                        at=request.sent_at,
                        client_token=wire["ClientToken"],
                        tags={},
                        number=number,
                    )
                )
                for number, (instance_id, image_id) in enumerate(started)
            ]
        },
    }


def _error(answer: str) -> ApiError | None:
    found = re.search(r"<Code>(.+?)</Code>\s*<Message>(.*?)</Message>", answer, re.DOTALL)
    # The API's codes have no prefix; CloudTrail says whose fault the error was.
    return found and ApiError(f"Client.{found[1]}", found[2])


def _values(wire: Mapping[str, str], name: str) -> list[str]:
    numbered = re.compile(rf"{name}\.(\d+)")
    found = ((numbered.fullmatch(key), value) for key, value in wire.items())
    return [value for _, value in sorted((int(match[1]), v) for match, v in found if match)]


def _structures(wire: Mapping[str, str], name: str) -> list[dict[str, str]]:
    numbered: dict[int, dict[str, str]] = defaultdict(dict)
    for key, value in wire.items():
        prefix, _, rest = key.partition(".")
        number, _, member = rest.partition(".")
        if prefix == name:
            numbered[int(number)][member] = value
    return [numbered[number] for number in sorted(numbered)]


def _set(member: str, values: list[str]) -> Json:
    return {"items": [{member: value} for value in values]} if values else {}


def _camel(name: str) -> str:
    return name[0].lower() + name[1:]


def _refuse_others(wire: Mapping[str, str], known: set[str]) -> None:
    names = {key.partition(".")[0] for key in wire} - _PROTOCOL_PARAMETERS
    if names - known:
        message = f"parameters without a known place in a record: {sorted(names - known)}"
        raise ValueError(message)
