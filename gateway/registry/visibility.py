"""The two reverse questions: who can see this camera, and what can this user see (issue C).

The answers are those that the tracker acts on, with the reason in words and with what hinders now:
a user that is disabled has its rights in the lists, and reaches nothing.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from gateway.access.membership import guests_admitted
from gateway.model.kinds import ContactStatus, GuestSupport, UserKind
from gateway.model.sites import Domain, DomainUser, Service, Site
from gateway.registry import domains, members, owners, panels, services, sites
from gateway.registry.database import Reader
from gateway.registry.members import UserRights


class Reason(enum.StrEnum):
    """Why somebody may use a site; the values are words for people."""

    EXPLICIT_ROLE = "role given explicitly"
    DEFAULT_ROLE = "the site's default role"
    EXPLICIT = "added to the site"
    IMPLICIT = "implicit users are allowed"
    GUEST = "guests are allowed"
    FALLS_BACK = "has no rights, but guests are allowed"
    SHARED_URI = "whoever has the shared guest URI"


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who can see a camera, or could but for `hindrances`.

    `user` is None for stateless guests. `clients` counts its client programs on this site, for
    Guest those of all creators; one that has none cannot connect yet.
    """

    user: DomainUser | None
    reasons: tuple[Reason, ...]
    roles: tuple[str, ...] = ()
    clients: int = 0
    hindrances: tuple[str, ...] = ()

    @property
    def can(self) -> bool:
        """Tell whether it can see the camera now, once it connects."""
        return not self.hindrances

    @property
    def why(self) -> str:
        """Return the reasons as one text."""
        return "; ".join(self.reasons)


@dataclass(frozen=True, slots=True)
class Audience:
    """Everybody who can see one service; `hindrances` keep all of them from it now."""

    service: Service
    site: Site
    domain: Domain
    hindrances: tuple[str, ...]
    viewers: tuple[Viewer, ...]


@dataclass(frozen=True, slots=True)
class Sight:
    """One site as a user can use it, with its services and what hinders."""

    site: Site
    services: tuple[tuple[Service, tuple[str, ...]], ...]
    """Each service with what hinders at it alone."""
    reasons: tuple[Reason, ...]
    roles: tuple[str, ...]
    clients: int
    hindrances: tuple[str, ...]

    @property
    def why(self) -> str:
        """Return the reasons as one text."""
        return "; ".join(self.reasons)


@dataclass(frozen=True, slots=True)
class Outlook:
    """All that one user of a domain can see; `hindrances` are the user's own."""

    user: DomainUser
    domain: Domain
    hindrances: tuple[str, ...]
    sights: tuple[Sight, ...]


def who_can_see(reader: Reader, service_id: int) -> Audience:
    """Return everybody who may use a service, and why: Owner first, guests last. Raises NotFound.

    Users without rights are named too where they fall back to Guest: their programs are served.
    """
    service = services.get(reader, service_id)
    site = sites.get(reader, service.site_id)
    counts = _clients_by_user(reader, site.id)
    rights = members.rights(reader, site.id)
    open_to_guests = _open_to_guests(site, rights)
    found = []
    for one in rights:
        reasons = _reasons(one, open_to_guests)
        if not reasons:
            continue
        user = one.user
        falls_back = reasons == (Reason.FALLS_BACK,)
        if falls_back and not counts.get(user.id):
            continue  # nobody is there who could come in as a guest
        hindrances = () if falls_back else _of_user(user, open_to_guests)
        roles = () if falls_back else one.role_names
        found.append(Viewer(user, reasons, roles, counts.get(user.id, 0), hindrances))
    if open_to_guests and site.guest_support is GuestSupport.STATELESS:
        found.append(Viewer(None, (Reason.SHARED_URI,)))
    hindrances = (*_of_site(reader, site), *_of_service(site, service))
    domain = domains.get(reader, site.domain_id)
    return Audience(service, site, domain, hindrances, tuple(found))


def what_can_see(reader: Reader, user_id: int) -> Outlook:
    """Return the sites of its domain that a user may use, and why, newest first; or NotFound."""
    user = members.get_user(reader, user_id)
    own = _of_user(user, open_to_guests=False)
    sights = []
    users = members.list_users(reader, user.domain_id)
    for site in sites.list_for(reader, user.domain_id):
        rights = members.rights(reader, site.id, users)
        mine = next((one for one in rights if one.user.id == user_id), None)
        if mine is None:
            continue
        open_to_guests = _open_to_guests(site, rights)
        # Somebody who is hindered is served as a guest all the same where guests are (04, 5.3).
        reasons = _reasons(mine, open_to_guests)
        roles = mine.role_names
        if own and open_to_guests and user.kind is not UserKind.GUEST:
            reasons, roles = (Reason.FALLS_BACK,), ()
        if not reasons:
            continue
        hindrances = _of_site(reader, site)
        if own and Reason.FALLS_BACK not in reasons:
            hindrances = (*own, *hindrances)
        listed = tuple(
            (service, _of_service(site, service)) for service in services.list_for(reader, site.id)
        )
        count = _clients_by_user(reader, site.id).get(user_id, 0)
        sights.append(Sight(site, listed, reasons, roles, count, hindrances))
    return Outlook(user, domains.get(reader, user.domain_id), own, tuple(sights))


def _reasons(rights: UserRights, open_to_guests: bool) -> tuple[Reason, ...]:
    if rights.user.kind is UserKind.GUEST:
        return (Reason.GUEST,) if rights.allowed else ()
    found = (
        (Reason.EXPLICIT_ROLE, bool(rights.explicit_roles)),
        (Reason.DEFAULT_ROLE, rights.default_role is not None),
        (Reason.EXPLICIT, rights.explicit and not rights.explicit_roles),
        (Reason.IMPLICIT, rights.implicit),
        (Reason.FALLS_BACK, open_to_guests and not rights.allowed),
    )
    return tuple(reason for reason, holds in found if holds)


def _open_to_guests(site: Site, rights: tuple[UserRights, ...]) -> bool:
    rules = members.rules_of(site)
    guest = next((one.user for one in rights if one.user.kind is UserKind.GUEST), None)
    return rules is not None and guest is not None and guests_admitted(rules, guest.enabled)


def _of_user(user: DomainUser, open_to_guests: bool) -> tuple[str, ...]:
    """Return what keeps a user from its rights; where guests are allowed it is served as one."""
    words = []
    if not user.enabled:
        words.append("user disabled")
    if user.kind is UserKind.CONTACT:
        if user.contact_status is ContactStatus.PARTNER_DELETED:
            words.append("the contact's account is gone")
        elif user.contact_status is ContactStatus.PARTNER_LEFT:
            words.append("the contact has deleted you")
        elif not user.partner_enabled:
            words.append("the contact's account is disabled")
    if words and open_to_guests and user.kind is not UserKind.GUEST:
        words[-1] += ", served as a guest"
    return tuple(words)


def _of_site(reader: Reader, site: Site) -> tuple[str, ...]:
    words = []
    if not site.built:
        words.append("site blank")
    if not site.enabled:
        words.append("site disabled")
    if not owners.get(reader, site.owner_id).eligible:
        words.append("the owner's account is not served")
    return tuple(words)


def _of_service(site: Site, service: Service) -> tuple[str, ...]:
    return panels.service_line(site, service).statuses


def _clients_by_user(reader: Reader, site_id: int) -> dict[int, int]:
    sql = "SELECT user_id, count(*) FROM client WHERE site_id = ? GROUP BY user_id"
    return dict(reader.rows(sql, site_id))
