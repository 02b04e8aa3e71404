"""What a transaction did: handed to subscribers after the commit, in commit order."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """Base of all changes; subscribers skip the classes they do not know."""


@dataclass(frozen=True, slots=True)
class SiteChange(Change):
    """Base of what happened on or below one site."""

    site_id: int


class SiteAdded(SiteChange):
    """A site was created."""

    __slots__ = ()


class SiteChanged(SiteChange):
    """The snapshot of the site may differ from the one before."""

    __slots__ = ()


class SiteRestartRequired(SiteChange):
    """Every endpoint of the site must be judged anew (error 245; 04 section 7)."""

    __slots__ = ()


class SiteDeleted(SiteChange):
    """The site is gone with its services and clients."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class ServiceChange(SiteChange):
    """Base of what happened to one service."""

    service_id: int


class ServiceAdded(ServiceChange):
    """A service was created."""

    __slots__ = ()


class ServiceCredentialsChanged(ServiceChange):
    """The service has a new password; the old one is void."""

    __slots__ = ()


class ServiceDeleted(ServiceChange):
    """The service is gone."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class ServicePingPeriodChanged(ServiceChange):
    """Management set another ping period; 0 is the endpoint's own value."""

    seconds: int


@dataclass(frozen=True, slots=True)
class ClientChange(SiteChange):
    """Base of what happened to one client."""

    client_id: int


class ClientAdded(ClientChange):
    """A client was created."""

    __slots__ = ()


class ClientDescribed(ClientChange):
    """The client program said something new about itself; no endpoint is touched."""

    __slots__ = ()


class ClientCredentialsChanged(ClientChange):
    """The client has a new password; the old one is void."""

    __slots__ = ()


class ClientDeleted(ClientChange):
    """The client is gone."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class ClientPingPeriodChanged(ClientChange):
    """Management set another ping period; 0 is the endpoint's own value."""

    seconds: int


@dataclass(frozen=True, slots=True)
class DomainChanged(Change):
    """A domain was created or renamed, or its list of users changed."""

    domain_id: int


@dataclass(frozen=True, slots=True)
class DomainDeleted(Change):
    """A domain is gone; a SiteDeleted for each of its sites comes with it."""

    domain_id: int


@dataclass(frozen=True, slots=True)
class UserDeleted(Change):
    """A user of a domain is gone; a ClientDeleted for each of its clients comes with it."""

    domain_id: int
    user_id: int


@dataclass(frozen=True, slots=True)
class DeviceChanged(Change):
    """A device was sighted, adopted, renamed or set free."""

    device_id: int


@dataclass(frozen=True, slots=True)
class DeviceDeleted(Change):
    """A device row is gone."""

    device_id: int


@dataclass(frozen=True, slots=True)
class OwnerChanged(Change):
    """An account was created, changed, locked or deleted."""

    owner_id: int


@dataclass(frozen=True, slots=True)
class SettingChanged(Change):
    """A named value was set."""

    name: str


@dataclass(frozen=True, slots=True)
class AuditAppended(Change):
    """A row was added to the audit chain."""

    id: int


@dataclass(frozen=True, slots=True)
class ContactsChanged(Change):
    """Contacts of an account, its contact invitations, or what is shared with it, changed."""

    owner_id: int


@dataclass(frozen=True, slots=True)
class InvitationsChanged(Change):
    """Registration invitations, or requests for an account, changed; `id` is the last one."""

    id: int


@dataclass(frozen=True, slots=True)
class OutboxChanged(Change):
    """A letter was put into the outbox, sent, given up or handed over."""

    id: int
