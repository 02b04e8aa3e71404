"""RTSP between one client and one camera, without I/O (the camera contract, port 554).

Octets of both sides in, octets for both sides out. The mediator speaks to the client in the
gateway's name and to the camera with the camera's login. How what the camera sends flows:

FRAMED  every message and frame is seen; before PLAY, and again after a request in between
FED     somebody else carries the octets to the client unseen (the data path)
LOOSE   octets come here again but out of step; they pass while one answer is looked for

The owner drives it: `client_octets`, `camera_octets`; then sends `to_client` and `to_camera`;
then does what `wants_camera`, `wants_reclaim`, `can_feed` ask for; `finished` ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from enum import Enum, auto

from gateway.base.errors import GatewayError, ProtocolViolation
from gateway.cameras.rtsp_loose import AnswerSearch
from gateway.cameras.rtsp_memo import REQUEST_LOAD, OwnMemo, StreamMemo
from gateway.cameras.rtsp_rewrite import ClientPlace, camera_url, without_echoes
from gateway.cameras.rtsp_translate import (
    REASONS,
    CameraRequest,
    Exchange,
    Phase,
    Refused,
    RtspTranslator,
)
from gateway.driverkit.digest import ChallengeOutcome, LoginAnswerer, LoginMemo
from gateway.driverkit.driver import StreamSource
from gateway.driverkit.errors import CredentialsRefused, Misbehaved, Unreachable
from gateway.driverkit.rtsp import Headers, Interleaved, Request, Response, RtspReader

USER_AGENT = "Softnet Camera Gateway"
REDIRECTS_MAX = 2
LOGIN_TRIES = 3
"""A fresh login takes two, a nonce that has just gone stale a third."""
STRAYS_MAX = 64
"""Messages from the camera that answer nothing; more, and it is not speaking RTSP."""


class Flow(Enum):
    """How the camera's octets reach the client."""

    FRAMED = auto()
    FED = auto()
    LOOSE = auto()


