"""RTSP messages of one side in the words of the other (no I/O; the camera contract, port 554).

A client's request becomes the camera's, or an answer of ours; a camera's answer becomes the
client's. Here lie the session, the described streams and what the client's role allows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from gateway.base.errors import InvalidInput, NotFound, ProtocolViolation
from gateway.cameras import rtsp_rewrite as rewrite
from gateway.cameras.rtsp_memo import OwnMemo, StreamMemo
from gateway.cameras.rtsp_rewrite import ClientPlace, Presentation
from gateway.driverkit.digest import LoginGround
from gateway.driverkit.driver import RtspAddress, StreamSource
from gateway.driverkit.rtsp import Headers, Request, Response

METHODS = (
    "OPTIONS", "DESCRIBE", "SETUP", "PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER",
)  # fmt: skip
OPERATOR_METHODS = ("SET_PARAMETER",)
REFUSED_METHODS = ("ANNOUNCE", "RECORD", "REDIRECT", "SET_PARAMETER")
"""Known, and not for this client: 405. What is not known at all: 501."""

BACK_CHANNEL = "www.onvif.org/ver20/backchannel"
PARAMETERS_MAX = 4096
"""Octets of a parameter list from a client."""
SESSION_MAX = 256
"""Characters of a camera's session id; real ones have under 40."""

_TO_CAMERA = ("Accept", "Range", "Scale", "Speed", "Blocksize", "Bandwidth")
_TO_CLIENT = ("Range", "Scale", "Speed", "Unsupported")
REASONS = {
    200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 406: "Not Acceptable", 451: "Parameter Not Understood",
    453: "Not Enough Bandwidth", 454: "Session Not Found", 455: "Method Not Valid in This State",
    457: "Invalid Range", 459: "Aggregate Operation Not Allowed",
    460: "Only Aggregate Operation Allowed", 461: "Unsupported Transport",
    500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Gateway Timeout", 551: "Option Not Supported",
}  # fmt: skip


class Phase(Enum):
    """Where the session stands."""

    IDLE = auto()
    READY = auto()
    PLAYING = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraRequest:
    """What the camera is asked, before CSeq, Session and login."""

    method: str
    url: str
    place: ClientPlace
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(slots=True, kw_only=True)
class Exchange:
    """A request under way to the camera; with `local` it only marks a place for our answer."""

    asked: Request
    sent: CameraRequest
    cseq: int = 0
    with_login: bool = False
    tries: int = 0
    redirects: int = 0
    local: Response | None = None


@dataclass(slots=True)
class _Session:
    """What one connection has set up; `camera` is the camera's session id."""

    camera: str = ""
    timeout: str = ""
    base: str = ""
    stream: str = ""
    tracks: list[int] = field(default_factory=list)
    channels_up: set[int] = field(default_factory=set)


class Refused(Exception):
    """The request gets this answer of ours."""

    def __init__(self, status: int, reason: str = "", *extra: tuple[str, str]) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.extra = extra


