"""A small RTSP player of our own: it checks every frame and asks while it plays."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Self

from gateway.driverkit.rtsp import Headers, Interleaved, Request, Response, RtspReader
from tests.cameras.harness import Gate


class Player:
    """Plays one track and notes gaps in the RTP sequence; `ask` may be called at any time."""

    def __init__(self, gate: Gate, url: str = "rtsp://x/main") -> None:
        self.url = url
        self._gate = gate
        self.frames = Counter[int]()
        self.pictures = 0
        self.gaps = 0
        self.octets = 0
        self.answers: list[Response] = []
        self.session = ""
        self._cseq = 0
        self._last: int | None = None
        self._messages = RtspReader(keep_frames=True)

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(
            self._gate.address, self._gate.port
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._writer.close()

    def send(self, method: str, *headers: tuple[str, str], url: str = "") -> int:
        self._cseq += 1
        fields = [("CSeq", str(self._cseq)), *headers]
        if self.session:
            fields.append(("Session", self.session))
        self._writer.write(Request(method, url or self.url, Headers(fields)).encode())
        return self._cseq

    async def ask(self, method: str, *headers: tuple[str, str], url: str = "") -> Response:
        cseq = self.send(method, *headers, url=url)
        async with asyncio.timeout(15):
            while True:
                message = await self.next()
                if isinstance(message, Response) and message.cseq == cseq:
                    return message

    async def next(self) -> Response | Interleaved:
        while (message := self._messages.next_message()) is None:
            data = await self._reader.read(65536)
            if not data:
                raise ConnectionError("the other side closed")
            self.octets += len(data)
            self._messages.feed(data)
        if isinstance(message, Interleaved):
            self._frame(message)
        elif isinstance(message, Response):
            self.answers.append(message)
        else:
            raise AssertionError("a request reached the client")
        return message

    def _frame(self, frame: Interleaved) -> None:
        self.frames[frame.channel] += 1
        if frame.channel != 0:
            return
        assert frame.payload[0] >> 6 == 2, "not RTP: the stream is out of step"
        number = int.from_bytes(frame.payload[2:4], "big")
        if self._last is not None and number != (self._last + 1) % 65536:
            self.gaps += 1
        self._last = number
        self.pictures += frame.payload[1] >> 7  # the marker ends a picture

    async def start(self) -> None:
        described = await self.ask("DESCRIBE", ("Accept", "application/sdp"))
        assert described.status == 200, described
        base = described.headers.get("Content-Base")
        transport = ("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1")
        set_up = await self.ask("SETUP", transport, url=f"{base}track0")
        assert set_up.status == 200, set_up
        self.session = (set_up.headers.get("Session") or "").partition(";")[0]
        assert (await self.ask("PLAY", ("Range", "npt=0-"))).status == 200

    async def watch(self, pictures: int) -> None:
        wanted = self.pictures + pictures
        async with asyncio.timeout(30):
            while self.pictures < wanted:
                await self.next()
