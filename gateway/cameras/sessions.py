"""Who is connected to which camera: limits, counts, revocation, notices and the audit trail."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

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

REVOKED = "The right to this camera was taken away."
NOT_SERVED = "The gateway does not serve this camera any more."
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
    """What carries a session's octets; `run` owns the client's socket."""

    @property
    def octets_down(self) -> int:
        """Octets to the client so far."""

    @property
    def octets_up(self) -> int:
        """Octets to the camera so far."""

    def end(self, reason: str) -> None:
        """Cut everything now; `run` returns soon after."""

    async def run(self) -> SessionEnd:
        """Carry until an end."""


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


@dataclass(slots=True)
class _Session:
    view: SessionView
    port: VirtualPort
    carrier: Carrier


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
        self._sessions: dict[int, _Session] = {}
        self._writing: set[asyncio.Task[None]] = set()
        self._audited: Counter[int] = Counter()
        self._audited_since = clock.monotonic()

    @property
    def sessions(self) -> tuple[SessionView, ...]:
        """All sessions, oldest first, with their counts as far as they are known."""
        return tuple(_now(session) for session in self._sessions.values())

    def viewers(self, device_id: int) -> int:
        """Return how many clients watch a camera."""
        return self._count(device_id, RTSP_PORT)

    def _count(self, device_id: int, port: int) -> int:
        views = [each.view for each in self._sessions.values()]
        return sum((view.device_id, view.port) == (device_id, port) for view in views)

    def full(self, device_id: int, port: int) -> str:
        """Return why a camera's port takes no further session, in a sentence, or ""."""
        settings = self._settings
        limit = settings.viewers_per_camera if port == RTSP_PORT else settings.web_per_camera
        if self._count(device_id, port) >= limit:
            return "This camera serves as many viewers as it may; try again later."
        if len(self._sessions) >= settings.viewers:
            return "The gateway serves as many viewers as it may; try again later."
        return ""

    async def carry(
        self,
        carrier: Carrier,
        *,
        device_id: int,
        camera: str,
        port: VirtualPort,
        actor: Actor,
        client_id: int,
        mode: str,
        opened: Callable[[], None] | None = None,
    ) -> SessionEnd:
        """Run a session from its first to its last octet; it counts once `opened` is called."""
        view = SessionView(
            id=next(self._numbers),
            device_id=device_id,
            camera=camera,
            port=port.number,
            actor=actor,
            client_id=client_id,
            mode=mode,
            began_at=self._clock.wall(),
        )
        session = _Session(view, port, carrier)
        self._sessions[view.id] = session
        began = self._clock.monotonic()
        self._notices.post(SessionOpened(session=view))
        if opened is not None:
            opened()
        self._audit(view, "camera.open", "allowed", _who(view))
        end = SessionEnd("The gateway is stopping.", 0, 0)
        try:
            end = await carrier.run()
        finally:
            del self._sessions[view.id]
            seconds = self._clock.monotonic() - began
            done = _now(session)
            self._notices.post(SessionClosed(session=done, seconds=seconds, reason=end.reason))
            detail = (
                f"{_who(view)} seconds={seconds:.1f} down={end.octets_down} up={end.octets_up}: "
                f"{end.reason}"
            )
            self._audit(view, "camera.close", "done", detail)
        return end

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
        session = self._sessions.get(session_id)
        if session is None:
            raise NotFound("This connection has ended already.")
        session.carrier.end(reason)

    def end_device(self, device_id: int, reason: str = NOT_SERVED) -> None:
        """End every session of a camera now."""
        for session in tuple(self._sessions.values()):
            if session.view.device_id == device_id:
                session.carrier.end(reason)

    def recheck(self, device_id: int, resolve: Callable[[UserKind, int], Actor | None]) -> int:
        """End the sessions of a camera whose users lost their rights; return how many."""
        ended = 0
        for session in tuple(self._sessions.values()):
            view = session.view
            if view.device_id != device_id:
                continue
            actor = resolve(view.actor.kind, view.actor.user_id)
            if actor is None or not decide(session.port.rule, actor) or _demoted(view, actor):
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


def _demoted(view: SessionView, actor: Actor) -> bool:
    """Tell whether a session was given more at its beginning than its user may have now."""
    return holds(view.actor.roles, OPERATOR) and not holds(actor.roles, OPERATOR)


def _who(view: SessionView) -> str:
    name = view.actor.name or view.actor.kind.name.lower()
    return f"user={name} client={view.client_id} camera={view.camera} port={view.port} {view.mode}"


def _now(session: _Session) -> SessionView:
    carrier = session.carrier
    return replace(session.view, octets_down=carrier.octets_down, octets_up=carrier.octets_up)
