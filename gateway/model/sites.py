"""Domains, sites, services and clients as the registry returns them; no credentials in them."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.model.kinds import ContactStatus, GuestSupport, SiteKind, UserKind
from gateway.model.names import uid_text


@dataclass(frozen=True, slots=True)
class Domain:
    """A project of an owner; times are Unix seconds."""

    id: int
    owner_id: int
    name: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Site:
    """A virtual host; the structure's facts are None or empty while it is blank."""

    id: int
    uid: bytes
    domain_id: int
    owner_id: int
    site_key: str
    kind: SiteKind
    description: str
    enabled: bool
    built: bool
    service_type: str | None
    contract_author: str | None
    ss_hash: bytes | None
    guest_support: GuestSupport
    guest_allowed: bool
    role_based: bool
    default_role_id: int | None
    implicit_users: bool
    created_at: int

    @property
    def uid_text(self) -> str:
        """Return the uid as the text 8-4-4-4-12."""
        return uid_text(self.uid)


@dataclass(frozen=True, slots=True)
class Role:
    """A role of a site; `position` is its place in the device's declaration, from 1."""

    id: int
    site_id: int
    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Service:
    """An entity for one device, and what the device last said about itself."""

    id: int
    uid: bytes
    site_id: int
    hostname: str
    enabled: bool
    ping_period: int
    service_type: str | None
    contract_author: str | None
    version: str
    ss_hash: bytes | None
    has_password: bool
    password_set_at: int | None
    created_at: int
    last_seen_at: int | None

    @property
    def uid_text(self) -> str:
        """Return the uid as the text 8-4-4-4-12."""
        return uid_text(self.uid)

    def uri(self, server_address: str) -> str:
        """Return the URI that the device is given (04 section 2.3)."""
        return f"softnet-srv://{self.uid_text}@{server_address}"


@dataclass(frozen=True, slots=True)
class Client:
    """An entity for one client program, and what the program last said about itself.

    Exactly one of `creator_id` and `creator_email` is set.
    """

    id: int
    key: str
    site_id: int
    site_kind: SiteKind
    domain_id: int
    user_id: int
    user_kind: UserKind
    user_name: str
    creator_id: int | None
    creator_email: str | None
    service_type: str | None
    contract_author: str | None
    description: str
    ping_period: int
    has_password: bool
    password_set_at: int | None
    created_at: int
    last_seen_at: int | None

    def uri(self, server_address: str) -> str:
        """Return the URI that the client program is given (04 section 2.3)."""
        scheme = "softnet-s" if self.site_kind is SiteKind.SINGLE_SERVICE else "softnet-m"
        return f"{scheme}://{self.key}@{server_address}"


def shared_guest_uri(site: Site, server_address: str) -> str:
    """Return the URI that all stateless guests of a site share (04 section 2.3)."""
    scheme = "softnet-ss" if site.kind is SiteKind.SINGLE_SERVICE else "softnet-ms"
    return f"{scheme}://{site.site_key}@{server_address}"


def guest_page_address(site: Site, management_url: str) -> str:
    """Return the address of a site's guest page (04 section 9)."""
    return f"{management_url}/guest?site={site.site_key}"


@dataclass(frozen=True, slots=True)
class DomainUser:
    """A user of a domain; the contact's facts are None unless it is a Contact user."""

    id: int
    domain_id: int
    owner_id: int
    kind: UserKind
    name: str
    dedicated: bool
    enabled: bool
    contact_id: int | None
    contact_name: str | None
    contact_status: ContactStatus | None
    partner_id: int | None
    partner_enabled: bool | None
    clients: int
    created_at: int

    @property
    def reachable(self) -> bool:
        """Tell whether the person behind the user can be served at all (04 section 5.2)."""
        return self.kind is not UserKind.CONTACT or (
            self.contact_status is ContactStatus.MUTUAL and self.partner_enabled is True
        )
