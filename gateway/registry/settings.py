"""Bounds and quotas of the registry, and the named values kept in the file itself."""

from __future__ import annotations

import dataclasses
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.base.errors import InvalidInput
from gateway.base.setting import facts_of, setting
from gateway.registry.changes import SettingChanged

if TYPE_CHECKING:
    from gateway.registry.database import Reader, Tx

NAME_LENGTH_MAX = 64
"""Names of values are words of ours; longer ones are mistakes."""
VALUE_LENGTH_MAX = 4096
"""No named value is a document."""


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """Lengths of what is drawn, limits of what one owner may create (04 sections 2.4 and 2.5)."""

    key_length: int = setting(9, minimum=4, maximum=32, help="length of client and site keys")
    service_password_length: int = setting(
        16, minimum=4, maximum=32, help="length of generated service passwords"
    )
    client_password_length: int = setting(
        16, minimum=4, maximum=32, help="length of generated client passwords"
    )
    account_password_min_length: int = setting(
        8, minimum=4, maximum=32, help="shortest password of an account"
    )
    lock_after: int = setting(
        5, minimum=1, maximum=100, help="wrong passwords that lock an account"
    )
    lock_window: int = setting(
        600, minimum=60, maximum=86_400, unit="s", help="time in which wrong passwords add up"
    )
    lock_time: int = setting(
        900,
        minimum=60,
        maximum=604_800,
        unit="s",
        help="after this a locked account unlocks itself",
    )
    domains_per_owner: int = setting(50, minimum=1, maximum=100_000, help="domains of one owner")
    sites_per_domain: int = setting(50, minimum=1, maximum=100_000, help="sites of one domain")
    services_per_site: int = setting(100, minimum=1, maximum=100_000, help="services of one site")
    services_per_owner: int = setting(
        500, minimum=1, maximum=1_000_000, help="services in all domains of one owner"
    )
    users_per_domain: int = setting(200, minimum=2, maximum=100_000, help="users of one domain")
    users_per_owner: int = setting(
        1000, minimum=2, maximum=1_000_000, help="users in all domains of one owner"
    )
    private_clients_per_owner: int = setting(
        1000, minimum=1, maximum=1_000_000, help="clients of the owner's own and private users"
    )
    contact_clients_per_owner: int = setting(
        1000, minimum=1, maximum=1_000_000, help="clients of contact users in the owner's domains"
    )
    guest_clients_per_owner: int = setting(
        1000, minimum=1, maximum=1_000_000, help="guest clients in the owner's domains"
    )
    clients_per_creator: int = setting(
        500, minimum=1, maximum=1_000_000, help="clients that one account may create"
    )
    clients_per_address: int = setting(
        20, minimum=1, maximum=100_000, help="guest clients that one mail address may create"
    )
    pending_devices: int = setting(
        1000, minimum=10, maximum=100_000, help="sighted devices remembered without being adopted"
    )
    tokens_per_owner: int = setting(50, minimum=1, maximum=10_000, help="API tokens of one owner")
    sessions_per_owner: int = setting(
        50, minimum=1, maximum=10_000, help="web sessions of one owner"
    )
    readers: int = setting(3, minimum=1, maximum=16, help="threads that read the registry")
    queued_writes: int = setting(
        1000, minimum=1, maximum=100_000, help="writes that may wait; later ones wait outside"
    )
    queued_hashes: int = setting(
        16, minimum=1, maximum=1000, help="password checks that may wait before sign-in is refused"
    )


def get(reader: Reader, name: str) -> str | None:
    """Return the value kept under `name`, or None."""
    row = reader.one("SELECT value FROM setting WHERE name = ?", name)
    return None if row is None else row[0]


def put(tx: Tx, name: str, value: str | None) -> None:
    """Keep `value` under `name`; None removes it. Raises InvalidInput for an overlong one."""
    if not 1 <= len(name) <= NAME_LENGTH_MAX or len(value or "") > VALUE_LENGTH_MAX:
        raise InvalidInput(
            f"A name has 1 to {NAME_LENGTH_MAX} characters and a value at most {VALUE_LENGTH_MAX}.",
            "value",
        )
    if value is None:
        tx.run("DELETE FROM setting WHERE name = ?", name)
    else:
        tx.run(
            "INSERT INTO setting(name, value) VALUES (?, ?)"
            " ON CONFLICT(name) DO UPDATE SET value = excluded.value",
            name,
            value,
        )
    tx.changed(SettingChanged(name))


def all_values(reader: Reader) -> dict[str, str]:
    """Return every named value."""
    return dict(reader.rows("SELECT name, value FROM setting ORDER BY name"))


OVERLAY = "registry."
"""Names under this prefix stand over the settings that the program was started with."""
NOT_OVERLAID = frozenset({"readers", "queued_writes", "queued_hashes"})
"""What is built when the file is opened cannot change while it is open."""


def in_force(conn: sqlite3.Connection, given: RegistrySettings) -> RegistrySettings:
    """Return the settings as the values kept in the file have them.

    A value that is no number, or out of its bounds, is passed over: a file that was edited by hand
    must not keep the gateway from starting.
    """
    stored = dict(conn.execute("SELECT name, value FROM setting WHERE name GLOB 'registry.*'"))
    found: dict[str, int] = {}
    for field, facts in facts_of(given):
        text = stored.get(OVERLAY + field.name)
        if text is None or field.name in NOT_OVERLAID or not text.isdecimal() or len(text) > 12:
            continue
        value = int(text)
        if (facts.minimum or 0) <= value <= (facts.maximum or value):
            found[field.name] = value
    return dataclasses.replace(given, **found) if found else given
