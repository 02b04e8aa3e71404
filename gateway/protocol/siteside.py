"""A connection to the tracker seen from the tracker: header, handshake, dispatch (01, 3.5 to 5.2).

The machine knows the order of the conversation and nothing of sites: it asks for credentials and
hands on the messages that its phase allows; whoever owns it sends messages and ends it.
"""

from __future__ import annotations

import enum
import hmac
from dataclasses import dataclass

from gateway.asn1.errors import DecodeError
from gateway.base.entropy import Entropy
from gateway.base.errors import ProtocolViolation, RemoteError, TimedOut
from gateway.model.kinds import EndpointType
from gateway.protocol.liveness import SILENCE_LIMIT
from gateway.protocol.machine import Conversation, Unexpected
from gateway.wire import catalogue, installer
from gateway.wire.catalogue import Direction
from gateway.wire.channel import (
    ClientOpen,
    ClientRestore,
    Error,
    HashAndKey2,
    KeepAlive,
    Open,
    OpenOk,
    OpenOk2,
    Ping,
    Pong,
    Restore,
    RestoreOk,
    SaltAndKey1,
)
from gateway.wire.codes import ErrorCode
from gateway.wire.digest import challenge_response
from gateway.wire.framing import (
    FRAME_MAX,
    HANDSHAKE_CLIENT_MAX,
    HANDSHAKE_SERVICE_MAX,
    FrameBuffer,
    FrameError,
)
from gateway.wire.message import Message
from gateway.wire.structure import ConstraintViolation

PROTOCOL_VERSION = 1
HEADER_SIZE = 2
HEADER_LIMIT = 30.0
"""Seconds from the connection to the stream header (01 section 15.1)."""
INSTALL_LIMIT = 60.0
"""Seconds from the header to online or parked (01 section 4.5)."""
CLOSE_LIMIT = 20.0
"""Seconds that an endpoint has to close after an error (01 section 5.2)."""
CLIENT_FRAME_MAX = 262_144
"""Four times the largest message a client can send; bounds what 20,000 strangers make us keep."""
VERSION_ERROR = bytes((4, 0, 1)) + int(ErrorCode.INCOMPATIBLE_PROTOCOL_VERSION).to_bytes(2, "big")
"""Type 1, which the reference endpoints expect; the reference tracker sends 0 (01, 3.5)."""
KEY_SIZE = 20

Login = Open | Restore | ClientOpen | ClientRestore


class Phase(enum.Enum):
    """Where a conversation stands."""

    __hash__ = object.__hash__  # members are singletons; that of Enum is a call into Python

    HEADER = "the stream header is awaited"
    OPENING = "OPEN or RESTORE is awaited"
    LOOKUP = "the owner looks the account up"
    CHALLENGED = "the answer to the challenge is awaited"
    INSTALLING = "authenticated, not judged yet"
    ONLINE = "installed, every component reachable"
    PARKED = "installed, not eligible"
    REFUSED = "an error went out, the endpoint is to close"


_BEFORE_LOGIN = frozenset({Phase.HEADER, Phase.OPENING, Phase.LOOKUP, Phase.CHALLENGED})
_INSTALLED = frozenset({Phase.ONLINE, Phase.PARKED})

# Which components an endpoint may address (01 section 6); events only where the site has some.
_REACHABLE = {
    Phase.INSTALLING: frozenset({catalogue.MONITOR, catalogue.INSTALLER}),
    Phase.ONLINE: frozenset({catalogue.MONITOR, 10, 11, catalogue.RPC, catalogue.EVENTS}),
    Phase.PARKED: frozenset({catalogue.MONITOR}),
}

_DIRECTIONS = {
    EndpointType.SERVICE: (Direction.SERVICE_TO_TRACKER, Direction.TRACKER_TO_SERVICE),
    EndpointType.CLIENT: (Direction.CLIENT_TO_TRACKER, Direction.TRACKER_TO_CLIENT),
}

# What sending a message means for the conversation.
_ENTERS: dict[type[Message], Phase] = {
    installer.ServiceOnline: Phase.ONLINE,
    installer.ClientOnline: Phase.ONLINE,
    installer.ServiceParked: Phase.PARKED,
    installer.ClientParked: Phase.PARKED,
}
_AWAITS: dict[tuple[EndpointType, type[Message]], type[Message]] = {
    (EndpointType.SERVICE, installer.GetState): installer.ServiceState,
    (EndpointType.SERVICE, installer.GetSiteStructure): installer.UploadSiteStructure,
    (EndpointType.CLIENT, installer.GetState): installer.ClientState,
}

TURNS = frozenset(_ENTERS) | {message for _, message in _AWAITS}
"""Messages that change where a conversation stands; the machine must see them itself."""


