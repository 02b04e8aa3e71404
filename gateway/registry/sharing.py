"""What contacts share: the contact page, its domains, and both sides of a shared domain (6.8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.access.membership import guests_admitted
from gateway.base.errors import Denied, NotFound
from gateway.model.contacts import Contact
from gateway.model.kinds import Authority, UserKind
from gateway.model.sites import Client, Domain, DomainUser, Site
from gateway.registry import clients, contacts, domains, members, owners, panels, sites
from gateway.registry.database import Reader
from gateway.registry.members import UserRights
from gateway.registry.panels import SitePanel

UNUSABLE = "contact"
"""The code of what is refused because the partnership does not serve now; the pages lead back."""


@dataclass(frozen=True, slots=True)
class ContactPage:
    """CONTACT DOMAINS on the left, or a warning in their place; MY SHARED DOMAINS on the right.

    The right side is None for an account that cannot have domains.
    """

    contact: Contact
    contact_domains: tuple[Domain, ...]
    shared_domains: tuple[Domain, ...] | None

    @property
    def warning(self) -> str:
        """Return what stands in place of the left side, "" when it is shown."""
        return self.contact.warning


@dataclass(frozen=True, slots=True)
class SharedDomain:
    """A domain from one of its two sides, with the sites that this side sees."""

    contact: Contact
    domain: Domain
    panels: tuple[SitePanel, ...]


def contact_page(reader: Reader, me: int, contact_id: int) -> ContactPage:
    """Return what the page of a contact shows. Raises NotFound for anybody else's contact."""
    contact = contacts.mine(reader, me, contact_id)
    theirs: tuple[Domain, ...] = ()
    if contact.usable and contact.partner_provides and contact.partner_id is not None:
        theirs = _with_users_for(reader, contact.partner_id, me)
    mine = None
    if owners.get(reader, me).authority >= Authority.PROVIDER:
        mine = _domains(reader, "u.contact_id = ?", contact_id)
    return ContactPage(contact, theirs, mine)


def contact_domain(reader: Reader, me: int, contact_id: int, domain_id: int) -> SharedDomain:
    """Return a partner's domain: the sites where one of my users has rights or Guest is allowed.

    Raises NotFound for a domain that holds no user for me, Denied with code 'contact' when the
    contact is not usable.
    """
    contact = contacts.mine(reader, me, contact_id)
    if contact.warning:
        raise Denied(contact.warning, UNUSABLE)
    domain = domains.get(reader, domain_id)
    offered = (
        _with_users_for(reader, domain.owner_id, me)
        if contact.partner_provides and domain.owner_id == contact.partner_id
        else ()
    )
    if domain not in offered:
        raise NotFound("This domain does not exist any more. Reload the page.")
    found = []
    users = members.list_users(reader, domain_id)
    for site in sites.list_for(reader, domain_id):
        rights = members.rights(reader, site.id, users)
        if _visible(site, rights, me):
            found.append(panels.for_partner(reader, site, me, rights))
    return SharedDomain(contact, domain, tuple(found))


def contact_site(reader: Reader, me: int, site_id: int) -> SitePanel:
    """Return one site of a partner's domain. Raises NotFound where I have no rights (SHR-07)."""
    site = sites.get(reader, site_id)
    contact = partner_contact(reader, me, site.owner_id)
    if contact is not None and contact.usable and contact.partner_provides:
        offered = _with_users_for(reader, site.owner_id, me)
        rights = members.rights(reader, site_id)
        if any(domain.id == site.domain_id for domain in offered) and _visible(site, rights, me):
            return panels.for_partner(reader, site, me, rights)
    raise NotFound("This site does not exist any more. Reload the page.")


def shared_domain(reader: Reader, me: int, contact_id: int, domain_id: int) -> SharedDomain:
    """Return a domain of mine as far as one contact has rights in it; read only (SHR-25).

    Raises NotFound for a domain that is not mine or holds no user for this contact.
    """
    contact = contacts.mine(reader, me, contact_id)
    domain = domains.get(reader, domain_id)
    if domain not in _domains(reader, "u.contact_id = ?", contact_id):
        raise NotFound("This domain does not exist any more. Reload the page.")
    found = []
    users = members.list_users(reader, domain_id)
    for site in sites.list_for(reader, domain_id):
        rights = members.rights(reader, site.id, users)
        if any(one.allowed and one.user.contact_id == contact_id for one in rights):
            found.append(panels.for_sharing(reader, site, contact_id, rights))
    return SharedDomain(contact, domain, tuple(found))


def partner_contact(reader: Reader, me: int, partner_id: int) -> Contact | None:
    """Return my contact with this account, or None."""
    found = (one for one in contacts.list_for(reader, me) if one.partner_id == partner_id)
    return next(found, None)


def managed_client(reader: Reader, me: int, client_id: int) -> Client:
    """Return a client of a Contact user that I, the partner, may edit (04 section 5.5).

    Raises NotFound for every other client: the domain owner's, another contact's, and my own while
    the partnership does not serve or the user has no rights on the site.
    """
    client = clients.get(reader, client_id)
    user = members.get_user(reader, client.user_id)
    mine = user.kind is UserKind.CONTACT and user.partner_id == me
    if not (mine and serves(reader, user) and has_rights(reader, client.site_id, user.id)):
        raise NotFound("This client does not exist any more. Reload the page.")
    return client


def _visible(site: Site, rights: Sequence[UserRights], me: int) -> bool:
    rules = members.rules_of(site)
    if rules is None:
        return False
    for one in rights:
        user = one.user
        if user.kind is UserKind.GUEST and guests_admitted(rules, user.enabled):
            return True
        if one.allowed and user.kind is UserKind.CONTACT and user.partner_id == me:
            return True
    return False


def serves(reader: Reader, user: DomainUser) -> bool:
    """Tell whether a Contact user's partner may use it: both accounts stand, its owner provides."""
    return user.reachable and owners.get(reader, user.owner_id).eligible


def has_rights(reader: Reader, site_id: int, user_id: int) -> bool:
    """Tell whether a site gives a user anything, whether or not it is served now."""
    found = members.rights(reader, site_id)
    return any(rights.allowed for rights in found if rights.user.id == user_id)


def _with_users_for(reader: Reader, owner_id: int, me: int) -> tuple[Domain, ...]:
    """Return the domains of an owner that hold a Contact user standing for me."""
    return _domains(reader, "d.owner_id = ? AND c.partner_id = ?", owner_id, me)


def _domains(reader: Reader, condition: str, *parameters: object) -> tuple[Domain, ...]:
    rows = reader.rows(
        "SELECT DISTINCT d.id, d.owner_id, d.name, d.created_at, casefold(d.name)"  # noqa: S608
        " FROM domain d JOIN domain_user u ON u.domain_id = d.id JOIN contact c"
        f" ON c.id = u.contact_id WHERE {condition} ORDER BY casefold(d.name), d.id",
        *parameters,
    )
    return tuple(Domain(*row[:4]) for row in rows)
