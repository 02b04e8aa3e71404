"""What the tracker announces."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.notices import Notice
from gateway.model.kinds import ClientStatus, EndpointType, ServiceStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointNotice(Notice):
    """Base of what happened to one endpoint of a site."""

    kind: EndpointType
    id: int
    site_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOnline(EndpointNotice):
    """A service can be reached, or a client may use services."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointParked(EndpointNotice):
    """An endpoint is connected, but not eligible."""

    status: ServiceStatus | ClientStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOffline(EndpointNotice):
    """An installed endpoint is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerMisbehaved(Notice):
    """Somebody at this address broke the rules of the protocol, `times` since the last notice."""

    address: str
    times: int
    reason: str
