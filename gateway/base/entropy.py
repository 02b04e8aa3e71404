"""Randomness as something that is passed in, from the system's cryptographic source."""

from __future__ import annotations

import secrets
import uuid
from typing import Protocol


class Entropy(Protocol):
    """Where salts, keys, tokens and uids come from."""

    def octets(self, count: int) -> bytes:
        """Return `count` unpredictable octets."""

    def uid(self) -> bytes:
        """Return the 16 octets of a fresh random UUID in network order."""

    def text(self, alphabet: str, count: int) -> str:
        """Return `count` characters drawn evenly from `alphabet`."""


class SystemEntropy:
    """The operating system's cryptographic source."""

    def octets(self, count: int) -> bytes:
        """Return `count` octets of the system's source."""
        return secrets.token_bytes(count)

    def uid(self) -> bytes:
        """Return a version 4 UUID as 16 octets in network order (01 section 2.4)."""
        return uuid.uuid4().bytes

    def text(self, alphabet: str, count: int) -> str:
        """Return `count` characters, each letter of `alphabet` equally likely."""
        return "".join(secrets.choice(alphabet) for _ in range(count))
