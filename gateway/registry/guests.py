"""Public services and guest clients of people who are signed in (04 section 9).

A service is public when its site is built and enabled, supports guests and allows them, the
domain's Guest user is enabled and the owner is eligible. `guest_mail` has what strangers do by
mailed links.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.base.errors import Conflict, NotFound
from gateway.model.kinds import Authority, GuestSupport, UserKind
from gateway.model.sites import Client, Domain, Site
from gateway.registry import clients, domains, members, owners, panels, people, sites
from gateway.registry.database import Reader, Tx
from gateway.registry.panels import SitePanel
from gateway.registry.people import Key, Page, Person

KEY_MAX = 32
"""No site key is longer."""

_PUBLIC = f"""
  FROM site s JOIN domain d ON d.id = s.domain_id JOIN owner w ON w.id = d.owner_id
  JOIN domain_user g ON g.domain_id = d.id AND g.kind = {int(UserKind.GUEST)}
 WHERE s.structured = 1 AND s.enabled = 1 AND s.guest_support > 0 AND s.guest_allowed = 1
   AND g.enabled = 1 AND w.enabled = 1 AND w.authority >= {int(Authority.PROVIDER)}
"""


class Refusal(enum.StrEnum):
    """Why a site takes no guests; the values are sentences for people (GST-14)."""

    BLANK = "This site has no service yet."
    NOT_SUPPORTED = "The service does not support guests."
    DENIED = "The owner does not allow guests here."
    DISABLED = "The owner has disabled guests in this domain."
    SITE_DISABLED = "The owner has switched this site off."
    NOT_SERVED = "The owner's account is not served at the moment."


@dataclass(frozen=True, slots=True)
class GuestSite:
    """A site as a guest sees it, with the guest's own clients; `refusal` None: it takes guests."""

    owner: Person
    domain: Domain
    panel: SitePanel
    refusal: Refusal | None

    @property
    def clients(self) -> tuple[Client, ...]:
        """Return the visitor's own guest clients here, newest first."""
        return tuple(row.client for line in self.panel.users for row in line.clients)


@dataclass(frozen=True, slots=True)
class GuestPlace:
    """An owner's domain that holds guest clients of somebody, and how many."""

    owner: Person
    domain: Domain
    clients: int


@dataclass(frozen=True, slots=True)
class PublicDomain:
    """A domain with its public sites, or with the sites that hold somebody's guest clients."""

    owner: Person
    domain: Domain
    sites: tuple[GuestSite, ...]


@dataclass(frozen=True, slots=True)
class Creator:
    """Whose guest clients are meant: an account's, a mail address', or nobody's."""

    owner_id: int | None = None
    email: str | None = None


NOBODY = Creator()


def refusal(reader: Reader, site: Site) -> Refusal | None:
    """Tell why a site takes no guests now, or None when it does."""
    if not site.built:
        return Refusal.BLANK
    if site.guest_support is GuestSupport.NONE:
        return Refusal.NOT_SUPPORTED
    if not site.guest_allowed:
        return Refusal.DENIED
    if not _guest_user(reader, site.domain_id)[1]:
        return Refusal.DISABLED
    if not site.enabled:
        return Refusal.SITE_DISABLED
    return None if owners.get(reader, site.owner_id).eligible else Refusal.NOT_SERVED


# -- public services -----------------------------------------------------------------------------


def search_owners(
    reader: Reader, text: str, *, after: Key | None = None, before: Key | None = None
) -> Page[Person]:
    """Return owners by name, 15 a page, the same search as for contacts (PUB-01)."""
    served = f"o.enabled = 1 AND o.authority >= {int(Authority.PROVIDER)}"
    found = people.search(reader, text, after=after, before=before, only=served)
    return people.persons(reader, found)


def public_domains(reader: Reader, owner_id: int) -> tuple[Domain, ...]:
    """Return an owner's domains with at least one public service, by name. Raises NotFound."""
    owners.get(reader, owner_id)
    rows = reader.rows(
        f"SELECT DISTINCT d.id, d.owner_id, d.name, d.created_at {_PUBLIC} AND d.owner_id = ?"
        " ORDER BY casefold(d.name), d.id",
        owner_id,
    )
    return tuple(Domain(*row) for row in rows)


def public_domain(reader: Reader, domain_id: int, visitor: Creator = NOBODY) -> PublicDomain:
    """Return a domain with all its public sites. Raises NotFound when it has none."""
    rows = reader.rows(f"SELECT s.id {_PUBLIC} AND d.id = ? ORDER BY s.id DESC", domain_id)
    if not rows:
        raise NotFound("This domain offers nothing to the public any more. Reload the page.")
    return _domain(reader, domain_id, [row[0] for row in rows], visitor)


