"""What a site shows to whom: one panel for the owner, one for a partner, one for guests.

The texts are those of 04 sections 4.2, 4.3, 5.4, 6.7 and 6.8. A panel holds no credentials; the
pages only lay it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gateway.access.membership import guests_admitted
from gateway.model.contacts import short_name
from gateway.model.kinds import GuestSupport, SiteKind, UserKind
from gateway.model.sites import Client, DomainUser, Role, Service, Site
from gateway.registry import clients, members, services, sites
from gateway.registry.database import Reader
from gateway.registry.members import UserRights

UNDEFINED = "service type undefined"
CONFLICT = "service type conflict"
MISMATCH = "site structure mismatch"
DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class ServiceLine:
    """A service with what stands on its right; `own_type` is set where it conflicts."""

    service: Service
    statuses: tuple[str, ...] = ()
    own_type: str = ""

    @property
    def status(self) -> str:
        """Return the red text, "" when all is well."""
        return "; ".join(self.statuses)


@dataclass(frozen=True, slots=True)
class ClientLine:
    """A client; `own_type` is the red type of a program that was built for another service."""

    client: Client
    editable: bool
    own_type: str = ""


@dataclass(frozen=True, slots=True)
class RoleLabel:
    """A role in the parentheses behind a user; a default one is underlined."""

    name: str
    default: bool = False


@dataclass(frozen=True, slots=True)
class UserLine:
    """A user with rights and its clients, newest first.

    `guests_total` is the number of guest clients of all creators, for the owner; else None.
    """

    user: DomainUser
    roles: tuple[RoleLabel, ...]
    clients: tuple[ClientLine, ...]
    may_add: bool
    guests_total: int | None = None

    @property
    def contact(self) -> str:
        """Return what stands in angle brackets behind a Contact user, cut to 24 characters."""
        return short_name(self.user.contact_name or "")


@dataclass(frozen=True, slots=True)
class SitePanel:
    """A built or blank site; `guest_page` and `guest_uri` tell whether these lines are shown."""

    site: Site
    services: tuple[ServiceLine, ...]
    roles: tuple[Role, ...] = ()
    default_role: Role | None = None
    users: tuple[UserLine, ...] = ()
    guests_allowed: bool = False
    guest_page: bool = False
    guest_uri: bool = False

    @property
    def type_text(self) -> str:
        """Return "Type ( Author )", "" while the site is blank."""
        return type_text(self.site.service_type, self.site.contract_author)

    @property
    def status(self) -> str:
        """Return the red text in the site's bar."""
        states = ("site blank", "")[self.site.built], ("site disabled", "")[self.site.enabled]
        return "; ".join(state for state in states if state)


def type_text(service_type: str | None, contract_author: str | None) -> str:
    """Return a service type as it is shown: "Type ( Author )"."""
    return f"{service_type} ( {contract_author} )" if service_type else ""


def service_line(site: Site, service: Service) -> ServiceLine:
    """Compare what a device said last with what the site is built on (04 section 4.2)."""
    statuses = []
    own_type = ""
    if service.service_type is None:
        statuses.append(UNDEFINED)
    elif site.built:
        if not _same_type(site, service.service_type, service.contract_author):
            statuses.append(CONFLICT)
            own_type = type_text(service.service_type, service.contract_author)
        elif service.ss_hash != site.ss_hash:
            statuses.append(MISMATCH)
    if site.kind is SiteKind.MULTI_SERVICE and not service.enabled:
        statuses.append(DISABLED)
    return ServiceLine(service, tuple(statuses), own_type)


def client_line(site: Site, client: Client, *, editable: bool) -> ClientLine:
    """Compare what a client program said last with what the site is built on (04 section 4.3)."""
    fits = client.service_type is None or not site.built
    if fits or _same_type(site, client.service_type, client.contract_author):
        return ClientLine(client, editable)
    return ClientLine(client, editable, type_text(client.service_type, client.contract_author))