class RtspMediator:
    """One client and one camera.

    `place` finds a stream by its name and raises NotFound. `operate`: the client is Operator or
    higher. `first_cseq` and `session_id` are random. `refusal` (status, sentence) answers every
    request without asking the camera. `hidden` are texts that must not reach the client, `echoes`
    logins as a camera may repeat them in URLs ("user:password@"); they are taken out first.
    """

    def __init__(
        self,
        *,
        place: Callable[[str], StreamSource],
        login: LoginAnswerer | None,
        operate: bool,
        first_cseq: int,
        session_id: str,
        hidden: Collection[str] = (),
        echoes: Collection[str] = (),
        refusal: tuple[int, str] | None = None,
    ) -> None:
        self._login = login
        self._cseq = first_cseq
        self._refusal = refusal
        self._echoes = tuple(echoes)
        self._words = RtspTranslator(place, operate=operate, session_id=session_id, hidden=hidden)
        self._from_client = RtspReader(keep_frames=True)
        self._from_camera = RtspReader(keep_frames=True)
        self._search = AnswerSearch()
        self._to_client = bytearray()
        self._to_camera = bytearray()
        self._connected = False
        self._exchange: Exchange | None = None
        self._next: Request | None = None
        self._strays = 0
        self.flow = Flow.FRAMED
        self.load = 0
        """What the client has asked so far: REQUEST_LOAD each time, 1 for a frame to nowhere."""
        self.exchanges = 0
        """Requests to the camera so far."""
        self.finished: GatewayError | bool = False
        """False; True after an orderly end; or what ended it."""
        self.fault: GatewayError | None = None
        """What was wrong with the camera, if anything: refused login, silence, nonsense."""

    # -- what the owner of the sockets asks

    @property
    def wants_camera(self) -> StreamSource | None:
        """Where to connect to now: call `camera_connected` or `camera_failed` afterwards."""
        if self._exchange is None or self._connected or self.finished:
            return None
        return self._words.source

    @property
    def wants_reclaim(self) -> bool:
        """Whether the feed must stop first: call `reclaimed` when it has."""
        return self.flow is Flow.FED and self._next is not None and not self.finished

    @property
    def waiting(self) -> bool:
        """Whether the camera owes an answer; until then nothing more is taken of the client."""
        return self._exchange is not None and not self.finished

    @property
    def playing(self) -> bool:
        """Whether media flows."""
        return self._words.phase is Phase.PLAYING

    @property
    def can_feed(self) -> bool:
        """Whether the camera's octets may go to the client unseen from here on."""
        return (
            self.flow is Flow.FRAMED
            and self.playing
            and self._exchange is None
            and self._next is None
            and not self.finished
        )

    @property
    def can_rest(self) -> bool:
        """Whether nothing is under way between the two: `memo` holds all there is to know."""
        busy = self._exchange or self._next or self._to_client or self._to_camera or self.finished
        return self.flow is Flow.FED and not busy and self._from_client.at_boundary

    def memo(self) -> tuple[StreamMemo, OwnMemo]:
        """Return what `recalled` needs to go on as if nothing had been; only when `can_rest`."""
        login = self._login.memo() if self._login is not None else None
        words = self._words
        nonce, opaque, uses = (login.nonce, login.opaque, login.uses) if login else ("", None, 0)
        numbers = uses, self._cseq, self._strays, self.load
        own = OwnMemo(words.session_id, words.camera_session, nonce, opaque, *numbers)
        return words.memo(login.ground if login else None, self._echoes), own

    @classmethod
    def recalled(cls, shared: StreamMemo, own: OwnMemo) -> RtspMediator:
        """Return a mediator that goes on where that of the memo stood: fed."""
        login = LoginMemo(shared.login, own.nonce, own.opaque, own.uses) if shared.login else None
        mediator = cls(
            place=shared.place, login=LoginAnswerer.recalled(login) if login else None,
            operate=shared.operate, first_cseq=own.cseq, session_id=own.session_id,
            hidden=shared.hidden, echoes=shared.echoes,
        )  # fmt: skip
        mediator._words.recall(shared, own)
        mediator._connected = True
        mediator._strays, mediator.load = own.strays, own.load
        mediator.flow = Flow.FED
        return mediator

    def begin_feed(self) -> bytes:
        """Return what was already read of the camera and belongs before what is fed."""
        self.flow = Flow.FED
        return self._from_camera.take_rest()

    def reclaimed(self) -> None:
        """The feed has stopped; the camera's octets come here again."""
        self.flow = Flow.LOOSE
        self._search = AnswerSearch()
        request, self._next = self._next, None
        if request is not None and not self.finished:
            self._request(request)
        self._advance()

    def camera_connected(self) -> None:
        """The connection that `wants_camera` asked for is there."""
        self._connected = True
        if self._exchange is not None:
            self._send(self._exchange)

    def camera_failed(self, why: GatewayError) -> None:
        """The camera cannot be reached or fell away: the client is told where it can be."""
        self._give_up(503, why)

    def overdue(self) -> None:
        """The camera did not answer in time."""
        self._give_up(504, Unreachable("The camera took too long to answer over RTSP."))

    def to_client(self) -> bytes:
        """Return the octets for the client and forget them."""
        return _emptied(self._to_client) if self._to_client else b""

    def to_camera(self) -> bytes:
        """Return the octets for the camera and forget them."""
        return _emptied(self._to_camera) if self._to_camera else b""

    def farewell(self) -> bytes:
        """Return the TEARDOWN that a camera should see when the client just went away."""
        if self._words.phase is Phase.IDLE or not self._connected:
            return b""
        url = self._words.keep_alive_url()
        sent = CameraRequest(method="TEARDOWN", url=url, place=ClientPlace("camera", "", None))
        return self._printed(sent)[0]

    # -- the client's side

    def client_octets(self, data: bytes) -> None:
        """Take octets of the client; empty means that it closed its direction."""
        if self.finished:
            return
        if not data:
            self.finished = True
            return
        self._from_client.feed(data)
        self._advance()

    def _advance(self) -> None:
        try:
            while not self.finished and self._exchange is None and self._next is None:
                message = self._from_client.next_message()
                if message is None:
                    return
                if isinstance(message, Interleaved):
                    # Receiver reports, and speech on the back channel; no other has a place to go.
                    if self._connected and message.channel in self._words.channels_up:
                        self._to_camera += message.encode()
                    else:
                        self.load += 1
                    continue
                self.load += REQUEST_LOAD
                if isinstance(message, Request):
                    if self.flow is Flow.FED:
                        self._next = message
                    else:
                        self._request(message)
        except ProtocolViolation as error:
            if self.flow is Flow.FRAMED:
                self._to_client += Response(400, REASONS[400]).encode()
            self.finished = error

    def _request(self, asked: Request) -> None:
        if asked.cseq is None:
            self.finished = ProtocolViolation("The client sent a request without CSeq.")
            if self.flow is Flow.FRAMED:
                self._to_client += Response(400, REASONS[400]).encode()
            return
        try:
            if self._refusal is not None:
                raise Refused(*self._refusal)
            sent = self._words.request(asked)
        except Refused as refused:
            self._answer(asked, refused)
            self.finished = self.finished or self._refusal is not None
            return
        self._start(Exchange(asked=asked, sent=sent))

    def _answer(self, asked: Request, refused: Refused) -> None:
        """Answer in our own name: at once, or, out of step, where the camera shows a boundary."""
        reason = refused.reason or REASONS[refused.status]
        response = Response(refused.status, reason, Headers(refused.extra))
        if self.flow is Flow.FRAMED:
            self._tell(asked, response)
            return
        url = self._words.keep_alive_url()
        marker = CameraRequest(method="OPTIONS", url=url, place=ClientPlace("camera", "", None))
        self._start(Exchange(asked=asked, sent=marker, local=response))

    def _tell(self, asked: Request, response: Response) -> None:
        headers = Headers([("CSeq", str(asked.cseq)), ("Server", USER_AGENT)])
        if "Session" not in response.headers:
            headers = Headers([*headers, *self._words.session_header()])
        reason = "".join(each if 0x20 <= ord(each) < 0x7F else "?" for each in response.reason)
        fields = Headers([*headers, *response.headers])
        self._to_client += Response(response.status, reason, fields, response.body).encode()

    def _give_up(self, status: int, why: GatewayError) -> None:
        self.fault = why
        exchange, self._exchange = self._exchange, None
        if exchange is not None and self.flow is Flow.FRAMED:
            self._tell(exchange.asked, Response(status, str(why)))
        self.finished = self.finished or why

    # -- the camera's side

    def _start(self, exchange: Exchange) -> None:
        self._exchange = exchange
        if self._connected:
            self._send(exchange)

    def _send(self, exchange: Exchange) -> None:
        exchange.tries += 1
        octets, exchange.with_login = self._printed(exchange.sent)
        exchange.cseq = self._cseq
        self.exchanges += 1
        self._to_camera += octets

    def _printed(self, sent: CameraRequest) -> tuple[bytes, bool]:
        self._cseq += 1
        fields = [("CSeq", str(self._cseq)), ("User-Agent", USER_AGENT), *sent.headers]
        if self._words.camera_session and sent.method != "DESCRIBE":
            fields.append(("Session", self._words.camera_session))
        login = None
        if self._login is not None:
            login = self._login.authorization(sent.method, sent.url)
        if login is not None:
            fields.append(("Authorization", login))
        return Request(sent.method, sent.url, Headers(fields), sent.body).encode(), bool(login)

    def camera_octets(self, data: bytes) -> None:
        """Take octets of the camera; empty means that it closed the connection."""
        if self.finished:
            return
        if not data:
            if self._exchange is None and self.flow is Flow.LOOSE:
                self._to_client += self._search.flush()
            self._give_up(503, Unreachable("The camera closed the connection."))
            return
        try:
            if self.flow is Flow.LOOSE:
                expected = self._exchange.cseq if self._exchange is not None else None
                passed, rest = self._search.take(data, expected)
                self._to_client += passed
                if rest is None:
                    return
                self.flow = Flow.FRAMED
                self._from_camera = RtspReader(keep_frames=True)
                data = rest
            self._from_camera.feed(data)
            while not self.finished and not self.can_feed:
                message = self._from_camera.next_message()
                if message is None:
                    return
                self._from_camera_came(message)
        except ProtocolViolation as error:
            self._give_up(502, Misbehaved(f"The camera does not speak RTSP properly: {error}"))

    def _from_camera_came(self, message: Request | Response | Interleaved) -> None:
        if isinstance(message, Interleaved):
            if self._words.phase is not Phase.IDLE:
                self._to_client += message.encode()
            return
        exchange = self._exchange
        if isinstance(message, Response) and exchange is not None:
            if message.cseq == exchange.cseq or "CSeq" not in message.headers:
                self._answered(exchange, without_echoes(message, self._echoes))
                return
        elif isinstance(message, Request):
            cseq = Headers([("CSeq", str(message.cseq or 0))])  # nothing of it reaches the client
            self._to_camera += Response(501, REASONS[501], cseq).encode()
        self._strays += 1
        if self._strays > STRAYS_MAX:
            raise ProtocolViolation("it sends what was not asked")

    def _answered(self, exchange: Exchange, response: Response) -> None:
        if response.status == 401:
            self._challenged(exchange, response)
            return
        if self._login is not None:
            self._login.accepted()
        redirected = response.headers.get("Location")
        if 300 <= response.status < 400 and redirected and exchange.sent.method == "DESCRIBE":
            url = camera_url(exchange.sent.url, redirected)
            exchange.redirects += 1
            if url and exchange.redirects <= REDIRECTS_MAX:
                exchange.sent = replace(exchange.sent, url=url)
                exchange.tries = 0
                self._send(exchange)
                return
        answer = exchange.local
        if answer is None:
            # A violation leaves the exchange in place, so that the client is told.
            answer = self._words.answer(exchange.asked, exchange.sent, response)
        self._exchange = None
        self._tell(exchange.asked, answer)
        self._advance()

    def _challenged(self, exchange: Exchange, response: Response) -> None:
        sentence = "The camera refused the user name and password that the gateway has for it."
        if self._login is None:
            sentence = "The camera asks for a user name and password; the gateway has none for it."
        else:
            outcome = self._login.challenged(
                response.headers.all("WWW-Authenticate"), answered=exchange.with_login
            )
            if outcome is ChallengeOutcome.RETRY and exchange.tries < LOGIN_TRIES:
                self._send(exchange)
                return
            if outcome is ChallengeOutcome.UNSUPPORTED:
                sentence = "The camera asks for a kind of login that the gateway does not know."
        self._give_up(503, CredentialsRefused(sentence))


def _emptied(octets: bytearray) -> bytes:
    data = bytes(octets)
    octets.clear()
    return data
