"""The datagrams of the UDP rendezvous: to the proxy and between the two ends (02 section 10.2).

The relay's process imports this too: nothing heavy may be imported here.
"""

from __future__ import annotations

from dataclasses import dataclass

ENDPOINT_INFO = 0x56
HOLE_PUNCH = 0x58
LOCAL_HOLE_PUNCH = 0x59

PUNCH_SIZE = 17
"""Kind and uid; also an ENDPOINT_INFO over IPv6 as the reference proxy expects it."""
INFO_SIZE = 23
"""Kind, uid and the local endpoint; over IPv6 the reference endpoint sends these 23 as well."""


@dataclass(frozen=True, slots=True)
class EndpointInfo:
    """What an endpoint tells the proxy of itself; its observed source is the rest."""

    endpoint_uid: bytes
    local_endpoint: bytes | None
    """Inverted IPv4 address and port, six octets; None over IPv6, whose tail means nothing."""


def endpoint_info(endpoint_uid: bytes, local_endpoint: bytes = b"") -> bytes:
    """Return an ENDPOINT_INFO; `local_endpoint` is that of `rendezvous.pack_private`, or empty."""
    return bytes((ENDPOINT_INFO,)) + endpoint_uid + local_endpoint


def read_endpoint_info(datagram: bytes, *, ipv4: bool) -> EndpointInfo | None:
    """Return what an ENDPOINT_INFO says, None for any other datagram.

    23 octets over IPv4; 17 or 23 over IPv6, because the two reference programs disagree (02 trap
    T6).
    """
    sizes = (INFO_SIZE,) if ipv4 else (PUNCH_SIZE, INFO_SIZE)
    if len(datagram) not in sizes or datagram[0] != ENDPOINT_INFO:
        return None
    return EndpointInfo(datagram[1:PUNCH_SIZE], datagram[PUNCH_SIZE:] if ipv4 else None)


def hole_punch(kind: int, endpoint_uid: bytes) -> bytes:
    """Return a punch of HOLE_PUNCH or LOCAL_HOLE_PUNCH by the sender of that uid."""
    return bytes((kind,)) + endpoint_uid


def read_hole_punch(datagram: bytes, remote_uid: bytes) -> int | None:
    """Return the kind of a punch of the peer named `remote_uid`, None for any other datagram."""
    if len(datagram) != PUNCH_SIZE or datagram[1:] != remote_uid:
        return None
    return datagram[0] if datagram[0] in (HOLE_PUNCH, LOCAL_HOLE_PUNCH) else None
