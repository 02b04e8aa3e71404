"""The driver protocol: how the gateway learns a camera's streams and gets pictures from it.

A driver is constructed without side effects; ``probe`` learns identity and streams; ``close`` is
safe at any time and more than once. Every method raises only `driverkit.errors` and LocalError.
The gateway gives a driver its connections; a driver never opens sockets of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self
from urllib.parse import urlsplit

from gateway.base.clock import Clock
from gateway.base.entropy import Entropy
from gateway.base.errors import InvalidInput
from gateway.driverkit.addresses import AddressPolicy
from gateway.driverkit.digest import CameraCredentials
from gateway.driverkit.http import HttpAccess

URL_MAX = 1024
"""Characters of a camera URL; the longest known are near 500."""

PICTURE_MAX = 8 * 1024 * 1024
"""Octets of one snapshot; a 4K JPEG of high quality has about 4 MiB."""

RTSP_PORT = 554


class ByteReader(Protocol):
    """The reading half of a connection; asyncio.StreamReader is one."""

    async def read(self, n: int = -1, /) -> bytes:
        """Return up to `n` octets, or b"" at the end of the stream."""


class ByteWriter(Protocol):
    """The writing half of a connection; asyncio.StreamWriter is one."""

    def write(self, data: bytes, /) -> None:
        """Queue octets."""

    async def drain(self) -> None:
        """Wait until the queue is short enough to go on."""

    def close(self) -> None:
        """Close the whole connection."""


class Dial(Protocol):
    """Opens a TCP connection to an address literal that the caller has checked.

    Raises OSError, TimeoutError or a HostError when it cannot.
    """

    async def __call__(
        self, address: str, port: int, *, timeout_s: float
    ) -> tuple[ByteReader, ByteWriter]: ...


@dataclass(frozen=True, slots=True)
class RtspAddress:
    """An rtsp:// address taken apart; user and password are never part of it."""

    host: str
    port: int = RTSP_PORT
    path: str = "/"

    @property
    def url(self) -> str:
        """The address as an URL without login."""
        host = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        return f"rtsp://{host}:{self.port}{self.path}"

    @classmethod
    def parse(cls, text: str) -> RtspAddress:
        """Return the parts of an rtsp:// URL. Raises InvalidInput with a sentence for people."""
        stripped = text.strip()
        if len(stripped) > URL_MAX:
            raise InvalidInput(f"The address is longer than {URL_MAX} characters.", "url")
        if any(ord(each) <= 0x20 or ord(each) == 0x7F for each in stripped):
            raise InvalidInput("The address holds spaces or control characters.", "url")
        try:
            parts = urlsplit(stripped)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise InvalidInput("The address is malformed.", "url") from None
        if parts.scheme.lower() != "rtsp" or not host:
            raise InvalidInput("Type an address like rtsp://192.168.1.20:554/stream1.", "url")
        if "@" in parts.netloc:
            raise InvalidInput(
                "Leave user and password out of the address and type them in their own fields.",
                "url",
            )
        path = parts.path or "/"
        return cls(host, port or RTSP_PORT, f"{path}?{parts.query}" if parts.query else path)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTarget:
    """The device a driver is opened for.

    ``address`` is a checked IP literal, and the only one the driver may connect to. ``url`` is
    what a person typed, ``properties`` what the device announced (keys in lower case).
    """

    address: str
    port: int = 0
    properties: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    name: str = ""
    credentials: CameraCredentials | None = None
    snapshot_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """One stream of a device; zero or empty means unknown. ``name`` is "main", "sub" or a word."""

    name: str
    port: int
    path: str
    codec: str = ""
    width: int = 0
    height: int = 0
    fps: float = 0.0
    has_audio: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """What a probe learnt. ``identity`` equals the one that was sighted, or "" when unknown."""

    identity: str = ""
    name: str = ""
    maker: str = ""
    model: str = ""
    firmware: str = ""
    serial: str = ""
    mac: str = ""
    streams: tuple[StreamInfo, ...] = ()
    snapshot: bool = False
    web_port: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """One still picture; ``taken_at`` in Unix seconds."""

    octets: bytes = field(repr=False)
    content_type: str
    taken_at: float


@dataclass(frozen=True, slots=True)
class StreamSource:
    """Where the gateway pulls a stream by RTSP over TCP."""

    host: str
    port: int
    path: str


@dataclass(frozen=True, slots=True)
class WebTarget:
    """Where the device's own web pages are."""

    host: str
    port: int
    tls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverTools:
    """What the gateway lends a driver: connections, time and randomness.

    The driver's `close` also closes `http`.
    """

    http: HttpAccess
    dial: Dial
    policy: AddressPolicy
    clock: Clock
    entropy: Entropy

    @classmethod
    def lend(
        cls,
        target: DeviceTarget,
        *,
        dial: Dial,
        policy: AddressPolicy,
        clock: Clock,
        entropy: Entropy,
    ) -> Self:
        """Return the tools for one device. Raises Denied when its address is forbidden."""
        http = HttpAccess(
            target.address, credentials=target.credentials, policy=policy, entropy=entropy
        )
        return cls(http=http, dial=dial, policy=policy, clock=clock, entropy=entropy)


class Driver(Protocol):
    """One device in use. The class is called with (target, tools)."""

    async def probe(self) -> DeviceInfo:
        """Ask the device who it is and what streams it has."""

    async def snapshot(self) -> Picture:
        """Return the present picture."""

    def stream_source(self, name: str) -> StreamSource:
        """Return where stream `name` is; "" and "main" are the main one. Raises NotFound."""

    def web_target(self) -> WebTarget | None:
        """Return where the device's pages are, or None when it has none."""

    async def close(self) -> None:
        """Let go of everything; safe at any time and more than once."""


class DriverClass(Protocol):
    """What a manifest's `driver` names."""

    def __call__(self, target: DeviceTarget, tools: DriverTools) -> Driver: ...
