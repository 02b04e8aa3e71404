"""What the relay announces about the connections that it carries."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.notices import Notice
from gateway.model.kinds import TransportKind


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOpened(Notice):
    """Two ends found each other; `number` and `transport` name the connection in RelayClosed."""

    number: int
    client_address: str
    service_address: str
    transport: TransportKind = TransportKind.TCP


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayClosed(Notice):
    """A relayed connection is over; the octets are those of the application."""

    number: int
    client_address: str
    service_address: str
    octets_to_service: int
    octets_to_client: int
    seconds: float
    reason: str
    """Name of a net.datapath.EndReason, over UDP of a net.datagram.DatagramEndReason."""
    transport: TransportKind = TransportKind.TCP