@dataclass(frozen=True, slots=True)
class CredentialsAsked:
    """The owner is to answer with challenge(), admit() or refuse()."""

    login: Login


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The endpoint has proved its password, or is stateless; `channel_id` is b'' for those."""

    login: Login
    channel_id: bytes


@dataclass(frozen=True, slots=True)
class Received:
    """A message that the phase allows."""

    message: Message


@dataclass(frozen=True, slots=True)
class Departed:
    """The endpoint broke a rule after its login; it was told and counts as gone (01, 3.6)."""

    reason: RemoteError


TrackerEvent = CredentialsAsked | Authenticated | Received | Departed


class TrackerConnection(Conversation[TrackerEvent]):
    """One endpoint at the tracker, from the first octet to the end."""

    def __init__(
        self,
        entropy: Entropy,
        *,
        header_limit: float = HEADER_LIMIT,
        install_limit: float = INSTALL_LIMIT,
        close_limit: float = CLOSE_LIMIT,
        silence_limit: float = SILENCE_LIMIT,
    ) -> None:
        super().__init__()
        self._entropy = entropy
        self._header_limit = header_limit
        self._install_limit = install_limit
        self._close_limit = close_limit
        self._silence_limit = silence_limit
        self._phase = Phase.HEADER
        self._due: float | None = None
        self._frames = FrameBuffer(HANDSHAKE_CLIENT_MAX)
        self._type = EndpointType.SERVICE
        self._inbound, self._outbound = _DIRECTIONS[self._type]
        self._login: Login | None = None
        self._salted = b""
        self._key1 = b""
        self._awaited: type[Message] | None = None
        self._events_reachable = False

    # -- what the owner may look at ------------------------------------------------------------

    @property
    def phase(self) -> Phase:
        """Return where the conversation stands."""
        return self._phase

    @property
    def endpoint_type(self) -> EndpointType:
        """Return what the header said; SERVICE before."""
        return self._type

    @property
    def authenticated(self) -> bool:
        """Tell whether the endpoint is logged in and was told no error."""
        return self._phase in _REACHABLE

    @property
    def deadline(self) -> float | None:
        """Return when tick() is due."""
        return self._due

    # -- octets and time -----------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin to wait for the header."""
        self._due = now + self._header_limit

    def tick(self, now: float) -> None:
        """End the conversation silently when the limit of its phase has passed."""
        if self._due is not None and now >= self._due:
            self._finish(TimedOut(f"Time limit passed: {self._phase.value}."))

    def _receive(self, data: bytes, now: float) -> None:
        if self._phase is Phase.REFUSED:
            return
        self._frames.feed(data)
        self._advance(now)

    def _advance(self, now: float) -> None:
        if self._phase is Phase.HEADER and not self._take_header(now):
            return
        while self._phase not in (Phase.LOOKUP, Phase.REFUSED) and not self._finished:
            payload = self._frames.next_payload()
            if payload is None:
                return
            self._take(payload, now)
        if self._phase is Phase.LOOKUP and self._frames.pending > self._frames.maximum:
            raise Unexpected("octets before the challenge")

    def _take_header(self, now: float) -> bool:
        header = self._frames.take_raw(HEADER_SIZE)
        if header is None:
            return False
        if header[0] != PROTOCOL_VERSION:
            self._send(VERSION_ERROR)
            self._refused(now)
            return False
        if header[1] not in (EndpointType.SERVICE, EndpointType.CLIENT):
            raise Unexpected(f"endpoint type {header[1]} does not exist")
        self._type = EndpointType(header[1])
        self._inbound, self._outbound = _DIRECTIONS[self._type]
        service = self._type is EndpointType.SERVICE
        self._frames.maximum = HANDSHAKE_SERVICE_MAX if service else HANDSHAKE_CLIENT_MAX
        self._phase = Phase.OPENING
        self._due = now + self._install_limit
        return True

    def _take(self, payload: bytes, now: float) -> None:
        if self._phase in _BEFORE_LOGIN:
            # The reference looks at the number only (01 section 3.6).
            message = catalogue.decode(self._inbound, bytes((catalogue.CHANNEL,)) + payload[1:])
            self._take_handshake(message, now)
            return
        if self._phase in _INSTALLED:
            self._due = now + self._silence_limit
        component = payload[0]
        if component == catalogue.MONITOR:
            self._take_beat(payload)
            return
        if component not in _REACHABLE[self._phase] or (
            component == catalogue.EVENTS and not self._events_reachable
        ):
            raise Unexpected(f"component {component} is not reachable now")
        message = catalogue.decode(self._inbound, payload)
        if component == catalogue.INSTALLER:
            if type(message) is not self._awaited:
                raise Unexpected(f"{type(message).__name__} was not asked for")
            self._awaited = None
        self._emit(Received(message))

    def _take_beat(self, payload: bytes) -> None:
        try:
            message = catalogue.decode(self._inbound, payload)
        except DecodeError as error:
            # Closed without a message, as the reference does inside this component (01, 3.6).
            self._emit(Departed(error))
            self._finish(error)
            return
        if isinstance(message, Ping):
            self._transmit(Pong())
        elif not isinstance(message, KeepAlive):
            raise Unexpected("neither ping nor keep-alive")

    def _take_handshake(self, message: Message, now: float) -> None:
        if self._phase is Phase.OPENING and isinstance(
            message, Open | Restore | ClientOpen | ClientRestore
        ):
            self._login = message
            self._phase = Phase.LOOKUP
            self._emit(CredentialsAsked(message))
        elif self._phase is Phase.CHALLENGED and isinstance(message, HashAndKey2):
            expected = challenge_response(self._key1, message.key2, self._salted)
            self._salted = b""
            if hmac.compare_digest(expected, message.hash):
                self._let_in()
            else:
                self.refuse(ErrorCode.PASSWORD_NOT_MATCHED, now)
        else:
            raise Unexpected(f"{type(message).__name__} is not expected in the handshake")

    def _let_in(self) -> None:
        login = self._login
        channel_id = b""
        if isinstance(login, Restore | ClientRestore):
            channel_id = login.channel_id
            self._transmit(RestoreOk())
        else:
            channel_id = self._entropy.uid()
            self._transmit(OpenOk(channel_id))
        self._installing(channel_id)

    def _installing(self, channel_id: bytes) -> None:
        assert self._login is not None
        self._phase = Phase.INSTALLING
        service = self._type is EndpointType.SERVICE
        self._frames.maximum = FRAME_MAX if service else CLIENT_FRAME_MAX
        self._emit(Authenticated(self._login, channel_id))

    def _violated(self, error: RemoteError, now: float) -> None:
        if not self.authenticated or isinstance(error, FrameError):
            if self.authenticated:
                self._emit(Departed(error))
            self._finish(error)
            return
        code = ErrorCode.ENDPOINT_DATA_FORMAT_ERROR
        if isinstance(error, ConstraintViolation):
            code = ErrorCode.CONSTRAINT_VIOLATION
        self.fail(code, now)
        self._emit(Departed(error))

    # -- commands of the owner -----------------------------------------------------------------

    def challenge(self, salt: bytes, salted_password: bytes, now: float) -> None:
        """Answer CredentialsAsked: let the endpoint prove that it knows the password."""
        if self._phase is not Phase.LOOKUP or self._finished:
            return
        self._salted = salted_password
        self._key1 = self._entropy.octets(KEY_SIZE)
        self._phase = Phase.CHALLENGED
        self._transmit(SaltAndKey1(salt, self._key1))
        self._resume(now)

    def admit(self, now: float) -> None:
        """Answer CredentialsAsked: a stateless client of a site that exists."""
        if self._phase is not Phase.LOOKUP or self._finished:
            return
        self._transmit(OpenOk2())
        self._installing(b"")
        self._resume(now)

    def refuse(self, code: ErrorCode, now: float) -> None:
        """Answer CredentialsAsked, or end a handshake: tell the code and wait for the close."""
        if self._phase in _BEFORE_LOGIN and not self._finished:
            self._transmit(Error(int(code)))
            self._refused(now)

    def send(self, message: Message, now: float, *, frame: bytes | None = None) -> None:
        """Send a message of the site; the conversation follows from what it is.

        `frame` is its encoded form where the caller has it already.
        """
        if not self.authenticated or self._finished:
            return
        self._send(catalogue.encode(self._outbound, message) if frame is None else frame)
        entered = _ENTERS.get(type(message))
        if entered is not None:
            self._phase = entered
            self._awaited = None
            self._due = now + self._silence_limit
        awaited = _AWAITS.get((self._type, type(message)))
        if awaited is not None:
            self._awaited = awaited

    def pass_on(self, frame: bytes) -> None:
        """Send a frame of the site that is none of TURNS: the conversation goes on as it was."""
        if self._phase in _REACHABLE and not self._finished:
            self._outgoing.append(frame)

    def open_events(self) -> None:
        """Make the component of events reachable: the site has some."""
        self._events_reachable = True

    def fail(self, code: ErrorCode, now: float) -> None:
        """Tell a code after the login; nothing that comes later is looked at."""
        if self.authenticated and not self._finished:
            self._transmit(Error(int(code)))
            self._refused(now)

    def close(self) -> None:
        """End the conversation without a message."""
        self._finish(True)

    def _resume(self, now: float) -> None:
        try:
            self._advance(now)
        except ProtocolViolation as error:
            self._violated(error, now)

    def _refused(self, now: float) -> None:
        self._phase = Phase.REFUSED
        self._due = now + self._close_limit
        self._frames.take_rest()
        self._salted = b""

    def _transmit(self, message: Message) -> None:
        self._send(catalogue.encode(self._outbound, message))
