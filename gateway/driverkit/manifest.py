"""What a driver says of itself as data, so that a match needs no driver code.

A driver package exposes ``MANIFEST`` in its ``__init__`` and keeps its class in another module
that is imported only when a device of its kind is opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from gateway.base.errors import InvalidInput

IDENTITY_MAX = 128
"""Characters of a device identity; serials are under 64."""

_SERVICE_TYPE = re.compile(r"_[A-Za-z0-9-]{1,15}\._(tcp|udp)", re.ASCII | re.IGNORECASE)
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
_CLASS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", re.ASCII)
_SERIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{3,63}", re.ASCII)
_MAC_MARKS = re.compile(r"[:.\-]")
_MAC = re.compile(r"[0-9a-f]{12}", re.ASCII)


class IdentityKind(StrEnum):
    """What makes a device itself, whatever its address."""

    SERIAL = "serial"
    MAC = "mac"


@dataclass(frozen=True, slots=True)
class IdentityKey:
    """A TXT key that holds a stable identity."""

    kind: IdentityKind
    key: str


COMMON_IDENTITY = (
    IdentityKey(IdentityKind.MAC, "macaddress"),
    IdentityKey(IdentityKind.MAC, "mac"),
    IdentityKey(IdentityKind.SERIAL, "serial"),
    IdentityKey(IdentityKind.SERIAL, "serialno"),
    IdentityKey(IdentityKind.SERIAL, "id"),
)
"""Keys that devices of many makers use, most trustworthy first."""


@dataclass(frozen=True, slots=True)
class MdnsMatch:
    """A pattern for an announcement. Name and property values are shell patterns without case.

    ``service_type`` without the domain, for example ``_axis-video._tcp``.
    """

    service_type: str
    name: str = "*"
    properties: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _SERVICE_TYPE.fullmatch(self.service_type):
            raise InvalidInput(f"{self.service_type!r} is no DNS-SD service type like _rtsp._tcp.")
        lowered = {key.lower(): value for key, value in self.properties.items()}
        object.__setattr__(self, "properties", MappingProxyType(lowered))


@dataclass(frozen=True, slots=True)
class DriverManifest:
    """A driver as data. Among several matches the highest ``priority`` is the best.

    ``driver`` is ``"module:Class"``. ``identity`` lists TXT keys in order of preference;
    ``properties`` says which TXT keys carry maker and model.
    """

    name: str
    title: str
    driver: str
    mdns: tuple[MdnsMatch, ...] = ()
    needs_credentials: bool = True
    priority: int = 0
    identity: tuple[IdentityKey, ...] = COMMON_IDENTITY
    maker_key: str = "maker"
    model_key: str = "model"
    maker: str = ""
    by_url: bool = False
    """Whether a person may add a device of this kind by typing its rtsp:// address."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidInput(f"{self.name!r} is no driver name (a-z, 0-9, - and _).", "name")
        if not _CLASS.fullmatch(self.driver):
            raise InvalidInput(f"{self.driver!r} is not of the form module:Class.", "driver")
        if not self.title or len(self.title) > 100:
            raise InvalidInput("A driver's title has 1 to 100 characters.", "title")


def normal_mac(text: str) -> str | None:
    """Return 12 lower-case hex digits, or None for what is no MAC address of one device."""
    plain = _MAC_MARKS.sub("", text.strip()).lower()
    # Multicast addresses, all zeros and the like are placeholders of careless firmware.
    if not _MAC.fullmatch(plain) or int(plain[:2], 16) & 1 or plain in ("0" * 12, "f" * 12):
        return None
    return plain


def identity_from(kind: IdentityKind, value: str) -> str | None:
    """Return ``mac:...`` or ``serial:...``, or None when the value cannot tell devices apart."""
    if kind is IdentityKind.MAC:
        plain = normal_mac(value)
        return None if plain is None else f"mac:{plain}"
    serial = value.strip()
    if not _SERIAL.fullmatch(serial) or len(set(serial) - {"-", ".", "_"}) < 2:
        return None
    return f"serial:{serial.lower()}"


def identity_of(properties: Mapping[str, str], keys: tuple[IdentityKey, ...]) -> str | None:
    """Return the identity that announced properties carry, by the first key that is usable."""
    lowered = {key.lower(): value for key, value in properties.items()}
    for key in keys:
        value = lowered.get(key.key.lower())
        identity = identity_from(key.kind, value) if value else None
        if identity is not None:
            return identity
    return None
