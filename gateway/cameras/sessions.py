"""Who is connected to which camera: limits, counts, revocation, notices and the audit trail."""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from gateway.access.ports import Actor, decide
from gateway.base.clock import Clock
from gateway.base.errors import GatewayError, NotFound
from gateway.base.notices import Notice, NoticeHub, Severity
from gateway.cameras.contract import OPERATOR, RTSP_PORT, VirtualPort, holds
from gateway.cameras.settings import CameraSettings
from gateway.model.kinds import UserKind
from gateway.net.tasks import TaskRoom
from gateway.registry import audit
from gateway.registry.database import Registry

AUDIT_ROWS = 60
AUDIT_SECONDS = 60.0
"""Rows a minute about one camera: a client that hammers must not fill the disk."""

TURNED_AWAY_MAX = 16
"""Clients of one camera that are being told why there is no room; further ones are reset."""

GONE_SECONDS = 2.0
"""How long sessions that were ended may take; a tunnel takes half a second at the worst."""

REVOKED = "The right to this camera was taken away."
NOT_SERVED = "The gateway does not serve this camera any more."
STOPPING = "The gateway is stopping."
CLOSED_BY_OWNER = "The owner ended the connection."

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """How a session ended: a sentence, octets each way, and the camera's fault if it had one."""

    reason: str
    octets_down: int
    octets_up: int
    fault: GatewayError | None = None


class Carrier(Protocol):
    """What carries a session's octets and owns the client's socket."""

    note: object
    """Whatever the one who has it carry wants to find again."""

    @property
    def octets_down(self) -> int:
        """Octets to the client so far."""

    @property
    def octets_up(self) -> int:
        """Octets to the camera so far."""

    def start(self, done: Callable[[Carrier, SessionEnd], None]) -> None:
        """Carry until an end; `done` is called exactly once then, never within a call."""

    def end(self, reason: str) -> None:
        """Cut everything now; `done` is called soon after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """A session as pages show it; `began_at` in Unix seconds."""

    id: int
    device_id: int
    camera: str
    port: int
    actor: Actor
    client_id: int
    mode: str
    began_at: float
    octets_down: int = 0
    octets_up: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened(Notice):
    """A client was let in to a camera."""

    session: SessionView


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed(Notice):
    """A client's connection to a camera is over."""

    session: SessionView
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRefused(Notice):
    """A client asked for a port of a camera and was not let in."""

    device_id: int
    camera: str
    port: int
    user: str
    client_id: int
    reason: str
    severity: Severity = Severity.NOTE


_Key = TypeVar("_Key")
Closed = Callable[[Carrier, SessionEnd], None]


@dataclass(slots=True, kw_only=True)
class _Session:
    """An open session: what a view needs, without being one, because there may be thousands."""

    id: int
    device_id: int
    camera: str
    port: VirtualPort
    actor: Actor
    client_id: int
    mode: str
    began_at: float
    began: float
    carrier: Carrier
    closed: Closed | None
    counted: bool

    def view(self) -> SessionView:
        """Return it as pages show it, with its counts as far as they are known."""
        return SessionView(
            id=self.id,
            device_id=self.device_id,
            camera=self.camera,
            port=self.port.number,
            actor=self.actor,
            client_id=self.client_id,
            mode=self.mode,
            began_at=self.began_at,
            octets_down=self.carrier.octets_down,
            octets_up=self.carrier.octets_up,
        )


