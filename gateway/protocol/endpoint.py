"""A connection to a tracker seen from the endpoint: handshake, pings, errors (01 sections 3 to 6).

What a service and a client do alike is here; `endpoint_service` and `endpoint_client` add what
each of them installs, keeps and asks. What must survive a reconnect is a value handed in (their
`ServiceMemory` and `ClientMemory`); a session itself lives as long as its stream.
"""

from __future__ import annotations

import enum

from gateway.base.entropy import Entropy
from gateway.base.errors import GatewayError, RemoteError
from gateway.base.secret import Secret
from gateway.model.kinds import ClientStatus, EndpointType, ServiceStatus
from gateway.protocol.endpoint_events import (
    Authenticated,
    EndpointReport,
    SessionEnded,
    SessionFailed,
    StatusChanged,
)
from gateway.protocol.liveness import Beat, PingMonitor
from gateway.protocol.machine import Conversation
from gateway.wire import catalogue
from gateway.wire.catalogue import Direction
from gateway.wire.channel import (
    Error,
    HashAndKey2,
    KeepAlive,
    OpenOk,
    OpenOk2,
    Ping,
    Pong,
    RestoreOk,
    SaltAndKey1,
)
from gateway.wire.codes import ErrorCode
from gateway.wire.digest import challenge_response, salted_password
from gateway.wire.framing import FRAME_MAX, HANDSHAKE_SERVICE_MAX, FrameBuffer
from gateway.wire.installer import Params, SetPingPeriod
from gateway.wire.message import Message

VERSION = 1
INSTALL_LIMIT = 60.0
"""Seconds from the stream to online or parked; the reference has no such limit (01 4.5)."""

_SENTENCES = {
    ErrorCode.INCOMPATIBLE_PROTOCOL_VERSION: "The server speaks another version of the protocol.",
    ErrorCode.SERVICE_NOT_REGISTERED: "The server does not know this service. Check its URI.",
    ErrorCode.INVALID_CLIENT_CATEGORY: "The scheme of the URI does not fit the site's kind.",
    ErrorCode.CLIENT_NOT_REGISTERED: "The server does not know this client. Check its URI.",
    ErrorCode.PASSWORD_NOT_MATCHED: "The password is wrong. Ask the owner for a new one.",
    ErrorCode.DUPLICATED_SERVICE_UID_USAGE: "Another program already runs as this service.",
    ErrorCode.DUPLICATED_CLIENT_KEY_USAGE: "Another program already runs with this client key.",
    ErrorCode.CONSTRAINT_VIOLATION: "The site structure has more than 30 roles or 100 events.",
    ErrorCode.ENDPOINT_DATA_FORMAT_ERROR: "The server did not understand a message of ours.",
    ErrorCode.ENDPOINT_DATA_INCONSISTENT: "The server found a message of ours inconsistent.",
    ErrorCode.SERVER_BUSY: "The server is busy.",
    ErrorCode.CONFIG_ERROR: "The server is not configured for this name.",
    ErrorCode.DBMS_ERROR: "The server's database failed.",
    ErrorCode.DATA_INTEGRITY_ERROR: "The server's data contradict each other.",
    ErrorCode.INVALID_SERVER_ENDPOINT: "The server is not the one that the URI names.",
    ErrorCode.RESTART: "The server asks to connect again.",
}


def sentence(code: ErrorCode, number: int | None = None) -> str:
    """Return what an error code of a server means, for people."""
    shown = int(code) if number is None else number
    return _SENTENCES.get(code, f"The server answered with error {shown}.")


class Phase(enum.Enum):
    """How far a session has come."""

    NEW = "not started"
    OPENING = "asked to be let in"
    PROVING = "answered the challenge"
    INSTALLING = "let in"
    INSTALLED = "online or parked"


