"""The proxy's control connections and the header of relayed streams (02 sections 6, 8 and 10).

A proxy frame is a length prefix, one octet of message type and mostly one SEQUENCE. Types differ
between the TCP and the UDP rendezvous; so there are two tables.
"""

from __future__ import annotations

import enum
import ipaddress
from dataclasses import dataclass
from typing import Annotated, Any, Self

from gateway.asn1.errors import DecodeError
from gateway.asn1.reader import SequenceReader
from gateway.asn1.writer import SequenceWriter
from gateway.model.kinds import EndpointType
from gateway.wire.fields import Hash, Int32, Octets, Uid
from gateway.wire.framing import frame
from gateway.wire.message import Message

DATA_HEADER_SIZE = 17
"""Role octet and connection uid that open a relayed stream (02 section 8.1)."""

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
PeerKey = Annotated[bytes, Octets(4)]
PublicEndpoint = Annotated[bytes, Octets(6, 18)]
PrivateEndpoint = Annotated[bytes, Octets(6)]


class ProxyRole(enum.IntEnum):
    """The first octet of the data header."""

    CLIENT = 1
    SERVICE = 2

    @property
    def other(self) -> ProxyRole:
        """Return the role at the other end."""
        return ProxyRole.SERVICE if self is ProxyRole.CLIENT else ProxyRole.CLIENT

    @classmethod
    def of(cls, kind: EndpointType) -> ProxyRole:
        """Return the role that an endpoint plays at the proxy."""
        return cls.SERVICE if kind is EndpointType.SERVICE else cls.CLIENT


@dataclass(frozen=True, slots=True)
class _Direct(Message):
    connection_uid: Uid
    local_endpoint: bytes | None = None

    def body(self) -> bytes:
        """Return the uid and, over IPv4, the local endpoint."""
        writer = SequenceWriter().octets(self.connection_uid)
        if self.local_endpoint is not None:
            writer.octets(self.local_endpoint)
        return writer.encode()

    @classmethod
    def from_body(cls, body: bytes, **_fixed: Any) -> Self:
        """Read the uid and the local endpoint where there is one."""
        reader = SequenceReader.root(body)
        uid = reader.octets(16, 16)
        local = reader.octets(6, 6) if reader.more else None
        reader.end()
        return cls(uid, local)


@dataclass(frozen=True, slots=True)
class ClientP2P(_Direct):
    """Client to proxy: I am here and would go direct."""


@dataclass(frozen=True, slots=True)
class ServiceP2P(_Direct):
    """Service to proxy: I am here and would go direct."""


@dataclass(frozen=True, slots=True)
class ClientProxy(Message):
    """Client to proxy: I am here, relay."""

    connection_uid: Uid


@dataclass(frozen=True, slots=True)
class ServiceProxy(Message):
    """Service to proxy: I am here, relay."""

    connection_uid: Uid


@dataclass(frozen=True, slots=True)
class ProxyAuthHash(Message):
    """Endpoint to proxy: the tracker vouches for me."""

    auth_hash: Hash
    auth_key2: Hash


@dataclass(frozen=True, slots=True)
class P2PFailed(Message):
    """Service to proxy: direct did not work."""


@dataclass(frozen=True, slots=True)
class ProxyError(Message):
    """Proxy to endpoint: not authenticated."""


@dataclass(frozen=True, slots=True)
class ProxyAuthKey(Message):
    """Proxy to endpoint of a TCP connection: let the tracker hash this."""

    auth_key: Hash


@dataclass(frozen=True, slots=True)
class CreateP2PConnection(Message):
    """Proxy to endpoint: try this address; send the first key, expect the second."""

    remote_public: PublicEndpoint
    secret_key: PeerKey
    remote_secret_key: PeerKey


@dataclass(frozen=True, slots=True)
class CreateP2PConnectionInDualMode(Message):
    """Proxy to endpoint: try both addresses of the peer."""

    remote_public: PrivateEndpoint
    secret_key: PeerKey
    remote_secret_key: PeerKey
    remote_private: PrivateEndpoint


@dataclass(frozen=True, slots=True)
class CreateProxyConnection(Message):
    """Proxy to endpoint: meet on this port of mine."""

    server_port: Annotated[int, Int32(1, 65535)]


@dataclass(frozen=True, slots=True)
class ClientEndpointHello(Message):
    """Client to proxy: a UDP connection begins."""

    connection_uid: Uid


