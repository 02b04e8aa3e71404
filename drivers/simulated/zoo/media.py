"""One viewer's media: pictures as RTP, interleaved into the RTSP connection or over UDP."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from drivers.simulated.zoo.packets import CodedPicture, RtpSender
from drivers.simulated.zoo.picture import CameraBlind, Eye
from gateway.driverkit.rtsp import frame_header

WRITE_BUFFER_MAX = 1024 * 1024
"""Octets waiting for a slow viewer before pictures are left out."""

REPORT_SECONDS = 5.0
"""Between two sender reports."""

PORT_TRIES = 20
"""Even and odd port pairs tried before UDP is refused."""


@dataclass(frozen=True, slots=True)
class Transport:
    """What a viewer asks for: a pair of channels (TCP) or of its UDP ports."""

    is_tcp: bool
    pair: tuple[int, int]
    server_pair: tuple[int, int] = (0, 0)


def parse_transport(value: str) -> Transport | None:
    """Return the first of the listed transports that can be served, or None."""
    for each in value.split(","):
        words = [word.strip() for word in each.split(";")]
        protocol = words[0].upper()
        options = dict(word.lower().partition("=")[::2] for word in words[1:])
        if "multicast" in options or not protocol.startswith("RTP/AVP"):
            continue
        if protocol == "RTP/AVP/TCP":
            pair = _pair(options.get("interleaved", "0-1"), 255)
            if pair is not None:
                return Transport(is_tcp=True, pair=pair)
        elif protocol in ("RTP/AVP", "RTP/AVP/UDP"):
            pair = _pair(options.get("client_port", ""), 65535)
            if pair is not None and pair[0] > 0:
                return Transport(is_tcp=False, pair=pair)
    return None


def _pair(text: str, highest: int) -> tuple[int, int] | None:
    first, _, second = text.partition("-")
    if not first.isdigit() or len(first) > 5 or (second and not second.isdigit()):
        return None
    low = int(first)
    high = int(second[:5]) if second else low + 1
    return (low, high) if low <= highest and high <= highest else None


class _Port(asyncio.DatagramProtocol):
    """A UDP port that only sends; what viewers report back is not needed."""


class MediaSession:
    """Sends one stream to one viewer between PLAY and the end."""

    def __init__(
        self,
        *,
        key: str,
        eye: Eye,
        writer: asyncio.StreamWriter,
        stalled: Callable[[], bool],
    ) -> None:
        self.key = key
        self._eye = eye
        self._writer = writer
        self._stalled = stalled
        self._sender = RtpSender(secrets.randbits(32), secrets.randbits(16))
        self._task: asyncio.Task[None] | None = None
        self._transport = Transport(is_tcp=True, pair=(0, 1))
        self._ports: list[asyncio.DatagramTransport] = []
        self._peer = ""

    @property
    def ssrc(self) -> int:
        """The source's number in every packet."""
        return self._sender.ssrc

    @property
    def sequence(self) -> int:
        """The number of the next packet."""
        return self._sender.sequence

    async def open(self, transport: Transport, local: str, peer: str) -> Transport:
        """Make ready to send; return the transport with our own ports. Raises OSError."""
        self._peer = peer
        if not transport.is_tcp:
            ports = await self._open_ports(local)
            transport = replace(transport, server_pair=ports)
        self._transport = transport
        return transport

    async def _open_ports(self, local: str) -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        for _ in range(PORT_TRIES):
            even = 20_000 + 2 * secrets.randbelow(15_000)
            opened: list[asyncio.DatagramTransport] = []
            try:
                for port in (even, even + 1):
                    made, _ = await loop.create_datagram_endpoint(_Port, local_addr=(local, port))
                    opened.append(made)
            except OSError:
                for each in opened:
                    each.close()
                continue
            self._ports = opened
            return even, even + 1
        raise OSError("no UDP ports are free")

    def play(self) -> None:
        """Begin to send, or go on after a pause."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"media {self.key}")

    async def pause(self) -> None:
        """Stop sending until the next play."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        """Stop for good and give the ports back."""
        await self.pause()
        for port in self._ports:
            port.close()
        self._ports = []

    async def _run(self) -> None:
        reported = 0.0
        waits_for_key = False
        try:
            async for picture in self._eye.pictures():
                if self._stalled():
                    waits_for_key = True
                    continue
                if self._is_congested():
                    waits_for_key = True
                if waits_for_key and (not picture.is_key or self._is_congested()):
                    continue
                waits_for_key = False
                if time.monotonic() - reported > REPORT_SECONDS:
                    self._send(self._sender.report(picture), is_control=True)
                    reported = time.monotonic()
                self._send_picture(picture)
        except CameraBlind:
            pass
        self._writer.transport.abort()

    def _is_congested(self) -> bool:
        waiting = self._writer.transport.get_write_buffer_size()
        return self._transport.is_tcp and waiting > WRITE_BUFFER_MAX

    def _send_picture(self, picture: CodedPicture) -> None:
        if not self._transport.is_tcp:
            for packet in self._sender.packets(picture):
                self._send(packet, is_control=False)
            return
        channel = self._transport.pair[0]
        framed = [frame_header(channel, len(p)) + p for p in self._sender.packets(picture)]
        self._writer.write(b"".join(framed))

    def _send(self, packet: bytes, *, is_control: bool) -> None:
        number = self._transport.pair[is_control]
        if self._transport.is_tcp:
            self._writer.write(frame_header(number, len(packet)) + packet)
        elif self._ports:
            self._ports[is_control].sendto(packet, (self._peer, number))
