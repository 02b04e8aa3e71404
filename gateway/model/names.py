"""What a legal name is: one function for each kind of name (01 section 15.2, 04 section 2).

Each function returns the name as it is stored, or raises InvalidInput with a sentence for people.
"""

from __future__ import annotations

import re
import unicodedata
import uuid

from gateway.base.errors import InvalidInput

LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
NAME_SET = LETTERS | frozenset("0123456789_ $.*+#@%&=':^()[]-/!")
"""Printable ASCII without `" , ; < > ? \\ ` { | } ~`."""

USER_NAME_MAX = 36
HOSTNAME_MAX = 42
DOMAIN_NAME_MAX = 96
DESCRIPTION_MAX = 96
DECLARED_NAME_MAX = 256
"""Service type, contract author, role, event, client description."""
VERSION_MAX = 64
ACCOUNT_MIN, ACCOUNT_MAX = 4, 64
CONTACT_NAME_MAX = 64
EMAIL_MAX = 256
PASSWORD_MAX = 64
PING_PERIOD_MIN, PING_PERIOD_MAX = 10, 300

_EMAIL = re.compile(r"[^\s@]+@[^\s@.]+(\.[^\s@.]+)+")


def user_name(text: str) -> str:
    """Check the name of a domain user: 1-36 of the set, a letter first, no blank at the end."""
    return _of_set(text, "The user name", "name", USER_NAME_MAX, letter_first=True)


def hostname(text: str) -> str:
    """Check the name of a service: 1-42 of the set."""
    return _of_set(text.strip(), "The hostname", "hostname", HOSTNAME_MAX)


def role_name(text: str) -> str:
    """Check the name of a role: 1-256 of the set, a letter first."""
    return _of_set(text, "The role name", "role", DECLARED_NAME_MAX, letter_first=True)


def event_name(text: str) -> str:
    """Check the name of an event: 1-256 of the set, a letter first."""
    return _of_set(text, "The event name", "event", DECLARED_NAME_MAX, letter_first=True)


def service_type(text: str) -> str:
    """Check a service type: 1-256 of the set, a letter first."""
    return _of_set(text, "The service type", "service_type", DECLARED_NAME_MAX, letter_first=True)


def contract_author(text: str) -> str:
    """Check a contract author: 1-256 of the set, a letter first."""
    return _of_set(
        text, "The contract author", "contract_author", DECLARED_NAME_MAX, letter_first=True
    )


def version(text: str) -> str:
    """Check the version of a service: 0-64 of the set, blanks at the end allowed."""
    if not text:
        return text
    return _of_set(text, "The version", "version", VERSION_MAX, blank_at_end=True)


def client_description(text: str) -> str:
    """Check what a client program says about itself: 0-256 of the set, a letter first."""
    if not text:
        return text
    return _of_set(text, "The description", "description", DECLARED_NAME_MAX, letter_first=True)


def domain_name(text: str) -> str:
    """Check the name of a domain: 1-96 characters of any script, trimmed."""
    return _free_text(text, "The domain name", "name", 1, DOMAIN_NAME_MAX)


def site_description(text: str) -> str:
    """Check the description of a site: 0-96 characters of any script, trimmed."""
    return _free_text(text, "The site description", "description", 0, DESCRIPTION_MAX)


def full_name(text: str) -> str:
    """Check the name of a person or organisation: 4-64 characters of any script, trimmed."""
    return _free_text(text, "The full name", "full_name", ACCOUNT_MIN, ACCOUNT_MAX)


def account_name(text: str) -> str:
    """Check the name that an owner signs in with: 4-64 characters, no blank at either end."""
    if text != text.strip():
        raise InvalidInput(
            "The account name must not begin or end with a blank. Remove it.", "account_name"
        )
    return _free_text(text, "The account name", "account_name", ACCOUNT_MIN, ACCOUNT_MAX)


def contact_name(text: str) -> str:
    """Check what an owner calls a contact: 1-64 characters of any script, trimmed."""
    return _free_text(text, "The contact name", "name", 1, CONTACT_NAME_MAX)


def email(text: str) -> str:
    """Check the form of a mail address: something @ something . something, up to 256.

    A domain in another script is returned as mail servers know it (IDNA).
    """
    text = text.strip()
    refused = InvalidInput(
        f"This is not a mail address of at most {EMAIL_MAX} characters. "
        "Write it like name@example.org.",
        "email",
    )
    if len(text) > EMAIL_MAX or not _EMAIL.fullmatch(text) or _control(text):
        raise refused
    person, _, domain = text.rpartition("@")
    if not domain.isascii():
        try:
            text = f"{person}@{domain.encode('idna').decode('ascii')}"
        except UnicodeError:
            raise refused from None
    if len(text) > EMAIL_MAX:
        raise refused
    return text


def account_password(text: str, minimum: int) -> str:
    """Check the password of an account: `minimum`..64 characters, no blank at either end."""
    if not minimum <= len(text) <= PASSWORD_MAX:
        raise InvalidInput(
            f"The password must have {minimum} to {PASSWORD_MAX} characters.", "password"
        )
    if text != text.strip():
        raise InvalidInput(
            "The password must not begin or end with a blank. Remove it.", "password"
        )
    if _control(text):
        raise InvalidInput("The password must not contain control characters.", "password")
    return text


def ping_period(seconds: int) -> int:
    """Check a ping period: 0 for the endpoint's own value, or 10-300 seconds."""
    if seconds != 0 and not PING_PERIOD_MIN <= seconds <= PING_PERIOD_MAX:
        raise InvalidInput(
            f"The ping period must be 0 (the endpoint's own value) or {PING_PERIOD_MIN} to "
            f"{PING_PERIOD_MAX} seconds.",
            "ping_period",
        )
    return seconds


def uid_text(uid: bytes) -> str:
    """Return 16 octets as the lower-case text 8-4-4-4-12 that URIs carry."""
    return str(uuid.UUID(bytes=uid))


def _free_text(text: str, what: str, field: str, shortest: int, longest: int) -> str:
    text = text.strip()
    if not shortest <= len(text) <= longest:
        raise InvalidInput(f"{what} must have {shortest} to {longest} characters.", field)
    if _control(text):
        raise InvalidInput(
            f"{what} must not contain line breaks or other control characters. Remove them.", field
        )
    return text


def _control(text: str) -> bool:
    # Cc: controls. Cs: lone surrogates, which no file and no wire can carry. Zl, Zp: line breaks.
    return any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text)


def _of_set(
    text: str,
    what: str,
    field: str,
    longest: int,
    *,
    letter_first: bool = False,
    blank_at_end: bool = False,
) -> str:
    if not 1 <= len(text) <= longest:
        raise InvalidInput(f"{what} must have 1 to {longest} characters.", field)
    for char in text:
        if char not in NAME_SET:
            raise InvalidInput(
                f"{what} must not contain {char!r}. Use Latin letters, digits, blanks and "
                "_ $ . * + # @ % & = ' : ^ ( ) [ ] - / !",
                field,
            )
    if letter_first and text[0] not in LETTERS:
        raise InvalidInput(f"{what} must begin with a Latin letter.", field)
    if blank_at_end:
        return text
    if text[0] == " " or text[-1] == " ":
        raise InvalidInput(f"{what} must not begin or end with a blank. Remove it.", field)
    if "  " in text:
        raise InvalidInput(f"{what} must not have two blanks in a row. Leave one.", field)
    return text