@dataclass(frozen=True, slots=True)
class ServiceEndpointHello(Message):
    """Service to proxy: a UDP connection begins."""

    connection_uid: Uid


@dataclass(frozen=True, slots=True)
class CreateUdpProxyConnection(Message):
    """Service to proxy: relay the datagrams."""


@dataclass(frozen=True, slots=True)
class UdpAuthKey(Message):
    """Proxy to endpoint of a UDP connection: hash this; this is your name in datagrams."""

    auth_key: Hash
    endpoint_uid: Uid


@dataclass(frozen=True, slots=True)
class CreateUdpP2P(Message):
    """Proxy to endpoint: punch to this address."""

    remote_public: PublicEndpoint
    remote_endpoint_uid: Uid


@dataclass(frozen=True, slots=True)
class CreateUdpP2PInDualMode(Message):
    """Proxy to endpoint: punch to both addresses."""

    remote_public: PrivateEndpoint
    remote_private: PrivateEndpoint
    remote_endpoint_uid: Uid


@dataclass(frozen=True, slots=True)
class UdpProxyConnectionCreated(Message):
    """Proxy to endpoint: datagrams go through me."""


@dataclass(frozen=True, slots=True)
class P2PHolePunched(Message):
    """Service to client through the proxy: your public punch arrived."""


@dataclass(frozen=True, slots=True)
class P2PLocalHolePunched(Message):
    """Service to client through the proxy: your local punch arrived."""


@dataclass(frozen=True, slots=True)
class P2PConnectionCreated(Message):
    """Client to service through the proxy: we have a path."""


TCP_TYPES: dict[int, type[Message]] = {
    1: ClientP2P,
    2: ServiceP2P,
    3: ClientProxy,
    4: ServiceProxy,
    5: ProxyAuthHash,
    6: P2PFailed,
    10: ProxyError,
    11: ProxyAuthKey,
    12: CreateP2PConnection,
    13: CreateP2PConnectionInDualMode,
    14: CreateProxyConnection,
}
UDP_TYPES: dict[int, type[Message]] = {
    1: ClientEndpointHello,
    2: ServiceEndpointHello,
    3: ProxyAuthHash,
    4: CreateUdpProxyConnection,
    10: ProxyError,
    11: UdpAuthKey,
    12: CreateUdpP2P,
    13: CreateUdpP2PInDualMode,
    14: UdpProxyConnectionCreated,
    21: P2PHolePunched,
    22: P2PLocalHolePunched,
    23: P2PConnectionCreated,
}


def encode_control(types: dict[int, type[Message]], message: Message) -> bytes:
    """Return the whole proxy frame of a message in one of the two tables."""
    number = next(number for number, kind in types.items() if kind is type(message))
    return frame(bytes((number,)) + message.body())


def decode_control(types: dict[int, type[Message]], payload: bytes) -> Message:
    """Return the message of a proxy payload; raise DecodeError."""
    kind = types.get(payload[0])
    if kind is None:
        raise DecodeError(f"no proxy message {payload[0]}")
    return kind.from_body(payload[1:])


def data_header(role: ProxyRole, connection_uid: bytes) -> bytes:
    """Return the 17 octets that open a relayed stream, or their complement."""
    return bytes((role,)) + connection_uid


def pack_public(address: IpAddress, port: int) -> bytes:
    """Return address and port as the proxy tells them."""
    return address.packed + port.to_bytes(2, "big")


def pack_private(address: ipaddress.IPv4Address, port: int) -> bytes:
    """Return address and port with all address bits inverted (02 section 6.1)."""
    return bytes(octet ^ 0xFF for octet in address.packed) + port.to_bytes(2, "big")


def unpack_public(data: bytes) -> tuple[IpAddress, int]:
    """Return the address and port of 6 or 18 octets."""
    if len(data) not in (6, 18):
        raise DecodeError("an endpoint has 6 or 18 octets")
    return ipaddress.ip_address(data[:-2]), int.from_bytes(data[-2:], "big")


def unpack_private(data: bytes) -> tuple[ipaddress.IPv4Address, int]:
    """Return the address and port of 6 octets with inverted address bits."""
    plain = bytes(octet ^ 0xFF for octet in data[:4])
    return ipaddress.IPv4Address(plain), int.from_bytes(data[4:6], "big")
