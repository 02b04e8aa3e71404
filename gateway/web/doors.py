"""What the pages need of the rooms below: the cameras and what is live on the tracker.

Both are protocols, so that the pages can be shown and tested without a LAN. The facade of the
cameras room and the tracker's view satisfy them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gateway.base.errors import Conflict
from gateway.base.secret import Secret
from gateway.driverkit.digest import CameraCredentials
from gateway.driverkit.driver import DeviceInfo, Picture


class FoundView(Protocol):
    """A device on the LAN that nobody has adopted yet; empty texts where nothing is known.

    One without an identity can only be added by its address; `conflict` says that two devices
    claim the same identity.
    """

    @property
    def identity(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def maker(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def driver(self) -> str: ...
    @property
    def present(self) -> bool: ...
    @property
    def conflict(self) -> bool: ...


class ProbedView(Protocol):
    """What a device said of itself when it was asked with the owner's credentials."""

    @property
    def info(self) -> DeviceInfo: ...
    @property
    def picture(self) -> Picture | None: ...


class CameraView(Protocol):
    """An adopted camera as it is now; `reason` is the last fault in words, or empty."""

    @property
    def device_id(self) -> int: ...
    @property
    def site_id(self) -> int: ...
    @property
    def service_id(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def maker(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def firmware(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def viewers(self) -> int: ...
    @property
    def since(self) -> float: ...
    @property
    def service_status(self) -> str: ...
    @property
    def service_trouble(self) -> str: ...


class SessionView(Protocol):
    """One open connection of a client to a camera; `since` in Unix seconds."""

    @property
    def id(self) -> str: ...
    @property
    def device_id(self) -> int: ...
    @property
    def camera(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def client_id(self) -> int: ...
    @property
    def port(self) -> int: ...
    @property
    def mode(self) -> str: ...
    @property
    def since(self) -> float: ...
    @property
    def octets(self) -> int: ...


class CameraDoor(Protocol):
    """The cameras room as the pages use it; its errors carry sentences for people.

    `where` is the identity of a found device, or an rtsp:// address.
    """

    def found(self) -> tuple[FoundView, ...]:
        """Return the devices on the LAN that are not adopted."""

    async def probe(
        self, where: str, credentials: CameraCredentials | None, *, driver: str | None = None
    ) -> ProbedView:
        """Ask a device who it is and for a picture."""

    async def adopt(
        self,
        owner_id: int,
        site_id: int,
        where: str,
        credentials: CameraCredentials | None,
        name: str,
    ) -> int:
        """Make a device a service of a site; return the device's id."""

    def adopted(self) -> tuple[CameraView, ...]:
        """Return the adopted cameras."""

    async def snapshot(self, device_id: int) -> Picture:
        """Return the camera's present picture."""

    async def rename(self, device_id: int, name: str) -> None:
        """Give a camera another name."""

    async def set_credentials(self, device_id: int, credentials: CameraCredentials | None) -> None:
        """Use other credentials for a camera."""

    async def forget(self, device_id: int) -> None:
        """Let go of a camera; its service is deleted."""

    def sessions(self) -> tuple[SessionView, ...]:
        """Return what is being watched now."""

    async def end_session(self, session_id: str) -> None:
        """Close one session. Raises NotFound."""

    def subscribe(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed` whenever any of this differs; return what ends it."""


class MailDoor(Protocol):
    """The sender of mail as the pages use it."""

    async def test(self, to: str) -> None:
        """Send a test letter now; when it is taken, mail travels by SMTP from then on."""

    async def set_password(self, password: Secret) -> None:
        """Keep the password of the mail server; an empty one is forgotten."""

    def has_password(self) -> bool:
        """Tell whether a password is kept."""


class NoMail:
    """The door of a gateway without a sender of mail."""

    async def test(self, to: str) -> None:  # noqa: ARG002  (the door's signature)
        """Refuse."""
        raise Conflict("This gateway runs without a sender of mail.")

    async def set_password(self, password: Secret) -> None:  # noqa: ARG002
        """Refuse."""
        raise Conflict("This gateway runs without a sender of mail.")

    def has_password(self) -> bool:
        """Return that none is kept."""
        return False


@dataclass(frozen=True, slots=True)
class LiveEndpoint:
    """An endpoint that is connected now; `status` is 'online' or why it is parked, in words."""

    online: bool
    status: str = ""
    address: str = ""
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class LiveSite:
    """Who of a site is connected now, by id."""

    services: Mapping[int, LiveEndpoint] = field(default_factory=dict)
    clients: Mapping[int, LiveEndpoint] = field(default_factory=dict)


class LiveDoor(Protocol):
    """What the tracker knows of the endpoints that are connected now."""

    def live(self, site_id: int) -> LiveSite:
        """Return who of the site is connected; an empty value when nobody is."""

    def subscribe(self, changed: Callable[[int], None]) -> Callable[[], None]:
        """Call `changed` with the id of a site whose answer may differ; return what ends it."""


class NobodyLive:
    """The door of a gateway that hosts no tracker."""

    def live(self, site_id: int) -> LiveSite:  # noqa: ARG002  (the door's signature)
        """Return that nobody is connected."""
        return LiveSite()

    def subscribe(self, changed: Callable[[int], None]) -> Callable[[], None]:  # noqa: ARG002
        """Never call `changed`."""
        return lambda: None
