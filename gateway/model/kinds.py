"""Every enumeration shared by the wire, the registry and the pages (01 sections 1.2 and 14)."""

from __future__ import annotations

import enum


class EndpointType(enum.IntEnum):
    """Who speaks on a tracker connection."""

    SERVICE = 1
    CLIENT = 2


class SiteKind(enum.IntEnum):
    """How many services a site may hold."""

    SINGLE_SERVICE = 1
    MULTI_SERVICE = 2


class ClientCategory(enum.IntEnum):
    """The scheme of a client URI; also the balancer's query types 1 to 4."""

    SINGLE_SERVICE = 1
    MULTI_SERVICE = 2
    SINGLE_SERVICE_STATELESS = 3
    MULTI_SERVICE_STATELESS = 4

    @property
    def stateless(self) -> bool:
        """Tell whether clients of this category have no account."""
        return self >= ClientCategory.SINGLE_SERVICE_STATELESS

    @property
    def site_kind(self) -> SiteKind:
        """Return the kind of site that clients of this category belong to."""
        return SiteKind.SINGLE_SERVICE if self in (1, 3) else SiteKind.MULTI_SERVICE


class UserKind(enum.IntEnum):
    """What a user of a domain is; 5 exists only on the wire."""

    OWNER = 1
    PRIVATE = 2
    CONTACT = 3
    GUEST = 4
    STATELESS_GUEST = 5

    @property
    def guest(self) -> bool:
        """Tell whether this is one of the two guests."""
        return self >= UserKind.GUEST


class EventKind(enum.IntEnum):
    """The kinds of events; 3 is unused (01 section 1.2)."""

    REPLACING = 1
    QUEUEING = 2
    PRIVATE = 4


class GuestSupport(enum.IntEnum):
    """Which guests a service type can serve."""

    NONE = 0
    STATEFUL = 1
    STATELESS = 2


class GuestAccess(enum.IntEnum):
    """The guest rule of an event, port or procedure; 0 is no restriction."""

    ALLOWED = 0
    GUEST_DENIED = 1
    STATELESS_GUEST_DENIED = 2


class ServiceStatus(enum.IntEnum):
    """What a service endpoint is told about itself (01 section 14.2)."""

    OFFLINE = 0
    ONLINE = 1
    DISABLED = 2
    SITE_DISABLED = 3
    OWNER_DISABLED = 4
    SITE_STRUCTURE_MISMATCH = 5
    SERVICE_TYPE_CONFLICT = 6
    SITE_BLANK = 7


class ClientStatus(enum.IntEnum):
    """What a client endpoint is told about itself (01 section 14.3)."""

    OFFLINE = 0
    ONLINE = 1
    ACCESS_DENIED = 2
    SITE_DISABLED = 3
    OWNER_DISABLED = 4
    SERVICE_TYPE_CONFLICT = 5
    SITE_BLANK = 6


class Authority(enum.IntEnum):
    """What an account may do on the server (04 section 1)."""

    CONSUMER = 0
    PROVIDER = 1
    ADMINISTRATOR = 2


class ContactStatus(enum.IntEnum):
    """How much of a partnership is left (04 section 4.5)."""

    MUTUAL = 0
    PARTNER_LEFT = 1
    PARTNER_DELETED = 2


class TransportKind(enum.IntEnum):
    """The two brokered transports; the numbers are their components on the wire."""

    TCP = 10
    UDP = 11


class ConnectionMode(enum.StrEnum):
    """How a brokered connection came about."""

    P2P = "direct"
    PROXY = "relayed"