def for_owner(reader: Reader, site_id: int, me: int) -> SitePanel:
    """Return CLIENT MANAGEMENT of a site: every user with rights (04 section 6.7).

    Clients of Contact users are only to be looked at; of guest clients only one's own are shown,
    and the number of all. Raises NotFound.
    """
    site = sites.get(reader, site_id)
    listed = clients.list_for(reader, site_id)

    def line(rights: UserRights) -> UserLine:
        user = rights.user
        theirs = [client for client in listed if client.user_id == user.id]
        guest = user.kind is UserKind.GUEST
        mine = [client for client in theirs if not guest or client.creator_id == me]
        editable = user.kind is not UserKind.CONTACT
        return UserLine(
            user,
            role_labels(rights),
            tuple(client_line(site, client, editable=editable) for client in mine),
            may_add=editable and (not guest or user.enabled),
            guests_total=len(theirs) if guest else None,
        )

    return _panel(reader, site, line, lambda rights: rights.allowed)


def for_partner(
    reader: Reader, site: Site, me: int, rights: Sequence[UserRights] | None = None
) -> SitePanel:
    """Return a site as the partner of its owner sees it: its own users, and Guest where allowed."""
    listed = [client for client in clients.list_for(reader, site.id) if client.creator_id == me]

    def line(one: UserRights) -> UserLine:
        mine = [client for client in listed if client.user_id == one.user.id]
        return UserLine(
            one.user,
            role_labels(one),
            tuple(client_line(site, client, editable=True) for client in mine),
            may_add=True,
        )

    def shown(one: UserRights) -> bool:
        if one.user.kind is UserKind.GUEST:
            return one.allowed and one.user.enabled
        return one.allowed and one.user.partner_id == me

    return _panel(reader, site, line, shown, rights=rights)


def for_sharing(
    reader: Reader, site: Site, contact_id: int, rights: Sequence[UserRights] | None = None
) -> SitePanel:
    """Return a site as its owner sees what one contact has of it; everything read only."""
    listed = clients.list_for(reader, site.id)

    def line(one: UserRights) -> UserLine:
        theirs = [client for client in listed if client.user_id == one.user.id]
        return UserLine(
            one.user,
            role_labels(one),
            tuple(client_line(site, client, editable=False) for client in theirs),
            may_add=False,
        )

    return _panel(
        reader,
        site,
        line,
        lambda one: one.allowed and one.user.contact_id == contact_id,
        rights=rights,
    )


def for_guests(reader: Reader, site: Site, own: Iterable[Client] = ()) -> SitePanel:
    """Return a site as guests see it: services, guest page and shared URI, and their own clients.

    Roles are not shown (feature PUB-03). Whether a client may be added is `guests.refusal`'s.
    """
    mine = tuple(client_line(site, client, editable=True) for client in own)

    def line(rights: UserRights) -> UserLine:
        admitted = rights.allowed and rights.user.enabled and site.enabled
        return UserLine(rights.user, (), mine, may_add=admitted)

    return _panel(
        reader, site, line, lambda rights: rights.user.kind is UserKind.GUEST, with_roles=False
    )


def role_labels(rights: UserRights) -> tuple[RoleLabel, ...]:
    """Return a user's roles as its line shows them: explicit ones as declared, then the default."""
    explicit = tuple(RoleLabel(role.name) for role in rights.explicit_roles)
    default = rights.default_role
    return explicit if default is None else (*explicit, RoleLabel(default.name, default=True))


def _panel(
    reader: Reader,
    site: Site,
    line: Callable[[UserRights], UserLine],
    shown: Callable[[UserRights], bool],
    *,
    with_roles: bool = True,
    rights: Sequence[UserRights] | None = None,
) -> SitePanel:
    rights = members.rights(reader, site.id) if rights is None else rights
    rules = members.rules_of(site)
    guest = next((one.user for one in rights if one.user.kind is UserKind.GUEST), None)
    admitted = rules is not None and guest is not None and guests_admitted(rules, guest.enabled)
    roles = members.list_roles(reader, site.id) if with_roles else ()
    stateless = site.guest_support is GuestSupport.STATELESS
    return SitePanel(
        site,
        tuple(service_line(site, service) for service in services.list_for(reader, site.id)),
        roles,
        next((role for role in roles if role.id == site.default_role_id), None),
        tuple(line(one) for one in rights if shown(one)),
        guests_allowed=admitted,
        guest_page=site.guest_allowed,
        guest_uri=site.guest_allowed and stateless,
    )


def _same_type(site: Site, service_type: str | None, contract_author: str | None) -> bool:
    return (site.service_type, site.contract_author) == (service_type, contract_author)
