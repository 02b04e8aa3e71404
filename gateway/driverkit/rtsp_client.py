"""A conversation with one RTSP device over a connection that the gateway dialled.

One request at a time, login included. The device is pinned: whatever addresses its answers hold,
this conversation stays on the one connection it was given.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from gateway.base.errors import HostError, ProtocolViolation
from gateway.driverkit.digest import CameraCredentials, ChallengeOutcome, LoginAnswerer
from gateway.driverkit.driver import ByteReader, ByteWriter, DriverTools, RtspAddress
from gateway.driverkit.errors import Busy, CredentialsRefused, Misbehaved, Unreachable, Unsupported
from gateway.driverkit.rtsp import Headers, Interleaved, Request, Response, RtspReader
from gateway.driverkit.sdp import SdpSession, control_url, parse_sdp

CONNECT_SECONDS = 5.0
"""As for HTTP: a LAN connect takes milliseconds, weak Wi-Fi up to seconds."""

ANSWER_SECONDS = 10.0
"""A camera that wakes its encoder on DESCRIBE needs up to three seconds."""

READ_OCTETS = 64 * 1024

STRAYS_MAX = 64
"""Messages that are not our answer before we give up: requests of the camera, late answers."""

FRAMES_MAX = 20_000
"""Media frames before an answer comes: a camera that pours them cannot keep us busy for long."""

USER_AGENT = "Softnet Camera Gateway"


@dataclass(frozen=True, slots=True)
class Described:
    """A stream's description and the URL that its relative controls start from."""

    sdp: SdpSession
    base: str


