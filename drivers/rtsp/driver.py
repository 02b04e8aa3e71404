"""The driver of any RTSP camera: one stream, pictures by its snapshot URL or from the stream."""

from __future__ import annotations

import importlib.util
from urllib.parse import urlsplit

from gateway.base.errors import InvalidInput, NotFound
from gateway.driverkit.driver import (
    PICTURE_MAX,
    RTSP_PORT,
    DeviceInfo,
    DeviceTarget,
    DriverTools,
    Picture,
    RtspAddress,
    StreamInfo,
    StreamSource,
    WebTarget,
)
from gateway.driverkit.errors import Misbehaved, Unsupported
from gateway.driverkit.keyframe import picture_from_stream
from gateway.driverkit.manifest import COMMON_IDENTITY, identity_of, normal_mac
from gateway.driverkit.rtsp_client import RtspConversation

_JPEG_MAGIC = b"\xff\xd8"


class RtspDriver:
    """One camera at `target.url`, or at the port and `path` that it announced."""

    def __init__(self, target: DeviceTarget, tools: DriverTools) -> None:
        self._target = target
        self._tools = tools
        self._source = _source(target)
        self._snapshot = _snapshot_place(target)

    async def probe(self) -> DeviceInfo:
        """Ask for methods and the description of the stream."""
        conversation = RtspConversation(
            self._target.address,
            self._source,
            tools=self._tools,
            credentials=self._target.credentials,
        )
        try:
            await conversation.open()
            try:
                await conversation.options()
            except Unsupported:
                pass  # some firmwares know no OPTIONS; DESCRIBE decides
            described = await conversation.describe()
        finally:
            await conversation.close()
        video = described.sdp.first("video")
        if video is None:
            raise Unsupported("The camera's stream has no picture.")
        can_decode = video.codec in ("H264", "H265") and importlib.util.find_spec("av") is not None
        announced = self._target.properties
        address = f"{self._target.address}:{self._source.port}{self._source.path}"
        return DeviceInfo(
            # Known by URL only: then the URL is all there is to tell it by.
            identity=identity_of(announced, COMMON_IDENTITY) or f"rtsp:{address}",
            name=self._target.name,
            maker=announced.get("maker", "")[:64],
            model=announced.get("model", "")[:64],
            mac=normal_mac(announced.get("macaddress", announced.get("mac", ""))) or "",
            streams=(
                StreamInfo(
                    name="main",
                    port=self._source.port,
                    path=self._source.path,
                    codec=video.codec,
                    width=video.width,
                    height=video.height,
                    fps=video.fps,
                    has_audio=described.sdp.first("audio") is not None,
                ),
            ),
            snapshot=self._snapshot is not None or can_decode,
        )

    async def snapshot(self) -> Picture:
        """Fetch the snapshot URL where one is known, else take the stream's next key picture."""
        if self._snapshot is None:
            return await picture_from_stream(
                self._target.address,
                self._source,
                tools=self._tools,
                credentials=self._target.credentials,
            )
        port, tls, path = self._snapshot
        reply = await self._tools.http.get(path, port=port, tls=tls, max_octets=PICTURE_MAX)
        if reply.status != 200:
            raise Unsupported(f"The camera answered the snapshot with status {reply.status}.")
        if not reply.body.startswith(_JPEG_MAGIC):
            raise Misbehaved("The camera's snapshot is no JPEG picture.")
        return Picture(reply.body, "image/jpeg", self._tools.clock.wall())

    def stream_source(self, name: str) -> StreamSource:
        """Return the one stream there is. Raises NotFound for any name but main."""
        if name not in ("", "main"):
            raise NotFound(f"This camera has no stream named {name[:32]!r}.")
        return StreamSource(self._target.address, self._source.port, self._source.path)

    def web_target(self) -> WebTarget | None:
        """Return None: an RTSP address says nothing of web pages."""
        return None

    async def close(self) -> None:
        """Close the HTTP connections."""
        await self._tools.http.close()


def _source(target: DeviceTarget) -> RtspAddress:
    if target.url:
        return RtspAddress.parse(target.url)
    host = f"[{target.address.partition('%')[0]}]" if ":" in target.address else target.address
    path = target.properties.get("path", "/")
    path = path if path.startswith("/") else f"/{path}"
    return RtspAddress.parse(f"rtsp://{host}:{target.port or RTSP_PORT}{path}")


def _snapshot_place(target: DeviceTarget) -> tuple[int, bool, str] | None:
    """Return (port, tls, path) of the snapshot URL; its host is always the device itself."""
    if not target.snapshot_url:
        return None
    try:
        parts = urlsplit(target.snapshot_url)
        port = parts.port
    except ValueError:
        raise InvalidInput("The snapshot address is malformed.", "snapshot_url") from None
    if parts.scheme not in ("http", "https") or "@" in parts.netloc:
        raise InvalidInput(
            "Type a snapshot address like http://192.168.1.20/snapshot.jpg, without a login.",
            "snapshot_url",
        )
    tls = parts.scheme == "https"
    path = parts.path or "/"
    path = f"{path}?{parts.query}" if parts.query else path
    return port or (443 if tls else 80), tls, path
