"""The virtual ports of a service and the decision on each request (02 sections 4.1 to 4.4).

The table outlives sessions: a connection that is made but not yet accepted is kept when the
tracker is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.access.ports import AccessRule, Actor, decide
from gateway.base.errors import Conflict, InvalidInput
from gateway.model.kinds import TransportKind
from gateway.protocol.endpoint_events import PendingConnection
from gateway.wire.codes import ErrorCode

HELD_MAX = 256
"""Connections of one service that are in the making or wait to be accepted.

Each holds up to two descriptors, and a tracker can order them past every backlog; more are answered
with 116."""

SHARED_BACKLOG = 8
"""From this backlog on no client may take more than half of it."""
PROMISE_SECONDS = 30.0
"""How long a client that was let in may take to get its rendezvous data; then its place is free."""

_PORT_MIN, _PORT_MAX = -(1 << 31), (1 << 31) - 1


@dataclass(slots=True)
class VirtualPort:
    """One port that is listened on; `armed` counts waiting accepts."""

    transport: TransportKind
    number: int
    backlog: int
    rule: AccessRule
    armed: int = 0
    pending: set[PendingConnection] = field(default_factory=set)
    completed: deque[PendingConnection] = field(default_factory=deque)
    promised: dict[bytes, tuple[tuple[int, int], float]] = field(default_factory=dict)
    """Requests let in whose rendezvous data has not come: uid to client and deadline."""

    @property
    def share(self) -> int:
        """Return how many places one client may hold: half, so that others get in beside it.

        A short backlog is a limit of connections rather than a queue; one client may have it all.
        """
        return self.backlog if self.backlog < SHARED_BACKLOG else (self.backlog + 1) // 2

    def held_by(self, client: tuple[int, int], now: float) -> int:
        """Return how many places a client, as (user kind, id), holds or was promised."""
        for uid in [uid for uid, (_, until) in self.promised.items() if until <= now]:
            del self.promised[uid]
        held = (*self.pending, *self.completed)
        return sum((each.user_kind, each.client_id) == client for each in held) + sum(
            whose == client for whose, _ in self.promised.values()
        )

    @property
    def busy(self) -> bool:
        """Tell whether another request has to be refused (02 section 4.3)."""
        if self.backlog == 0:
            return self.armed == 0
        return len(self.pending) + len(self.completed) >= self.backlog


def check_port(number: int) -> None:
    """Raise InvalidInput unless this can be the number of a virtual port."""
    if not _PORT_MIN <= number <= _PORT_MAX:
        raise InvalidInput("A virtual port is a signed number of 32 bits.", "port")


class PortTable:
    """All virtual ports of one service endpoint."""

    def __init__(self) -> None:
        self._ports: dict[tuple[TransportKind, int], VirtualPort] = {}

    def __iter__(self) -> Iterator[VirtualPort]:
        return iter(tuple(self._ports.values()))

    def open(
        self, transport: TransportKind, number: int, backlog: int, rule: AccessRule
    ) -> VirtualPort:
        """Listen on a port; raises Conflict when somebody does already, or InvalidInput."""
        check_port(number)
        if backlog < 0:
            raise InvalidInput("The backlog must not be negative.", "backlog")
        if (transport, number) in self._ports:
            raise Conflict(f"Virtual port {number} is listened on already.")
        port = VirtualPort(transport, number, backlog, rule)
        self._ports[(transport, number)] = port
        return port

    def find(self, transport: TransportKind, number: int) -> VirtualPort | None:
        """Return the port with this number, or None."""
        return self._ports.get((transport, number))

    def close(self, port: VirtualPort) -> None:
        """Listen no more; what is pending and completed is the caller's to end."""
        if self._ports.get((port.transport, port.number)) is port:
            del self._ports[(port.transport, port.number)]

    def judge(
        self, transport: TransportKind, number: int, actor: Actor | None, *, admit: bool
    ) -> ErrorCode:
        """Return NO_ERROR or the code of the refusal, tests in the order of 02 section 4.2.

        With `admit` the busy test is made too; it is not repeated for rendezvous data.
        """
        port = self.find(transport, number)
        if port is None:
            return ErrorCode.PORT_UNREACHABLE
        if actor is None or not decide(port.rule, actor).allowed:
            return ErrorCode.ACCESS_DENIED
        if admit and port.busy:
            return ErrorCode.SERVICE_BUSY
        return ErrorCode.NO_ERROR

    def admit(
        self,
        transport: TransportKind,
        number: int,
        client: tuple[int, int],
        request_uid: bytes,
        now: float,
    ) -> bool:
        """Promise a client, as (user kind, id), a place; False when it has its share already.

        The reference counts nothing until rendezvous data comes, so that a burst of one client
        could take every place of a port.
        """
        port = self.find(transport, number)
        if port is None or port.backlog == 0:
            return True
        if port.held_by(client, now) >= port.share:
            return False
        port.promised[request_uid] = (client, now + PROMISE_SECONDS)
        return True

    @property
    def full(self) -> bool:
        """Tell whether not one connection more may be begun, whatever a tracker orders."""
        held = sum(len(port.pending) + len(port.completed) for port in self._ports.values())
        return held >= HELD_MAX

    def began(self, entry: PendingConnection) -> bool:
        """Count a connection in the making; False when there is no such port any more."""
        port = self.find(entry.transport, entry.port)
        if port is not None:
            port.promised.pop(entry.request_uid, None)
            port.pending.add(entry)
        return port is not None

    def left(self, entry: PendingConnection) -> None:
        """Count a connection in the making no more."""
        port = self.find(entry.transport, entry.port)
        if port is not None:
            port.pending.discard(entry)

    def completed(self, entry: PendingConnection) -> VirtualPort | None:
        """Note that a connection is made and waits to be accepted; return its port."""
        port = self.find(entry.transport, entry.port)
        if port is None:
            return None
        port.pending.discard(entry)
        port.completed.append(entry)
        return port
