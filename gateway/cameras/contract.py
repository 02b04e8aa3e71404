"""The camera contract: the same interface for every camera, whatever its maker (docs/contract.md).

Everything here is data; the bridge and the page of the contract are made of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.access.ports import RolesRule
from gateway.cameras.settings import CameraSettings
from gateway.model.kinds import EventKind, GuestAccess, GuestSupport
from gateway.model.names import HOSTNAME_MAX, NAME_SET, VERSION_MAX
from gateway.model.structure import EventDefinition, SiteStructure

ADMINISTRATOR, OPERATOR, USER = "Administrator", "Operator", "User"
ROLES = (ADMINISTRATOR, OPERATOR, USER)
"""Highest first; the order is part of the contract and of the structure's hash."""

EVENTS = (
    EventDefinition(EventKind.REPLACING, "Status", guest_access=GuestAccess.GUEST_DENIED),
    EventDefinition(EventKind.QUEUEING, "Motion", lifetime=3600, queue_size=200, roles=ROLES),
    EventDefinition(EventKind.PRIVATE, "Notice", lifetime=86_400),
)

RTSP_PORT = 554
WEB_PORT = 80
GATEWAY_PORT = 8080


@dataclass(frozen=True, slots=True)
class VirtualPort:
    """One virtual TCP port of a camera: what answers there and the lowest role that may ask."""

    number: int
    answers: str
    lowest_role: str

    @property
    def rule(self) -> RolesRule:
        """Return the rule under which the endpoint listens."""
        return RolesRule(roles_from(self.lowest_role))


PORTS = (
    VirtualPort(RTSP_PORT, "RTSP 1.0 of this camera, interleaved over TCP", USER),
    VirtualPort(GATEWAY_PORT, "the gateway's HTTP for this camera", USER),
    VirtualPort(WEB_PORT, "the camera's own web pages", ADMINISTRATOR),
)
"""What is served. Port 8000 (ONVIF) belongs to the contract and is not served yet."""


def roles_from(lowest: str) -> tuple[str, ...]:
    """Return `lowest` and every higher role. Raises ValueError for a role not of the contract."""
    return ROLES[: ROLES.index(lowest) + 1]


def holds(roles: tuple[str, ...], lowest: str) -> bool:
    """Tell whether one of `roles` is `lowest` or higher."""
    return not set(roles).isdisjoint(roles_from(lowest))


def site_structure(settings: CameraSettings) -> SiteStructure:
    """Return what every camera's service declares; the same for all, as a group demands."""
    return SiteStructure(
        service_type=settings.service_type,
        contract_author=settings.contract_author,
        guest_support=GuestSupport.STATELESS,
        roles=ROLES,
        owner_role=ADMINISTRATOR,
        events=EVENTS,
    )


def service_version(firmware: str) -> str:
    """Return a camera's firmware as a legal service version: 0 to 64 characters, `-` for others."""
    cleaned = "".join(each if each in NAME_SET else "-" for each in firmware.strip())
    return cleaned[:VERSION_MAX].rstrip()


def service_hostname(name: str, fallback: str = "Camera") -> str:
    """Return a camera's name as a legal hostname: 1 to 42 characters, single blanks, trimmed."""
    for text in (name, fallback):
        cleaned = "".join(each if each in NAME_SET else "-" for each in text.strip())
        cleaned = " ".join(cleaned.split())[:HOSTNAME_MAX].strip()
        if cleaned.strip("-"):
            return cleaned
    return "Camera"