class EndpointSession(Conversation[EndpointReport]):
    """The part of a session that services and clients share.

    The last event is always `SessionEnded`; `finished` is then a SessionFailed. Commands take
    `now` and do nothing once the session is finished.
    """

    kind: EndpointType
    _incoming: Direction
    _outgoing_direction: Direction
    _offline: ServiceStatus | ClientStatus

    def __init__(self, password: Secret | None, entropy: Entropy, ping_period: int = 0) -> None:
        super().__init__()
        self._password = password
        self._entropy = entropy
        self._frames = FrameBuffer(HANDSHAKE_SERVICE_MAX)
        self._monitor = PingMonitor(ping_period)
        self._install_due: float | None = None
        self.phase = Phase.NEW
        self.status: ServiceStatus | ClientStatus = self._offline

    # -- what a role adds

    def _first(self) -> Message:
        """Return OPEN or RESTORE."""
        raise NotImplementedError

    def _awaited(self) -> type[Message]:
        """Return the message that lets this session in, as it was opened."""
        raise NotImplementedError

    def _let_in(self, message: Message) -> None:
        """Keep what the accepting message says."""
        raise NotImplementedError

    def _handle(self, message: Message, now: float) -> None:
        """Take a message after authentication."""
        raise NotImplementedError

    def _normal(self, payload: bytes) -> bytes:
        """Return the payload under the component number that this role uses."""
        return payload

    def _role_deadline(self) -> float | None:
        return None

    def _role_tick(self, now: float) -> None:
        pass

    def _role_ended(self) -> None:
        pass

    # -- the machine

    def start(self, now: float) -> None:
        """Send the stream header and the first frame as one piece (01 section 3.5)."""
        self._install_due = now + INSTALL_LIMIT
        first = self._first()
        self.phase = Phase.OPENING
        self._monitor.sent(now)
        frame = catalogue.encode(self._outgoing_direction, first)
        self._send(bytes((VERSION, self.kind)) + frame)

    def tick(self, now: float) -> None:
        """Ping, give up, expire what is due."""
        if self._finished:
            return
        if self._install_due is not None and now >= self._install_due:
            seconds = f"{INSTALL_LIMIT:g}"
            self._fail(ErrorCode.NETWORK_ERROR, f"The server did not let us in for {seconds} s.")
            return
        for beat in self._monitor.check(now):
            if beat is Beat.PING:
                self._say(Ping(), now)
            elif beat is Beat.KEEP_ALIVE:
                self._say(KeepAlive(), now)
            else:
                self._fail(ErrorCode.NETWORK_ERROR, "The server does not answer any more.")
                return
        self._role_tick(now)

    @property
    def deadline(self) -> float | None:
        """Return when the session wants to be ticked."""
        if self._finished:
            return None
        due = (self._install_due, self._monitor.deadline, self._role_deadline())
        return min((moment for moment in due if moment is not None), default=None)

    def leave(self, now: float) -> None:  # noqa: ARG002  (every command takes it)
        """End the session because the application wants it."""
        self._fail(ErrorCode.NO_ERROR, "The endpoint was disconnected.")

    def _receive(self, data: bytes, now: float) -> None:
        self._frames.feed(data)
        while not self._finished:
            payload = self._frames.next_payload()
            if payload is None:
                return
            self._monitor.received(now)
            self._take(payload, now)

    def _take(self, payload: bytes, now: float) -> None:
        if payload[0] == 0 and payload[1] in (0, 1) and len(payload) == 4:
            number = int.from_bytes(payload[2:], "big")  # the version error, 01 section 3.5
            raise SessionFailed(ErrorCode.of(number), sentence(ErrorCode.of(number), number))
        message = catalogue.decode(self._incoming, self._normal(payload))
        if isinstance(message, Error):
            code = ErrorCode.of(message.code)
            raise SessionFailed(code, sentence(code, message.code))
        if self.phase in (Phase.INSTALLING, Phase.INSTALLED):
            self._take_installed(message, now)
        elif self.phase is Phase.OPENING and isinstance(message, SaltAndKey1):
            self._prove(message, now)
        elif type(message) is self._awaited() and self._proven(message):
            self._let_in(message)
            self.phase = Phase.INSTALLING
            self._frames.maximum = FRAME_MAX
            self._emit(Authenticated())
        else:
            raise self._unexpected(message)

    def _proven(self, message: Message) -> bool:
        # A stateless client is let in without a challenge; nobody else is (01 section 4.3).
        before = Phase.OPENING if isinstance(message, OpenOk2) else Phase.PROVING
        return self.phase is before

    def _prove(self, challenge: SaltAndKey1, now: float) -> None:
        if self._password is None:
            raise self._unexpected(challenge)
        key2 = self._entropy.octets(20)
        salted = salted_password(challenge.salt, self._password.reveal())
        self.phase = Phase.PROVING
        self._say(HashAndKey2(challenge_response(challenge.key1, key2, salted), key2), now)

    def _take_installed(self, message: Message, now: float) -> None:
        if isinstance(message, Pong):
            return
        if isinstance(message, Params | SetPingPeriod):
            if message.ping_period is not None:
                self._monitor.set_management_period(message.ping_period, now)
        elif isinstance(message, SaltAndKey1 | OpenOk | OpenOk2 | RestoreOk):
            raise self._unexpected(message)
        else:
            self._handle(message, now)

    def _installed(self, status: ServiceStatus | ClientStatus, now: float) -> None:
        self.phase = Phase.INSTALLED
        self._install_due = None
        self._monitor.installed(now)
        self.status = status
        self._emit(StatusChanged(status))

    def _say(self, message: Message, now: float) -> None:
        if not self._finished:
            self._monitor.sent(now)
            self._send(catalogue.encode(self._outgoing_direction, message))

    # -- the one way to die

    @staticmethod
    def _unexpected(message: Message) -> SessionFailed:
        name = type(message).__name__
        return SessionFailed(
            ErrorCode.INPUT_DATA_FORMAT_ERROR, f"The server sent {name} where it has no place."
        )

    @staticmethod
    def _inconsistent(what: str) -> SessionFailed:
        return SessionFailed(ErrorCode.INPUT_DATA_INCONSISTENT, f"The server named {what}.")

    def _peer_closed(self, now: float) -> None:  # noqa: ARG002
        self._fail(ErrorCode.NETWORK_ERROR, "The server closed the connection.")

    def _violated(self, error: RemoteError, now: float) -> None:  # noqa: ARG002
        if not isinstance(error, SessionFailed):
            text = f"The server sent something that cannot be read: {error}."
            error = SessionFailed(ErrorCode.INPUT_DATA_FORMAT_ERROR, text)
        self._finish(error)

    def _fail(self, code: ErrorCode, message: str) -> None:
        self._finish(SessionFailed(code, message))

    def _finish(self, reason: GatewayError | bool) -> None:
        if self._finished:
            return
        if not isinstance(reason, SessionFailed):
            reason = SessionFailed(ErrorCode.UNEXPECTED_ERROR, str(reason))
        super()._finish(reason)
        self._role_ended()
        if self.status != self._offline:
            self.status = self._offline
            self._emit(StatusChanged(self._offline))
        self._emit(SessionEnded(reason))