class SessionBook:
    """All live sessions of this gateway."""

    def __init__(
        self,
        settings: CameraSettings,
        *,
        registry: Registry,
        notices: NoticeHub,
        clock: Clock,
        room: TaskRoom,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._notices = notices
        self._clock = clock
        self._room = room
        self._numbers = itertools.count(1)
        self._sessions: dict[int, dict[int, _Session]] = {}  # by camera and number
        self._counts: Counter[tuple[int, int]] = Counter()  # by camera and port
        self._turned_away: Counter[int] = Counter()  # by camera; they take nobody's place
        self._left = asyncio.Event()
        self._over = self._ended  # one bound method for all sessions
        self._writing: set[asyncio.Task[None]] = set()
        self._audited: Counter[int] = Counter()
        self._audited_since = clock.monotonic()

    @property
    def sessions(self) -> tuple[SessionView, ...]:
        """All sessions, oldest first, with their counts as far as they are known."""
        found = [session for each in self._sessions.values() for session in each.values()]
        found.sort(key=lambda session: session.id)
        return tuple(session.view() for session in found)

    def viewers(self, device_id: int) -> int:
        """Return how many clients watch a camera."""
        return self._counts[device_id, RTSP_PORT]

    def octets_watched(self, device_id: int) -> int:
        """Return how many octets the clients that watch a camera have got; below 0 without any."""
        if not self.viewers(device_id):
            return -1
        sessions = self._sessions.get(device_id, {}).values()
        return sum(each.carrier.octets_down for each in sessions if each.port.number == RTSP_PORT)

    def full(self, device_id: int, port: int) -> str:
        """Return why a camera's port takes no further session, in a sentence, or ""."""
        settings = self._settings
        limit = settings.viewers_per_camera if port == RTSP_PORT else settings.web_per_camera
        if self._counts[device_id, port] >= limit:
            return "This camera serves as many viewers as it may; try again later."
        if self._counts.total() >= settings.viewers:
            return "The gateway serves as many viewers as it may; try again later."
        return ""

    def crowded(self, device_id: int) -> bool:
        """Tell whether a camera has no place even for who is only told that it is full."""
        return self._turned_away[device_id] >= TURNED_AWAY_MAX

    def carry(
        self,
        carrier: Carrier,
        *,
        device_id: int,
        camera: str,
        port: VirtualPort,
        actor: Actor,
        client_id: int,
        mode: str,
        closed: Closed | None = None,
        turned_away: bool = False,
    ) -> None:
        """Begin a session; `closed` is called when its last octet has gone and it is forgotten.

        `turned_away`: it is only told that there is no room, and so takes none.
        """
        session = _Session(
            id=next(self._numbers),
            device_id=device_id,
            camera=camera,
            port=port,
            actor=actor,
            client_id=client_id,
            mode=sys.intern(mode),
            began_at=self._clock.wall(),
            began=self._clock.monotonic(),
            carrier=carrier,
            closed=closed,
            counted=not turned_away,
        )
        carrier.note = session
        self._sessions.setdefault(device_id, {})[session.id] = session
        if turned_away:
            self._turned_away[device_id] += 1
        else:
            self._counts[device_id, port.number] += 1
        view = session.view()
        self._notices.post(SessionOpened(session=view))
        self._audit(view, "camera.open", "allowed", _who(view))
        carrier.start(self._over)

    def _ended(self, carrier: Carrier, end: SessionEnd) -> None:
        session = carrier.note
        if not isinstance(session, _Session):
            return
        carrier.note = None
        view = session.view()
        mine = self._sessions[view.device_id]
        del mine[view.id]
        if not mine:
            del self._sessions[view.device_id]
        if session.counted:
            _one_less(self._counts, (view.device_id, view.port))
        else:
            _one_less(self._turned_away, view.device_id)
        self._left.set()
        seconds = self._clock.monotonic() - session.began
        self._notices.post(SessionClosed(session=view, seconds=seconds, reason=end.reason))
        detail = (
            f"{_who(view)} seconds={seconds:.1f} down={end.octets_down} up={end.octets_up}: "
            f"{end.reason}"
        )
        self._audit(view, "camera.close", "done", detail)
        if session.closed is not None:
            session.closed(carrier, end)

    async def gone(self, device_id: int, seconds: float = GONE_SECONDS) -> None:
        """Wait until every session of a camera has ended, at most `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while device_id in self._sessions:
                    self._left.clear()
                    await self._left.wait()
        except TimeoutError:
            count = len(self._sessions.get(device_id, ()))
            _log.error("device %d: %d sessions do not end", device_id, count)

    def refused(
        self, *, device_id: int, camera: str, port: int, user: str, client_id: int, reason: str
    ) -> None:
        """Record that a client was not let in."""
        self._notices.post(
            SessionRefused(
                device_id=device_id,
                camera=camera,
                port=port,
                user=user,
                client_id=client_id,
                reason=reason,
            )
        )
        detail = f"user={user or '?'} client={client_id} port={port}: {reason}"
        self._write(device_id, f"client/{client_id}", "camera.refuse", "denied", detail)

    def end(self, session_id: int, reason: str = CLOSED_BY_OWNER) -> None:
        """End one session now. Raises NotFound."""
        for mine in self._sessions.values():
            if session_id in mine:
                mine[session_id].carrier.end(reason)
                return
        raise NotFound("This connection has ended already.")

    def end_device(self, device_id: int, reason: str = NOT_SERVED) -> None:
        """End every session of a camera now."""
        for session in tuple(self._sessions.get(device_id, {}).values()):
            session.carrier.end(reason)

    def recheck(self, device_id: int, resolve: Callable[[UserKind, int], Actor | None]) -> int:
        """End the sessions of a camera whose users lost their rights; return how many."""
        ended = 0
        for session in tuple(self._sessions.get(device_id, {}).values()):
            actor = resolve(session.actor.kind, session.actor.user_id)
            if actor is None or not decide(session.port.rule, actor) or _demoted(session, actor):
                session.carrier.end(REVOKED)
                ended += 1
        return ended

    # -- the audit trail

    async def written(self, seconds: float = 2.0) -> None:
        """Wait until the rows so far are in the registry, at most `seconds`."""
        if self._writing:
            await asyncio.wait(self._writing, timeout=seconds)

    def _audit(self, view: SessionView, action: str, outcome: str, detail: str) -> None:
        self._write(view.device_id, f"client/{view.client_id}", action, outcome, detail)

    def _write(self, device_id: int, who: str, action: str, outcome: str, detail: str) -> None:
        now = self._clock.monotonic()
        if now - self._audited_since > AUDIT_SECONDS:
            self._audited.clear()
            self._audited_since = now
        self._audited[device_id] += 1
        if self._audited[device_id] > AUDIT_ROWS:
            if self._audited[device_id] == AUDIT_ROWS + 1:
                _log.warning("device %d: too many connections; not all are audited", device_id)
            return

        async def write() -> None:
            try:
                await self._registry.write(
                    lambda tx: audit.append(
                        tx, None, who, action, f"device/{device_id}", detail, outcome
                    )
                )
            except GatewayError as error:
                _log.error("an audit row was lost: %s", error)

        if not self._room.closed:
            task = self._room.start(write(), name="audit")
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)


def _one_less(counter: Counter[_Key], key: _Key) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]


def _demoted(session: _Session, actor: Actor) -> bool:
    """Tell whether a session was given more at its beginning than its user may have now."""
    return holds(session.actor.roles, OPERATOR) and not holds(actor.roles, OPERATOR)


def _who(view: SessionView) -> str:
    name = view.actor.name or view.actor.kind.name.lower()
    return f"user={name} client={view.client_id} camera={view.camera} port={view.port} {view.mode}"
