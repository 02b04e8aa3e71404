"""The pages of domains, sites and users, in the words of the guide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.access.operators import Action
from gateway.model.contacts import Contact
from gateway.model.kinds import GuestSupport, SiteKind
from gateway.model.sites import Domain, DomainUser, Role, Service, Site, shared_guest_uri
from gateway.registry import clients, contacts, devices, domains, members, services, sites
from gateway.registry.database import Reader
from gateway.registry.members import UserRights
from gateway.registry.recent import What
from gateway.web.authority import Kind
from gateway.web.operations_sites import (
    SERVICE_APPLY,
    SERVICE_ENABLE,
    SERVICE_PASSWORD,
    SERVICE_PING,
    SERVICE_RENAME,
    SITE_ENABLE,
    SITE_MULTI,
    SITE_RENAME,
    ServiceRow,
    service_row,
)
from gateway.web.pages_contacts import remember
from gateway.web.routing import Page, Rendered, View

if TYPE_CHECKING:
    from gateway.web.desk import Desk

Shareable = tuple[Contact, ...]

_SITE_TABS = {
    SITE_RENAME.name: "description",
    SITE_ENABLE.name: "status",
    SITE_MULTI.name: "hosting",
}
_SERVICE_TABS = {
    SERVICE_PASSWORD.name: "account",
    SERVICE_RENAME.name: "hostname",
    SERVICE_ENABLE.name: "status",
    SERVICE_PING.name: "ping",
    SERVICE_APPLY.name: "structure",
}
"""Which editor shows again what was refused."""


def service_fault(site: Site, service: Service) -> str:
    """Return what is shown in red beside a service (04 section 4.2)."""
    words = []
    if service.service_type is None:
        words.append("service type undefined")
    elif site.built and (service.service_type, service.contract_author) != (
        site.service_type,
        site.contract_author,
    ):
        words.append("service type conflict")
    elif site.built and service.ss_hash != site.ss_hash:
        words.append("site structure mismatch")
    if not service.enabled:
        words.append("disabled")
    return "; ".join(words)


def site_state(site: Site) -> str:
    """Return what is shown in red in the bar of a site (04 section 4.1)."""
    words = [] if site.built else ["site blank"]
    if not site.enabled:
        words.append("disabled" if words else "site disabled")
    return "; ".join(words)


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """A site with everything that its pages show."""

    domain: Domain
    site: Site
    services: tuple[Service, ...]
    roles: tuple[Role, ...]
    rights: tuple[UserRights, ...]
    cameras: dict[int, int]
    """Device ids by the id of the service that stands for them."""

    @property
    def allowed(self) -> tuple[UserRights, ...]:
        """Return the users with rights, Guest last."""
        return tuple(given for given in self.rights if given.allowed)

    @property
    def denied(self) -> tuple[UserRights, ...]:
        """Return the users without."""
        return tuple(given for given in self.rights if not given.allowed)

    @property
    def default_role(self) -> Role | None:
        """Return the role that undedicated users have by default."""
        return next((role for role in self.roles if role.id == self.site.default_role_id), None)


def site_facts(reader: Reader, site_id: int) -> SiteFacts:
    """Return a site with everything that its pages show. Raises NotFound."""
    site = sites.get(reader, site_id)
    bridged = {
        device.service_id: device.id
        for device in devices.list_all(reader)
        if device.site_id == site_id and device.service_id is not None
    }
    return SiteFacts(
        domains.get(reader, site.domain_id),
        site,
        services.list_for(reader, site_id),
        members.list_roles(reader, site_id),
        members.rights(reader, site_id),
        bridged,
    )


async def my_domains(desk: Desk, page: Page) -> Rendered:
    """The list of the visitor's domains, each with its sites."""
    owner_id = page.call.visitor.owner_id or 0

    def read(reader: Reader) -> list[tuple[Domain, tuple[Site, ...], int]]:
        return [
            (domain, sites.list_for(reader, domain.id), len(members.list_users(reader, domain.id)))
            for domain in domains.list_for(reader, owner_id)
        ]

    found = await desk.read(read)
    topics = [f"domain:{domain.id}" for domain, _, _ in found]
    return Rendered(
        "domains.html",
        {
            "domains": found,
            "site_state": site_state,
            "editing": bool(page.failed and page.failed != "domain.add")
            or bool(page.query.get("edit")),
            "open_domain": page.opened(Kind.DOMAIN, "domain"),
        },
        (*topics, f"owner:{owner_id}"),
    )


