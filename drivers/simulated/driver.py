"""The driver of our own virtual camera: its facts from /info.json, pictures from /snapshot.jpg."""

from __future__ import annotations

import json
from collections.abc import Mapping

from gateway.base.errors import NotFound
from gateway.driverkit.driver import (
    PICTURE_MAX,
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
from gateway.driverkit.manifest import IdentityKind, identity_from, normal_mac
from gateway.driverkit.rtsp_client import RtspConversation

INFO_MAX = 16 * 1024
"""Octets of /info.json; it has about 400."""

_JPEG_MAGIC = b"\xff\xd8"
_PATHS = {"main": "/main", "sub": "/sub"}


class SimulatedDriver:
    """One virtual camera, found by its announcement."""

    def __init__(self, target: DeviceTarget, tools: DriverTools) -> None:
        self._target = target
        self._tools = tools
        self._http_port = _port(target.properties.get("http", "")) or 80
        self._rtsp_port = _port(target.properties.get("rtsp", "")) or target.port or 554

    async def probe(self) -> DeviceInfo:
        """Read the camera's facts and see that its main stream is really there."""
        facts = await self._facts()
        serial = _text(facts, "serial")
        identity = identity_from(IdentityKind.SERIAL, serial)
        if identity is None:
            raise Misbehaved("The virtual camera has no usable serial number.")
        main = await self._describe("main")
        sub = await self._describe("sub")
        return DeviceInfo(
            identity=identity,
            name=_text(facts, "name"),
            maker=_text(facts, "maker"),
            model=_text(facts, "model"),
            firmware=_text(facts, "firmware"),
            serial=serial,
            mac=normal_mac(_text(facts, "mac")) or "",
            streams=(main, sub),
            snapshot=True,
            web_port=self._http_port,
        )

    async def snapshot(self) -> Picture:
        """Fetch the current picture."""
        reply = await self._tools.http.get(
            "/snapshot.jpg", port=self._http_port, max_octets=PICTURE_MAX
        )
        if reply.status != 200:
            raise Unsupported(f"The camera answered the snapshot with status {reply.status}.")
        if not reply.body.startswith(_JPEG_MAGIC):
            raise Misbehaved("The camera's snapshot is no JPEG picture.")
        return Picture(reply.body, "image/jpeg", self._tools.clock.wall())

    def stream_source(self, name: str) -> StreamSource:
        """Return one of the two streams. Raises NotFound for another name."""
        path = _PATHS.get(name or "main")
        if path is None:
            raise NotFound(f"This camera has no stream named {name[:32]!r}.")
        return StreamSource(self._target.address, self._rtsp_port, path)

    def web_target(self) -> WebTarget | None:
        """Return the camera's page."""
        return WebTarget(self._target.address, self._http_port)

    async def close(self) -> None:
        """Close the HTTP connections."""
        await self._tools.http.close()

    async def _facts(self) -> Mapping[str, object]:
        reply = await self._tools.http.get("/info.json", port=self._http_port, max_octets=INFO_MAX)
        if reply.status != 200:
            raise Unsupported(f"The camera answered /info.json with status {reply.status}.")
        try:
            facts = json.loads(reply.body)
        except (ValueError, RecursionError):
            raise Misbehaved("The camera's facts are no JSON.") from None
        if not isinstance(facts, dict):
            raise Misbehaved("The camera's facts are no JSON object.")
        return facts

    async def _describe(self, name: str) -> StreamInfo:
        source = RtspAddress(self._target.address, self._rtsp_port, _PATHS[name])
        conversation = RtspConversation(
            self._target.address,
            source,
            tools=self._tools,
            credentials=self._target.credentials,
        )
        try:
            await conversation.open()
            described = await conversation.describe()
        finally:
            await conversation.close()
        video = described.sdp.first("video")
        if video is None:
            raise Misbehaved("The virtual camera's stream has no picture.")
        return StreamInfo(
            name=name,
            port=source.port,
            path=source.path,
            codec=video.codec,
            width=video.width,
            height=video.height,
            fps=video.fps,
        )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or int(text) > 65535:
        return 0
    return int(text)


def _text(facts: Mapping[str, object], key: str) -> str:
    """Return a fact as one printable line of at most 64 characters."""
    value = facts.get(key, "")
    if not isinstance(value, str):
        return ""
    return "".join(each for each in value if each.isprintable())[:64].strip()
