"""The virtual camera's RTSP face: DESCRIBE, SETUP over TCP or UDP, PLAY, and the faults."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from drivers.simulated.zoo.faults import Faults
from drivers.simulated.zoo.media import MediaSession, Transport, parse_transport
from drivers.simulated.zoo.packets import description
from drivers.simulated.zoo.picture import CameraBlind, Eye
from gateway.base.errors import ProtocolViolation
from gateway.driverkit.login_gate import Admission, LoginGate
from gateway.driverkit.rtsp import Headers, Interleaved, Request, Response, RtspReader

SESSION_SECONDS = 60
"""A session without any sign of life from its viewer ends after this."""

CONNECTIONS_MAX = 64
"""Connections at once; a real camera bears far fewer."""

METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER"

REASONS = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 405: "Not Allowed",
    453: "Not Enough Bandwidth", 454: "Session Not Found", 455: "Not Valid In This State",
    461: "Unsupported Transport", 500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip


@dataclass(slots=True)
class Counters:
    """What happened so far, for tests and the page."""

    connections: int = 0
    requests: int = 0
    logins_refused: int = 0
    describes: int = 0
    plays: int = 0
    methods: dict[str, int] = field(default_factory=dict)


class RtspServer:
    """Serves the camera's streams by path ("/main"); ``faults`` is asked anew at every step."""

    def __init__(
        self,
        *,
        name: str,
        eyes: dict[str, Eye],
        gate: LoginGate | None,
        faults: Callable[[], Faults],
        counters: Counters,
    ) -> None:
        self.name = name
        self.eyes = eyes
        self.gate = gate
        self.faults = faults
        self.counters = counters
        self.connections: set[RtspConnection] = set()
        self._server: asyncio.Server | None = None

    @property
    def sessions(self) -> int:
        """How many sessions are set up."""
        return sum(each.media is not None for each in self.connections)

    async def start(self, address: str, port: int) -> int:
        """Listen; return the port."""
        self._server = await asyncio.start_server(self._serve, address, port, backlog=32)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self.connections):
            connection.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.counters.connections += 1
        if self.faults().refuse or len(self.connections) >= CONNECTIONS_MAX:
            reset(writer)
            return
        connection = RtspConnection(self, reader, writer)
        self.connections.add(connection)
        try:
            await connection.run()
        except asyncio.CancelledError:
            # The program ends; Python 3.11's streams report a cancelled handler as an error.
            connection.abort()
        finally:
            self.connections.discard(connection)
            await connection.end()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a reset, as a camera does whose power goes."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class RtspConnection:
    """One viewer's connection with at most one session."""

    def __init__(
        self, server: RtspServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._messages = RtspReader()
        self.media: MediaSession | None = None
        self._dropper: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Answer requests until the viewer leaves, misbehaves or falls silent."""
        try:
            while True:
                async with asyncio.timeout(SESSION_SECONDS):
                    data = await self._reader.read(65536)
                if not data:
                    return
                self._messages.feed(data)
                while (message := self._messages.next_message()) is not None:
                    if isinstance(message, Request):
                        await self._answer(message)
                    elif not isinstance(message, Interleaved):
                        return
        except (OSError, TimeoutError, ProtocolViolation):
            return

    def abort(self) -> None:
        """Break the connection off."""
        self._writer.transport.abort()

    async def end(self) -> None:
        """Stop the media and close."""
        if self._dropper is not None:
            self._dropper.cancel()
        if self.media is not None:
            media, self.media = self.media, None
            await media.close()
        self._writer.close()

    async def _answer(self, request: Request) -> None:
        server, faults = self._server, self._server.faults()
        server.counters.requests += 1
        methods = server.counters.methods
        methods[request.method[:16]] = methods.get(request.method[:16], 0) + 1
        if faults.slow:
            await asyncio.sleep(faults.slow)
        if faults.garbage:
            self._writer.write(b"\x00\xffnot RTSP at all\r\n\r\n" * 8)
            await self._writer.drain()
            return
        try:
            response = await self._respond(request, faults)
        except CameraBlind:
            response = _response(request, 503)
        self._writer.write(response.encode())
        await self._writer.drain()
        if request.method == "PLAY" and response.status == 200 and self.media is not None:
            self.media.play()
            server.counters.plays += 1
            if faults.drop_after:
                self._dropper = asyncio.get_running_loop().call_later(faults.drop_after, self.abort)

    async def _respond(self, request: Request, faults: Faults) -> Response:
        if request.method == "OPTIONS":
            return _response(request, 200, ("Public", METHODS))
        refusal = self._refusal(request, faults)
        if refusal is not None:
            return refusal
        stream = self._stream_of(request)
        if request.method == "DESCRIBE":
            return await self._describe(request, stream, faults)
        if request.method == "SETUP":
            return await self._setup(request, stream, faults)
        if self.media is None:
            return _response(request, 455 if request.method in METHODS else 405)
        session = ("Session", f"{self.media.key};timeout={SESSION_SECONDS}")
        named = (request.headers.get("Session") or self.media.key).partition(";")[0].strip()
        if named != self.media.key:
            return _response(request, 454)
        if request.method == "PLAY":
            info = f"url={request.url};seq={self.media.sequence}"
            return _response(request, 200, session, ("Range", "npt=now-"), ("RTP-Info", info))
        if request.method == "PAUSE":
            await self.media.pause()
            return _response(request, 200, session)
        if request.method == "GET_PARAMETER":
            return _response(request, 200, session)
        if request.method == "TEARDOWN":
            media, self.media = self.media, None
            await media.close()
            return _response(request, 200)
        return _response(request, 405, ("Allow", METHODS))

    def _refusal(self, request: Request, faults: Faults) -> Response | None:
        gate = self._server.gate
        if gate is None:
            return None
        gate.nonce_uses = faults.stale_every
        verdict = gate.check(request.method, request.url, request.headers.get("Authorization"))
        if verdict is Admission.ADMITTED and not faults.wrong_password:
            return None
        if verdict in (Admission.REFUSED, Admission.ADMITTED):
            self._server.counters.logins_refused += 1
        offers = gate.challenges(stale=verdict is Admission.STALE)
        return _response(request, 401, *(("WWW-Authenticate", offer) for offer in offers))

    def _stream_of(self, request: Request) -> str | None:
        path = urlsplit(request.url).path.rstrip("/")
        path = path.removesuffix("/trackID=1").rstrip("/")
        path = path or "/main"
        return path if path in self._server.eyes else None

    async def _describe(self, request: Request, stream: str | None, faults: Faults) -> Response:
        if stream is None:
            return _response(request, 404)
        self._server.counters.describes += 1
        eye = self._server.eyes[stream]
        sets = (await eye.key_picture()).parameter_sets
        if sets is None:
            raise CameraBlind("the encoder sends no parameter sets")
        local = self._writer.get_extra_info("sockname")
        host = f"[{local[0]}]" if ":" in local[0] else local[0]
        gate = self._server.gate
        login = ""
        if faults.leak_credentials and gate is not None:
            login = f"{gate.credentials.user}:{gate.credentials.password.reveal()}@"
        base = f"rtsp://{login}{host}:{local[1]}{stream}/"
        control, aggregate = "trackID=1", "*"
        if login:
            control, aggregate = f"{base}trackID=1", base
        if faults.foreign_control:
            control, aggregate = f"rtsp://192.0.2.99:554{stream}/trackID=1", "*"
        body = description(
            name=self._server.name,
            address=str(local[0]),
            control=control,
            aggregate=aggregate,
            sets=sets,
            fps=eye.fps,
        )
        answer = _response(
            request, 200, ("Content-Base", base), ("Content-Type", "application/sdp")
        )
        return Response(answer.status, answer.reason, answer.headers, body)

    async def _setup(self, request: Request, stream: str | None, faults: Faults) -> Response:
        if stream is None:
            return _response(request, 404)
        if faults.busy or (faults.one_session and self._server.sessions > (self.media is not None)):
            return _response(request, 453)
        if self.media is not None:
            return _response(request, 455)
        transport = parse_transport(request.headers.get("Transport") or "")
        if transport is None:
            return _response(request, 461)
        peer = self._writer.get_extra_info("peername")
        local = self._writer.get_extra_info("sockname")
        media = MediaSession(
            key=secrets.token_hex(4),
            eye=self._server.eyes[stream],
            writer=self._writer,
            stalled=lambda: self._server.faults().stall,
        )
        try:
            chosen = await media.open(transport, str(local[0]), str(peer[0]))
        except OSError:
            return _response(request, 461)
        self.media = media
        session = ("Session", f"{media.key};timeout={SESSION_SECONDS}")
        return _response(request, 200, session, ("Transport", _printed(chosen, media)))


def _printed(transport: Transport, media: MediaSession) -> str:
    first, second = transport.pair
    ssrc = f"{media.ssrc:08X}"
    if transport.is_tcp:
        return f"RTP/AVP/TCP;unicast;interleaved={first}-{second};ssrc={ssrc}"
    own, next_own = transport.server_pair
    return f"RTP/AVP;unicast;client_port={first}-{second};server_port={own}-{next_own};ssrc={ssrc}"


def _response(request: Request, status: int, *fields: tuple[str, str]) -> Response:
    headers = Headers(
        [
            ("CSeq", request.headers.get("CSeq") or "0"),
            ("Server", "Softnet Virtual Camera"),
            *fields,
        ]
    )
    return Response(status, REASONS.get(status, ""), headers)
