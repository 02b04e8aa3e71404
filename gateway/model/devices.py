"""A device on the LAN as the registry remembers it; its credentials are in the cameras' vault."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class DeviceState(enum.StrEnum):
    """What the owner has decided about a device."""

    PENDING = "pending"
    ADOPTED = "adopted"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Sighting:
    """What discovery or an operator knows of a device; empty where it is not known.

    `identity` is stable across a change of address: a serial, a MAC, or the URL typed by hand.
    `properties` are texts of the driver's own, an ONVIF scope or a path of a second stream.
    """

    identity: str
    driver: str
    name: str = ""
    maker: str = ""
    model: str = ""
    firmware: str = ""
    serial: str = ""
    mac: str = ""
    address: str = ""
    port: int = 0
    path: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Device:
    """A row of the registry; `service_id` and `site_id` are set exactly while it is adopted."""

    id: int
    seen: Sighting
    state: DeviceState
    service_id: int | None
    site_id: int | None
    created_at: int
    last_seen_at: int
    adopted_at: int | None

    @property
    def identity(self) -> str:
        """Return the device's stable identity."""
        return self.seen.identity

    @property
    def name(self) -> str:
        """Return what to call it: its own name, else its model, else its identity."""
        return self.seen.name or self.seen.model or self.seen.identity