async def domain(desk: Desk, page: Page) -> Rendered:
    """USER LIST and SITE LIST of a domain."""
    domain_id = page.call.id(Kind.DOMAIN)

    def read(reader: Reader) -> tuple[Domain, tuple[DomainUser, ...], list[SiteFacts]]:
        return (
            domains.get(reader, domain_id),
            members.list_users(reader, domain_id),
            [site_facts(reader, site.id) for site in sites.list_for(reader, domain_id)],
        )

    found, users, of_sites = await desk.read(read)
    await remember(desk, page, What.DOMAIN, domain_id)
    topics = (f"domain:{domain_id}", *(f"site:{facts.site.id}" for facts in of_sites))
    shared = ((facts.site.id, shared_uri(desk, page, facts.site)) for facts in of_sites)
    return Rendered(
        "domain.html",
        {
            "domain": found,
            "users": users,
            "sites": of_sites,
            "shared_uris": {site_id: uri for site_id, uri in shared if uri},
            "open_user": page.opened(Kind.USER, "user"),
            "site_state": site_state,
            "service_fault": service_fault,
        },
        topics,
    )


async def new_user(desk: Desk, page: Page) -> Rendered:
    """NEW USER: PRIVATE USER, CONTACT USER, EXISTING USERS (guide 9.2.1)."""
    domain_id = page.call.id(Kind.DOMAIN)

    def read(reader: Reader) -> tuple[Domain, tuple[DomainUser, ...], Shareable]:
        found = domains.get(reader, domain_id)
        users = members.list_users(reader, domain_id)
        return found, users, contacts.to_share_with(reader, found.owner_id)

    found, users, to_share_with = await desk.read(read)
    back = page.number("site") or _typed_number(page, "back")
    return Rendered(
        "user_new.html",
        {"domain": found, "users": users, "contacts": to_share_with, "back": back},
    )


async def site(desk: Desk, page: Page) -> Rendered:
    """SITE CONFIGURATION."""
    site_id = page.call.id(Kind.SITE)
    facts = await desk.read(lambda reader: site_facts(reader, site_id))
    rows: list[ServiceRow] = [service_row(desk, page.call, each) for each in facts.services]
    return Rendered(
        "site.html",
        {
            "facts": facts,
            "site": facts.site,
            "rows": rows,
            "open_service": page.opened(Kind.SERVICE, "service"),
            "open_user": _typed_number(page, "user_id") or page.number("user"),
            "edit": _SITE_TABS.get(page.failed) or page.query.get("edit", ""),
            "tab": _SERVICE_TABS.get(page.failed) or _service_tab(page, facts.site),
            "site_state": site_state,
            "service_fault": service_fault,
            "shared_uri": shared_uri(desk, page, facts.site),
        },
        (f"site:{site_id}", f"domain:{facts.domain.id}", "cameras"),
    )


def _service_tab(page: Page, found: Site) -> str:
    """Return which editor of a service is open: account first, where one is opened by a click."""
    multi = found.kind is SiteKind.MULTI_SERVICE
    shown = "account" if multi or page.shown is not None else ""
    return page.query.get("tab", "account" if page.number("service") else shown)


async def delete_site(desk: Desk, page: Page) -> Rendered:
    """DELETE SITE: what goes with it, and the question (guide 6.3.3)."""
    site_id = page.call.id(Kind.SITE)

    def read(reader: Reader) -> dict[str, object]:
        found = sites.get(reader, site_id)
        return {
            "site": found,
            "domain": domains.get(reader, found.domain_id),
            "services": len(services.list_for(reader, site_id)),
            "clients": len(clients.list_for(reader, site_id)),
        }

    return Rendered("site_delete.html", await desk.read(read))


def _typed_number(page: Page, name: str) -> int:
    """Return a number of the form that was just refused, so that what it is about stays open."""
    typed = str(page.typed.get(name, "")) if page.failed else ""
    return int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 19 else 0


def shared_uri(desk: Desk, page: Page, found: Site) -> str:
    """Return the URI that all guests of a site share; "" where there is none."""
    if found.guest_support is GuestSupport.STATELESS and found.guest_allowed:
        return shared_guest_uri(found, desk.address(page.call))
    return ""


MY_DOMAINS = View(Action.VIEW_DOMAIN, Kind.ACCOUNT, my_domains)
DOMAIN = View(Action.VIEW_DOMAIN, Kind.DOMAIN, domain)
NEW_USER = View(Action.VIEW_DOMAIN, Kind.DOMAIN, new_user)
SITE = View(Action.VIEW_DOMAIN, Kind.SITE, site)
DELETE_SITE = View(Action.VIEW_DOMAIN, Kind.SITE, delete_site)
