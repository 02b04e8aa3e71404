"""Keys and passwords of endpoints: how they are drawn, salted and told apart (04 section 3)."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass

from gateway.base.entropy import Entropy
from gateway.base.errors import Conflict
from gateway.base.secret import Secret
from gateway.wire.digest import salted_password

KEY_LETTERS = "abcdefghijkmnpqrstuvwxyz"
KEY_ALPHABET = "0123456789" + KEY_LETTERS
"""Without l and o, which are taken for 1 and 0 (04 section 3.1)."""
PASSWORD_ALPHABET = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz"  # noqa: S105
"""Without I, O, l and o (04 section 3.1)."""
KEY_LENGTH_MAX = 32
"""The tracker refuses longer keys (04 section 2.3)."""
TRIES_AT_A_LENGTH = 3
"""Taken keys at one length before a longer one is tried."""
SALT_OCTETS = 16


@dataclass(frozen=True, slots=True)
class SaltedPassword:
    """What is stored of an endpoint's password; as good as the password itself (04 section 3.2)."""

    salt: bytes
    digest: bytes

    def __repr__(self) -> str:
        return "SaltedPassword(...)"

    def matches(self, password: Secret) -> bool:
        """Tell in constant time whether this was made of `password`."""
        return hmac.compare_digest(self.digest, salted_password(self.salt, password.reveal()))


def draw_key(entropy: Entropy, length: int) -> str:
    """Draw a client or site key: a letter, then letters and digits."""
    return entropy.text(KEY_LETTERS, 1) + entropy.text(KEY_ALPHABET, length - 1)


def draw_password(entropy: Entropy, length: int) -> Secret:
    """Draw a password for an endpoint."""
    return Secret(entropy.text(PASSWORD_ALPHABET, length))


def salt_password(entropy: Entropy, password: Secret) -> SaltedPassword:
    """Salt a password as the handshake needs it: SHA1(salt || UTF-16BE(password))."""
    salt = entropy.octets(SALT_OCTETS)
    return SaltedPassword(salt, salted_password(salt, password.reveal()))


def draw_free_key(entropy: Entropy, length: int, taken: Callable[[str], bool]) -> str:
    """Draw a key that `taken` does not know; longer ones after three collisions at a length.

    Raises Conflict when even the longest are taken, which means a broken source of randomness.
    """
    for characters in range(length, KEY_LENGTH_MAX + 1):
        for _ in range(TRIES_AT_A_LENGTH):
            key = draw_key(entropy, characters)
            if not taken(key):
                return key
    raise Conflict("No free key could be drawn. Try again; check the machine's random source.")