class RtspConversation:
    """Requests to one device; close it in any case. Raises only the device errors."""

    def __init__(
        self,
        host: str,
        source: RtspAddress,
        *,
        tools: DriverTools,
        credentials: CameraCredentials | None,
        keep_frames: bool = False,
    ) -> None:
        """Prepare for the device at address literal `host`; nothing is opened before `open`."""
        self.url = RtspAddress(host, source.port, source.path).url
        self._host = host
        self._port = source.port
        self._tools = tools
        self._login = (
            None if credentials is None else LoginAnswerer(credentials, entropy=tools.entropy)
        )
        self._messages = RtspReader(keep_frames=keep_frames)
        self._reader: ByteReader | None = None
        self._writer: ByteWriter | None = None
        self._cseq = 0
        self._session = ""
        self._frames: list[Interleaved] = []

    async def open(self) -> None:
        """Connect. Raises Unreachable, or Denied when the policy forbids the address."""
        self._tools.policy.check(self._host)
        try:
            async with asyncio.timeout(CONNECT_SECONDS + 1):
                self._reader, self._writer = await self._tools.dial(
                    self._host, self._port, timeout_s=CONNECT_SECONDS
                )
        except (OSError, TimeoutError, HostError):
            raise Unreachable(
                f"Nothing answers at port {self._port} of the camera. Is it switched on?"
            ) from None

    async def close(self) -> None:
        """Close the connection; a session that plays is torn down first, without waiting long."""
        writer, self._writer, self._reader = self._writer, None, None
        if writer is None:
            return
        try:
            if self._session:
                request = Request("TEARDOWN", self.url, self._headers("TEARDOWN", self.url, ()))
                writer.write(request.encode())
                async with asyncio.timeout(1):
                    await writer.drain()
        except (OSError, TimeoutError):
            pass
        finally:
            self._session = ""
            writer.close()

    async def options(self) -> tuple[str, ...]:
        """Return the methods that the device names."""
        answer = await self.request("OPTIONS", self.url)
        public = ",".join(answer.headers.all("Public"))
        return tuple(sorted({each.strip().upper() for each in public.split(",")} - {""}))

    async def describe(self) -> Described:
        """Return what the device says of the stream."""
        answer = await self.request("DESCRIBE", self.url, [("Accept", "application/sdp")])
        try:
            sdp = parse_sdp(answer.body)
        except ProtocolViolation as error:
            raise Misbehaved(str(error)) from None
        base = answer.headers.get("Content-Base") or self.url
        # Of the base only the path counts: hosts and logins in it are not to be believed.
        return Described(sdp, control_url(self.url, base if "://" in base else self.url))

    async def setup(self, track_url: str, channel: int = 0) -> None:
        """Ask for a track interleaved on this connection, at `channel` and the one after it."""
        transport = f"RTP/AVP/TCP;unicast;interleaved={channel}-{channel + 1}"
        answer = await self.request("SETUP", track_url, [("Transport", transport)])
        session = (answer.headers.get("Session") or "").partition(";")[0].strip()
        if not session:
            raise Misbehaved("The camera opened a stream without a session.")
        self._session = session

    async def play(self) -> None:
        """Start what was set up."""
        await self.request("PLAY", self.url, [("Range", "npt=0.000-")])

    async def frames(self, *, silence_s: float = ANSWER_SECONDS) -> AsyncIterator[Interleaved]:
        """Yield media frames as they come; Unreachable after `silence_s` without any octet."""
        while True:
            while self._frames:
                yield self._frames.pop(0)
            message = await self._next(silence_s)
            if isinstance(message, Interleaved):
                yield message

    async def request(
        self, method: str, url: str, headers: Iterable[tuple[str, str]] = ()
    ) -> Response:
        """Send a request and return its answer of status 200..299, logging in when asked to.

        Raises CredentialsRefused, Busy (453, 503), Unsupported (404, 405, 461, 501 and others),
        Misbehaved, Unreachable.
        """
        extra = tuple(headers)
        for _ in range(3):
            fields = self._headers(method, url, extra)
            await self._send(Request(method, url, fields))
            answer = await self._answer()
            if answer.status != 401:
                if self._login is not None:
                    self._login.accepted()
                return _judged(method, answer)
            if self._login is None:
                raise CredentialsRefused("The camera asks for a user name and password.")
            outcome = self._login.challenged(
                answer.headers.all("WWW-Authenticate"), answered="Authorization" in fields
            )
            if outcome is ChallengeOutcome.UNSUPPORTED:
                raise Unsupported("The camera asks for a kind of login that we do not know.")
            if outcome is ChallengeOutcome.REFUSED:
                break
        raise CredentialsRefused("The camera refused this user name and password.")

    def _headers(self, method: str, url: str, extra: tuple[tuple[str, str], ...]) -> Headers:
        self._cseq += 1
        fields = [("CSeq", str(self._cseq)), ("User-Agent", USER_AGENT), *extra]
        if self._session:
            fields.append(("Session", self._session))
        authorization = None
        if self._login is not None:
            authorization = self._login.authorization(method, url)
        if authorization is not None:
            fields.append(("Authorization", authorization))
        return Headers(fields)

    async def _send(self, message: Request | Response) -> None:
        if self._writer is None:
            raise Unreachable("The connection to the camera is closed.")
        try:
            self._writer.write(message.encode())
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._writer.drain()
        except (OSError, TimeoutError):
            raise Unreachable("The camera closed the connection.") from None

    async def _answer(self) -> Response:
        strays = frames = 0
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while strays < STRAYS_MAX and frames < FRAMES_MAX:
                    message = await self._next(ANSWER_SECONDS)
                    if isinstance(message, Response) and message.cseq in (self._cseq, None):
                        return message
                    if isinstance(message, Interleaved):
                        frames += 1
                        if len(self._frames) < STRAYS_MAX:
                            self._frames.append(message)
                        continue
                    strays += 1
        except TimeoutError:
            raise Unreachable("The camera took too long to answer over RTSP.") from None
        raise Misbehaved("The camera answers what was not asked.")

    async def _next(self, silence_s: float) -> Request | Response | Interleaved:
        if self._reader is None:
            raise Unreachable("The connection to the camera is closed.")
        try:
            while (message := self._messages.next_message()) is None:
                async with asyncio.timeout(silence_s):
                    data = await self._reader.read(READ_OCTETS)
                if not data:
                    raise Unreachable("The camera closed the connection.")
                self._messages.feed(data)
        except ProtocolViolation as error:
            raise Misbehaved(f"The camera does not speak RTSP properly: {error}") from None
        except TimeoutError:
            raise Unreachable("The camera fell silent.") from None
        except OSError:
            raise Unreachable("The connection to the camera broke.") from None
        return message


def _judged(method: str, answer: Response) -> Response:
    if 200 <= answer.status < 300:
        return answer
    if answer.status == 403:
        raise CredentialsRefused("The camera does not let this account see the stream.")
    if answer.status in (453, 503):
        raise Busy("The camera serves as many viewers as it can; try again later.")
    if answer.status == 404:
        raise Unsupported("The camera has no stream at this path.")
    if 300 <= answer.status < 400:
        raise Unsupported("The camera sends us to another address; add that one instead.")
    raise Unsupported(f"The camera answered {method} with status {answer.status}.")
