"""Modules 1 and 2: open, restore, challenge, response, error; ping (01 sections 4 and 11.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Self

from gateway.asn1.errors import DecodeError
from gateway.model.kinds import ClientCategory
from gateway.wire.fields import Choice, Hash, Octets, Printable, Uid
from gateway.wire.message import Message

KEY_MIN, KEY_MAX = 4, 32
"""Client and site keys as the server accepts them (01 section 4.3)."""

ClientKey = Annotated[str, Printable(KEY_MIN, KEY_MAX)]


@dataclass(frozen=True, slots=True)
class Open(Message):
    """A service without channel id asks to be let in."""

    service_uid: Uid


@dataclass(frozen=True, slots=True)
class Restore(Message):
    """A service that already had a channel id asks to be let in."""

    service_uid: Uid
    channel_id: Uid


@dataclass(frozen=True, slots=True)
class ClientOpen(Message):
    """A client without channel id asks to be let in."""

    category: Annotated[ClientCategory, Choice(ClientCategory)]
    key: ClientKey


@dataclass(frozen=True, slots=True)
class ClientRestore(Message):
    """A client that already had a channel id asks to be let in."""

    category: Annotated[ClientCategory, Choice(ClientCategory)]
    key: ClientKey
    channel_id: Uid


@dataclass(frozen=True, slots=True)
class SaltAndKey1(Message):
    """The tracker's challenge."""

    salt: Annotated[bytes, Octets(16, 20)]
    key1: Hash


@dataclass(frozen=True, slots=True)
class HashAndKey2(Message):
    """The endpoint's answer to the challenge."""

    hash: Hash
    key2: Hash


@dataclass(frozen=True, slots=True)
class OpenOk(Message):
    """Authenticated; the channel id names this endpoint object from now on."""

    channel_id: Uid


@dataclass(frozen=True, slots=True)
class OpenOk2(Message):
    """A stateless client is in, without challenge."""


@dataclass(frozen=True, slots=True)
class RestoreOk(Message):
    """Authenticated; the channel id that was presented stays."""


@dataclass(frozen=True, slots=True)
class Error(Message):
    """The tracker ends the conversation; the body is a plain 16-bit number."""

    code: int

    def body(self) -> bytes:
        """Return the two octets of the code."""
        return self.code.to_bytes(2, "big")

    @classmethod
    def from_body(cls, body: bytes, **_fixed: Any) -> Self:
        """Read the two octets of the code."""
        if len(body) != 2:
            raise DecodeError("an error message has exactly two octets of code")
        return cls(int.from_bytes(body, "big"))


@dataclass(frozen=True, slots=True)
class Ping(Message):
    """Endpoint to tracker: answer at once."""


@dataclass(frozen=True, slots=True)
class Pong(Message):
    """Tracker to endpoint: the answer to a ping."""


@dataclass(frozen=True, slots=True)
class KeepAlive(Message):
    """Endpoint to tracker: I am here; no answer."""