def guest_page(reader: Reader, site_key: str, visitor: Creator = NOBODY) -> GuestSite:
    """Return what the guest page of a site shows. Raises NotFound for a blank or unknown key."""
    if site_key.isascii() and len(site_key) <= KEY_MAX:
        site = sites.by_key(reader, site_key)
        if site is not None and site.built:
            return _guest_site(reader, site, visitor)
    raise NotFound("There is no such guest page. Check that its address was copied whole.")


# -- guest clients -------------------------------------------------------------------------------


def add_client(tx: Tx, site_id: int, creator: Creator) -> Client:
    """Create a guest client on a public site. Raises NotFound, Conflict, QuotaExceeded."""
    site = sites.get(tx, site_id)
    reason = refusal(tx, site)
    if reason is not None:
        raise Conflict(str(reason))
    guest_id, _ = _guest_user(tx, site.domain_id)
    return clients.add(tx, site_id, guest_id, creator.owner_id, creator_email=creator.email)


def own_client(reader: Reader, client_id: int, creator: Creator) -> Client:
    """Return a guest client that this account or address created. Raises NotFound for any other."""
    found = clients.get(reader, client_id)
    if found.user_kind is not UserKind.GUEST or not _made_by(found, creator):
        raise NotFound("This client does not exist any more. Reload the page.")
    return found


def total(reader: Reader, site_id: int) -> int:
    """Return the number of guest clients of all creators on a site."""
    return reader.number(
        "SELECT count(*) FROM client k JOIN domain_user u ON u.id = k.user_id"
        " WHERE k.site_id = ? AND u.kind = ?",
        site_id,
        int(UserKind.GUEST),
    )


def places(reader: Reader, creator: Creator) -> tuple[GuestPlace, ...]:
    """Return the owners and domains that hold this creator's guest clients, by name."""
    column, value = _column(creator)
    rows = reader.rows(
        "SELECT d.id, d.owner_id, d.name, d.created_at, count(*)"  # noqa: S608  (a column of ours)
        " FROM client k JOIN domain_user u ON u.id = k.user_id JOIN domain d ON d.id = k.domain_id"
        f" JOIN owner w ON w.id = d.owner_id WHERE u.kind = ? AND k.{column} = ? GROUP BY d.id"
        " ORDER BY casefold(w.full_name), w.id, casefold(d.name), d.id",
        int(UserKind.GUEST),
        value,
    )
    return tuple(
        GuestPlace(people.person(reader, row[1]), Domain(*row[:4]), row[4]) for row in rows
    )


def place(reader: Reader, domain_id: int, creator: Creator) -> PublicDomain:
    """Return the sites of a domain that hold this creator's guest clients, public or not.

    Raises NotFound where there are none.
    """
    column, value = _column(creator)
    rows = reader.rows(
        "SELECT DISTINCT k.site_id FROM client k JOIN domain_user u ON u.id = k.user_id"  # noqa: S608
        f" WHERE k.domain_id = ? AND u.kind = ? AND k.{column} = ? ORDER BY k.site_id DESC",
        domain_id,
        int(UserKind.GUEST),
        value,
    )
    if not rows:
        raise NotFound("There are no guest clients of yours in this domain any more.")
    return _domain(reader, domain_id, [row[0] for row in rows], creator)


def _domain(
    reader: Reader, domain_id: int, site_ids: Sequence[int], visitor: Creator
) -> PublicDomain:
    domain = domains.get(reader, domain_id)
    found = tuple(_guest_site(reader, sites.get(reader, one), visitor) for one in site_ids)
    return PublicDomain(people.person(reader, domain.owner_id), domain, found)


def _guest_site(reader: Reader, site: Site, visitor: Creator) -> GuestSite:
    own: tuple[Client, ...] = ()
    if visitor != NOBODY:
        column, value = _column(visitor)
        rows = reader.rows(
            "SELECT k.id FROM client k JOIN domain_user u ON u.id = k.user_id"  # noqa: S608
            f" WHERE k.site_id = ? AND u.kind = ? AND k.{column} = ? ORDER BY k.id DESC",
            site.id,
            int(UserKind.GUEST),
            value,
        )
        own = tuple(clients.get(reader, row[0]) for row in rows)
    return GuestSite(
        people.person(reader, site.owner_id),
        domains.get(reader, site.domain_id),
        panels.for_guests(reader, site, own),
        refusal(reader, site),
    )


def _guest_user(reader: Reader, domain_id: int) -> tuple[int, bool]:
    user = next(u for u in members.list_users(reader, domain_id) if u.kind is UserKind.GUEST)
    return user.id, user.enabled


def _made_by(client: Client, creator: Creator) -> bool:
    if creator.owner_id is not None:
        return client.creator_id == creator.owner_id
    mine = (creator.email or "").casefold()
    return client.creator_email is not None and client.creator_email.casefold() == mine


def _column(creator: Creator) -> tuple[str, object]:
    if creator.owner_id is not None:
        return "creator_id", creator.owner_id
    return "creator_email", creator.email or ""
