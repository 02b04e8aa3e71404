"""What an administrator sets on the pages: defaults, ranges, where each is kept (04, 2.4).

Two declarations meet here: `ServerSettings` below, and the lengths and quotas of
`RegistrySettings`, over which a value kept in the file stands. The password of the mail server is
in neither: it lies sealed in the vault.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.base.errors import InvalidInput
from gateway.base.setting import SettingFacts, check, facts_of, setting
from gateway.model import names
from gateway.registry import settings
from gateway.registry.database import Reader, Tx
from gateway.registry.settings import NOT_OVERLAID, OVERLAY, RegistrySettings

PREFIX = "server."
MAIL_TESTED = "server.mail_tested"
"""Kept while the mail server, as it is set, has taken a test letter."""
MAIL_SECRET = "mail:smtp"  # noqa: S105  (the name of a record)
"""The vault's record of the mail server's password; its one field is `password`."""

_ADDRESS = re.compile(r"[A-Za-z0-9._-]*", re.ASCII)
_URL = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9._:-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How people register, what links and URIs name, and which server takes the mail."""

    management_url: str = setting(
        "", maximum=256, help="address of these pages in links, as in https://box.example.org"
    )
    server_address: str = setting(
        "", maximum=253, help="name or IPv4 address that URIs of devices and clients carry"
    )
    anyone_can_register: bool = setting(False, help="whoever can open the page may register")
    new_users_are_providers: bool = setting(False, help="new accounts may have domains")
    invitation_days: int = setting(
        14, minimum=1, maximum=365, unit="days", help="how long an invitation to register is good"
    )
    hand_over: bool = setting(
        False, help="without a mail server, links wait here until an administrator hands them over"
    )
    smtp_host: str = setting("", maximum=253, help="mail server; empty: no mail is sent")
    smtp_port: int = setting(587, minimum=1, maximum=65535, help="port of the mail server")
    smtp_security: str = setting(
        "starttls", choices=("starttls", "tls", "none"), help="how mail is kept from being read"
    )
    smtp_user: str = setting("", maximum=256, help="user name at the mail server; empty: none")
    mail_address: str = setting("", maximum=256, help="the address that mail comes from")


_SMTP = frozenset({"smtp_host", "smtp_port", "smtp_security", "smtp_user", "mail_address"})


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One line of the settings page; `value` and `default` as the declaration types them."""

    name: str
    value: bool | int | str
    default: bool | int | str
    facts: SettingFacts
    changed: bool


def load(reader: Reader) -> ServerSettings:
    """Return the settings as they are now; a stored value that is not good counts as unset."""
    stored = settings.all_values(reader)
    found: dict[str, Any] = {}
    for field, _ in facts_of(ServerSettings):
        text = stored.get(PREFIX + field.name)
        if text is None:
            continue
        try:
            value = _parsed(field.name, text, type(field.default))
            _check_one(ServerSettings, field.name, value)
        except InvalidInput:
            continue
        found[field.name] = value
    return ServerSettings(**found)


def rows(reader: Reader) -> tuple[SettingRow, ...]:
    """Return every setting with its default and range, as the settings page lists them."""
    stored = settings.all_values(reader)
    found = []
    for prefix, present in ((PREFIX, load(reader)), (OVERLAY, reader.settings)):
        for field, facts in _declared(present):
            value = getattr(present, field.name)
            changed = prefix + field.name in stored
            default: bool | int | str = getattr(type(present)(), field.name)
            found.append(SettingRow(field.name, value, default, facts, changed))
    return tuple(found)


def change(tx: Tx, values: Mapping[str, bool | int | str | None]) -> tuple[str, ...]:
    """Set values by name, all or none; None restores the default. Return the names that changed.

    What concerns the mail server voids its test: mail waits until a test letter got through again.
    Raises InvalidInput, with the name as field, for a name or value that is not acceptable.
    """
    own = {field.name: field for field, _ in facts_of(ServerSettings)}
    base = {field.name: field for field, _ in _declared(tx.settings)}
    before = settings.all_values(tx)
    changed = []
    for name, value in values.items():
        field = own.get(name) or base.get(name)
        if field is None:
            raise InvalidInput(f"There is no setting {name[:64]!r}.", name[:64])
        key = (PREFIX if name in own else OVERLAY) + name
        text = None
        if value is not None:
            parsed = _parsed(name, value, type(field.default))
            _check_one(ServerSettings if name in own else RegistrySettings, name, parsed)
            text = str(int(parsed)) if isinstance(parsed, bool) else str(parsed)
        if before.get(key) != text:
            settings.put(tx, key, text)
            changed.append(name)
    if _SMTP.intersection(changed):
        settings.put(tx, MAIL_TESTED, None)
    return tuple(changed)


def mail_tested(tx: Tx, tested: ServerSettings) -> bool:
    """Note that a test letter got through with the settings `tested`; return whether it counts.

    It does not when the settings were changed meanwhile.
    """
    now = load(tx)
    if any(getattr(now, name) != getattr(tested, name) for name in _SMTP):
        return False
    settings.put(tx, MAIL_TESTED, str(tx.now))
    return True


def mail_password_changed(tx: Tx) -> None:
    """Note that the vault holds another password for the mail server: the test is void."""
    settings.put(tx, MAIL_TESTED, None)


def _check_one(declared: type, name: str, value: bool | int | str) -> None:
    check(declared(**{name: value}))


def _declared(present: object) -> Iterator[tuple[dataclasses.Field[Any], SettingFacts]]:
    return ((field, facts) for field, facts in facts_of(present) if field.name not in NOT_OVERLAID)


def _parsed(name: str, value: bool | int | str, kind: type) -> bool | int | str:
    """Return the value as its declaration types it. Raises InvalidInput."""
    if kind is bool:
        if value in (True, 1, "1", "true", "on", "yes"):
            return True
        if value in (False, 0, "0", "", "false", "off", "no"):
            return False
        raise InvalidInput(f"{name} is either on or off.", name)
    if kind is int:
        text = str(value).strip()
        if isinstance(value, bool) or not re.fullmatch(r"-?[0-9]{1,12}", text, re.ASCII):
            raise InvalidInput(f"{name} must be a whole number.", name)
        return int(text)
    text = str(value).strip()
    if name == "management_url":
        text = text.rstrip("/")
        if text and not _URL.fullmatch(text):
            raise InvalidInput("Write the address like https://box.example.org:8443.", name)
    elif name == "server_address" and not _ADDRESS.fullmatch(text):
        raise InvalidInput(
            "The server address has letters, digits and _ . - only: no port and no IPv6 address.",
            name,
        )
    elif name == "smtp_host" and not _HOST.fullmatch(text):
        raise InvalidInput("The mail server is a host name or an address.", name)
    elif name == "mail_address" and text:
        try:
            return names.email(text)
        except InvalidInput as error:
            raise InvalidInput(str(error), name) from None
    elif not text.isprintable():
        raise InvalidInput(f"{name} must not contain control characters.", name)
    return text
