"""Whether a server says that it takes calls, by the health protocol of gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amiguard_client.errors import ServerFaultError

if TYPE_CHECKING:
    from amiguard_client.channel import Connection

_CHECK = "/grpc.health.v1.Health/Check"
_ABOUT_ALL = b""
_SERVING = b"\x08\x01"
"""Request and answer as they go over the wire: an empty message, and one whose first field is 1.
The package with their messages would be one more for every host that imports the client."""


def is_serving(connection: Connection) -> bool:
    """Says whether the server takes calls; True where it does not offer to say.

    Raises an UnreachableError where it cannot be asked.
    """
    check = connection.channel.unary_unary(
        _CHECK, request_serializer=bytes, response_deserializer=bytes
    )
    try:
        return connection.call(check, _ABOUT_ALL) == _SERVING
    except ServerFaultError as error:
        if error.code == "UNIMPLEMENTED":
            return True
        raise
