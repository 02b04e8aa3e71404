"""The one question that finds the tracker, and its answer (01 sections 3.3 and 3.4)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from gateway.asn1.errors import DecodeError
from gateway.asn1.reader import SequenceReader
from gateway.asn1.writer import SequenceWriter
from gateway.model.kinds import ClientCategory
from gateway.wire.channel import KEY_MAX
from gateway.wire.digest import fnv1a

VERSION = 1
REQUEST_MIN, REQUEST_MAX = 3, 1024
ANSWER_MAX = 22
SERVICE_QUERY = 5
_SUCCESS, _FAILURE = 1, 2
_NAME_MAX = 256

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class BalancerRequest:
    """Where is the tracker of this service uid, or of this key of a client category?

    `server_name` is the server part of the URI in lower case, None when it is an address.
    """

    server_name: str | None
    service_uid: bytes | None = None
    category: ClientCategory | None = None
    key: str | None = None

    def encode(self) -> bytes:
        """Return the request octets, to be followed by a half-close."""
        writer = SequenceWriter()
        if self.server_name is not None:
            writer.utf8(self.server_name, 1)
        if self.service_uid is not None:
            query = SERVICE_QUERY
            writer.octets(self.service_uid)
        elif self.category is not None and self.key is not None:
            query = int(self.category)
            writer.printable(self.key)
        else:
            raise ValueError("a request names a service uid or a client key")
        return bytes((VERSION, query)) + writer.encode()

    @classmethod
    def decode(cls, data: bytes) -> BalancerRequest:
        """Read a request whose version was checked; raise DecodeError otherwise.

        The length of the key is not checked here: it has an error code of its own.
        """
        if len(data) < REQUEST_MIN:
            raise DecodeError("request too short")
        query = data[1]
        if not 1 <= query <= SERVICE_QUERY:
            raise DecodeError(f"query type {query} does not exist")
        reader = SequenceReader.root(data[2:])
        name = reader.utf8(0, _NAME_MAX) if reader.has(1) else None
        if query == SERVICE_QUERY:
            uid = reader.octets(16, 16)
            reader.end()
            return cls(name, service_uid=uid)
        key = reader.printable(0, 4 * KEY_MAX)
        reader.end()
        return cls(name, category=ClientCategory(query), key=key)


@dataclass(frozen=True, slots=True)
class BalancerAnswer:
    """An address or an error code, never both."""

    address: IpAddress | None = None
    error_code: int = 0

    def encode(self, request: bytes) -> bytes:
        """Return the answer octets with the check over the request."""
        if self.address is not None:
            body = bytes((_SUCCESS, self.address.version)) + self.address.packed
        else:
            body = bytes((_FAILURE,)) + self.error_code.to_bytes(2, "big")
        return fnv1a(fnv1a(request) + body) + body

    @classmethod
    def decode(cls, data: bytes, request: bytes, family: int) -> BalancerAnswer:
        """Check and read an answer that came over IP version `family`; raise DecodeError."""
        if len(data) < 7 or len(data) > ANSWER_MAX:
            raise DecodeError("the answer of the balancer has a wrong size")
        body = data[4:]
        if fnv1a(fnv1a(request) + body) != data[:4]:
            raise DecodeError("the answer of the balancer does not fit the question")
        if body[0] == _FAILURE and len(body) == 3:
            return cls(error_code=int.from_bytes(body[1:], "big"))
        if body[0] == _SUCCESS and body[1] == family and len(body) == (6 if family == 4 else 18):
            return cls(address=ipaddress.ip_address(body[2:]))
        raise DecodeError("the answer of the balancer is malformed")
