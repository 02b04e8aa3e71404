"""What accounts own, one of each kind, for tests that go through every route of the table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.model.accounts import Scope
from gateway.model.kinds import Authority, UserKind
from gateway.registry import (
    clients,
    contacts,
    domains,
    guests,
    members,
    operators,
    services,
    sites,
)
from gateway.registry.database import Reader, Tx
from gateway.registry.guests import Creator
from tests.web.rig import Rig, Watching, add_owner, build_site, share

PASSING = frozenset({"audit", "web_session", "sqlite_sequence", "sqlite_stat1"})
"""Tables that a refused request may touch: the record that it was refused, and who was here."""
PASSING_COLUMNS = frozenset({"last_used_at"})


@dataclass
class Estate:
    """What one provider owns, by kind; what its contact, a provider, shares with it.

    `guest` is what it sees of that as a guest client, `spare` what may be deleted at will, `known`
    the texts that calls take, by path and name.
    """

    owner: int
    ids: dict[str, int] = field(default_factory=dict)
    shared: dict[str, int] = field(default_factory=dict)
    guest: dict[str, int] = field(default_factory=dict)
    spare: dict[str, int] = field(default_factory=dict)
    known: dict[str, dict[str, str]] = field(default_factory=dict)


async def make_estate(rig: Rig, account: str, authority: Authority) -> Estate:
    """Create an account with one object of each kind."""
    owner = await add_owner(rig.registry, account, authority)
    domain, site, user = await rig.registry.write(lambda tx: build_site(tx, owner))
    client = await rig.registry.write(lambda tx: clients.add(tx, site, user, owner))
    token = await rig.registry.write(
        lambda tx: operators.add_token(tx, "kept", owner, [Scope.READ])[1]
    )
    device = await rig.cameras.adopt(owner, site, f"cam-of-{account}", None, "Gate")
    service = await rig.registry.read(
        lambda reader: reader.number("SELECT min(id) FROM service WHERE site_id = ?", site)
    )
    partner = await add_owner(rig.registry, f"partner-of-{account}", Authority.PROVIDER)
    shared = await rig.registry.write(lambda tx: share(tx, partner, owner))
    contact = await rig.registry.read(lambda reader: contacts.list_for(reader, owner)[0].id)
    await rig.registry.write(
        lambda tx: members.add_user(tx, domain, UserKind.CONTACT, "Friend", contact_id=contact)
    )
    guest = await rig.registry.write(lambda tx: _guest(tx, shared, owner))
    return Estate(owner, {
        "owner": owner, "domain": domain, "site": site, "user": user, "client": client.id,
        "token": token.id, "device": device, "service": service, "contact": contact,
        "person": partner, "shared": shared["site"],
        "invitation": 1, "letter": 1, "request": 1,
    }, shared, guest)  # fmt: skip


def _guest(tx: Tx, shared: dict[str, int], owner: int) -> dict[str, int]:
    sites.set_guest_allowed(tx, shared["site"], True)
    return {**shared, "client": guests.add_client(tx, shared["site"], Creator(owner)).id}


def content(reader: Reader) -> dict[str, list[tuple[Any, ...]]]:
    """Return all that the registry holds, by table, but for what passes."""
    found = {}
    for (table,) in reader.rows("SELECT name FROM sqlite_master WHERE type = 'table'"):
        if table in PASSING:
            continue
        columns = [row[1] for row in reader.rows(f"PRAGMA table_info({table})")]
        kept = ", ".join(name for name in columns if name not in PASSING_COLUMNS)
        found[table] = reader.rows(f"SELECT {kept} FROM {table} ORDER BY {kept}")
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return the rows that are in one of two contents only, by table."""
    return {
        table: set(before.get(table, ())) ^ set(after.get(table, ()))
        for table in before.keys() | after.keys()
        if before.get(table) != after.get(table)
    }


async def mark(rig: Rig, estate: Estate, word: str) -> frozenset[str]:
    """Put a word into everything that an account named; return what nobody else may see of it.

    Beside the word these are the keys of its objects, which are drawn at random.
    """
    ids = estate.ids

    def within(tx: Tx) -> frozenset[str]:
        domains.rename(tx, ids["domain"], f"{word} domain")
        sites.rename(tx, ids["site"], f"{word} site")
        members.rename_user(tx, ids["user"], f"{word} user")
        services.set_hostname(tx, ids["service"], f"{word} host")
        contacts.edit(tx, estate.owner, ids["contact"], f"{word} contact", f"{word} friend")
        tx.run("UPDATE client SET description = ? WHERE id = ?", f"{word} phone", ids["client"])
        tx.run("UPDATE service SET version = ? WHERE id = ?", f"{word} 1", ids["service"])
        tx.run("UPDATE role SET name = ? || name WHERE site_id = ?", f"{word} ", ids["site"])
        tx.run("UPDATE api_token SET name = ? WHERE id = ?", f"{word} token", ids["token"])
        site, service = sites.get(tx, ids["site"]), services.get(tx, ids["service"])
        client = clients.get(tx, ids["client"])
        return frozenset({word, site.uid_text, site.site_key, service.uid_text, client.key})

    found = await rig.registry.write(within)
    await rig.cameras.rename(ids["device"], f"{word} camera")
    session = f"{word}-session"
    rig.cameras.watched[session] = Watching(session, ids["device"], f"{word} camera", word)
    return found