class RtspTranslator:
    """Both vocabularies of one connection. `hidden` are texts that must not reach the client."""

    def __init__(
        self,
        place: Callable[[str], StreamSource],
        *,
        operate: bool,
        session_id: str,
        hidden: Collection[str],
    ) -> None:
        self._place = place
        self._operate = operate
        self._session_id = session_id
        self._hidden = tuple(hidden)
        self._presentations: dict[str, Presentation] = {}
        self._session = _Session()
        self.methods = METHODS + OPERATOR_METHODS if operate else METHODS
        self.phase = Phase.IDLE
        self.source: StreamSource | None = None
        """The camera's end of this connection, once a request has named a stream."""

    def memo(self, login: LoginGround | None, echoes: tuple[str, ...]) -> StreamMemo:
        """Return what a playing session shares with all others of its stream."""
        kept = self._session
        return StreamMemo(
            place=self._place,
            operate=self._operate,
            hidden=self._hidden,
            echoes=echoes,
            login=login,
            presentations=tuple(self._presentations.items()),
            timeout=kept.timeout,
            base=kept.base,
            stream=kept.stream,
            tracks=tuple(kept.tracks),
            channels_up=frozenset(kept.channels_up),
            source=self.source,
        )

    def recall(self, memo: StreamMemo, own: OwnMemo) -> None:
        """Go on where the translator of the memo stood: playing."""
        self._presentations.update(memo.presentations)
        self._session = _Session(
            camera=own.camera_session,
            timeout=memo.timeout,
            base=memo.base,
            stream=memo.stream,
            tracks=list(memo.tracks),
            channels_up=set(memo.channels_up),
        )
        self.phase = Phase.PLAYING
        self.source = memo.source

    @property
    def session_id(self) -> str:
        """The session's id for the client."""
        return self._session_id

    @property
    def camera_session(self) -> str:
        """The camera's session id, or ""."""
        return self._session.camera

    @property
    def channels_up(self) -> Collection[int]:
        """Interleaved channels on which the client may send."""
        return self._session.channels_up

    def request(self, asked: Request) -> CameraRequest:
        """Translate a client's request. Raises Refused with the answer of ours."""
        method = asked.method
        if method not in self.methods:
            status = 405 if method in REFUSED_METHODS else 501
            raise Refused(status, "", ("Allow", ", ".join(self.methods)))
        session = (asked.headers.get("Session") or "").partition(";")[0].strip()
        if session and (session != self._session_id or self.phase is Phase.IDLE):
            raise Refused(454)
        if len(asked.body) > PARAMETERS_MAX:
            raise Refused(400, "The parameter list is too long.")
        headers = [*self._requirement(asked)]
        headers += rewrite.copied_headers(asked.headers, _TO_CAMERA, ())
        try:
            place = self._place_of(asked)
            url = self._camera_url(asked, place, headers)
        except InvalidInput as error:
            raise Refused(400, str(error)) from None
        except NotFound as error:
            raise Refused(404, str(error)) from None
        if asked.body:
            kind = asked.headers.get("Content-Type") or ""
            headers.append(("Content-Type", kind if kind.startswith("text/") else "text/plain"))
        if method == "DESCRIBE" and "Accept" not in asked.headers:
            headers.append(("Accept", "application/sdp"))
        return CameraRequest(
            method=method, url=url, place=place, headers=tuple(headers), body=asked.body
        )

    def _place_of(self, asked: Request) -> ClientPlace:
        place = ClientPlace("camera", "", None)
        if asked.url != "*":
            place = ClientPlace.parse(asked.url)
        if self.phase is not Phase.IDLE and asked.method not in ("DESCRIBE", "SETUP"):
            # A session has one stream: players keep alive with `*` or the camera's root as well.
            return replace(place, stream=self._session.stream)
        return place

    def _requirement(self, asked: Request) -> list[tuple[str, str]]:
        required = asked.headers.get("Require")
        if required is None:
            return []
        if self._operate and required.strip().lower() == BACK_CHANNEL:
            return [("Require", BACK_CHANNEL)]
        told = "".join(each for each in required[:128] if 0x20 <= ord(each) < 0x7F)
        raise Refused(551, "", ("Unsupported", told))

    def _camera_url(
        self, asked: Request, place: ClientPlace, headers: list[tuple[str, str]]
    ) -> str:
        stream = self._stream_url(place.name)
        presentation = self._presentations.get(place.name)
        if asked.method in ("OPTIONS", "DESCRIBE"):
            return stream
        if asked.method == "SETUP":
            return self._setup(asked, place, presentation, headers)
        if asked.method in ("PLAY", "PAUSE") and self.phase is Phase.IDLE:
            raise Refused(455)
        if presentation is None:
            return stream
        if place.track is not None:
            return self._track_url(presentation, place.track)
        return presentation.url

    def _setup(
        self,
        asked: Request,
        place: ClientPlace,
        presentation: Presentation | None,
        headers: list[tuple[str, str]],
    ) -> str:
        if presentation is None:
            raise Refused(455, "Ask for the description of the stream first.")
        index = place.track if place.track is not None else 0
        if place.track is None and len(presentation.tracks) > 1:
            raise Refused(459)
        url = self._track_url(presentation, index)
        channels = rewrite.choose_channels(asked.headers.get("Transport") or "", index)
        if channels is None:
            raise Refused(461)
        if presentation.tracks[index].to_camera and not self._operate:
            raise Refused(403, "Speaking to the camera needs the role Operator.")
        if self._session.tracks and self._session.stream != place.name:
            raise Refused(459, "Open another connection for another stream.")
        headers.append(
            ("Transport", f"RTP/AVP/TCP;unicast;interleaved={channels[0]}-{channels[1]}")
        )
        return url

    @staticmethod
    def _track_url(presentation: Presentation, index: int) -> str:
        if index >= len(presentation.tracks) or not presentation.tracks[index].url:
            raise NotFound("The stream has no such track.")
        return presentation.tracks[index].url

    def _stream_url(self, stream: str) -> str:
        source = self._place(stream)
        if self.source is None:
            self.source = source
        elif (source.host, source.port) != (self.source.host, self.source.port):
            raise Refused(459, "Open another connection for another stream.")
        path = source.path if source.path.startswith("/") else f"/{source.path}"
        return RtspAddress(source.host, source.port, path).url

    def keep_alive_url(self) -> str:
        """Return the URL of the whole session on the camera's side."""
        presentation = self._presentations.get(self._session.stream)
        return presentation.url if presentation else self._stream_url(self._session.stream)

    # -- the camera's answers

    def answer(self, asked: Request, sent: CameraRequest, response: Response) -> Response:
        """Translate a camera's answer. Raises ProtocolViolation when it makes no sense."""
        if not 200 <= response.status < 300:
            if response.status == 454 or sent.method == "TEARDOWN":
                self._forget_session()
            status = response.status if response.status in REASONS else 502
            return Response(status, REASONS[status])
        headers = rewrite.copied_headers(response.headers, _TO_CLIENT, self._hidden)
        body = b""
        if sent.method == "OPTIONS":
            public = rewrite.filtered_methods(response.headers.all("Public"), self.methods)
            headers = headers.with_field("Public", public)
        elif sent.method == "DESCRIBE":
            body = self._described(sent, response)
            headers = headers.with_field("Content-Base", sent.place.base)
            headers = headers.with_field("Content-Type", "application/sdp")
        elif sent.method == "SETUP":
            headers = headers.with_field("Transport", self._set_up(sent, response))
        elif sent.method == "PLAY":
            headers = self._played(sent, response, headers)
        elif sent.method == "PAUSE":
            self.phase = Phase.READY
        elif sent.method == "TEARDOWN" and (sent.place.track is None or len(self._tracks) < 2):
            self._forget_session()
        elif sent.method == "GET_PARAMETER" and asked.body and len(response.body) < PARAMETERS_MAX:
            body = rewrite.scrubbed_body(response.body, self._hidden)
            headers = headers.with_field("Content-Type", "text/parameters")
        return Response(200, "OK", headers, body)

    @property
    def _tracks(self) -> list[int]:
        return self._session.tracks

    def session_header(self) -> Headers:
        """Return the Session field for the client, none while nothing is set up."""
        if self.phase is Phase.IDLE:
            return Headers()
        timeout = f";timeout={self._session.timeout}" if self._session.timeout else ""
        return Headers([("Session", self._session_id + timeout)])

    def _described(self, sent: CameraRequest, response: Response) -> bytes:
        kind = (response.headers.get("Content-Type") or "application/sdp").partition(";")[0]
        if kind.strip().lower() != "application/sdp":
            raise ProtocolViolation("The camera's stream description is no SDP.")
        base = response.headers.get("Content-Base") or response.headers.get("Content-Location")
        body, presentation = rewrite.rewrite_description(
            response.body,
            requested=sent.url,
            base=base,
            stream=sent.place.name,
            hosts=self._hidden,
        )
        self._presentations[sent.place.name] = presentation
        return body

    def _set_up(self, sent: CameraRequest, response: Response) -> str:
        transport, channels = rewrite.camera_transport(response.headers.get("Transport") or "")
        session, _, parameters = (response.headers.get("Session") or "").partition(";")
        session = session.strip()
        if not session or len(session) > SESSION_MAX:
            raise ProtocolViolation("The camera opened a stream without a session.")
        kept = self._session
        if kept.camera != session:
            kept = self._session = _Session(session)
        timeout = parameters.lower().partition("timeout=")[2].partition(";")[0].strip()
        if timeout.isascii() and timeout.isdigit() and len(timeout) <= 5:
            kept.timeout = timeout
        kept.base, kept.stream = sent.place.base, sent.place.name
        index = sent.place.track or 0
        if index not in kept.tracks:
            kept.tracks.append(index)
        kept.channels_up.add(channels[1])
        if self._presentations[kept.stream].tracks[index].to_camera:
            kept.channels_up.add(channels[0])
        if self.phase is Phase.IDLE:
            self.phase = Phase.READY
        return transport

    def _played(self, sent: CameraRequest, response: Response, headers: Headers) -> Headers:
        self.phase = Phase.PLAYING
        info = response.headers.get("RTP-Info")
        presentation = self._presentations.get(sent.place.name)
        if info is None or presentation is None:
            return headers
        told = rewrite.rewrite_rtp_info(info, presentation, self._session.base, self._tracks)
        return headers.with_field("RTP-Info", told) if told else headers

    def _forget_session(self) -> None:
        self._session = _Session()
        self.phase = Phase.IDLE
