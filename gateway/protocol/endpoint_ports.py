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

    @property
    def busy(self) -> bool:
        """Tell whether another request has to be refused (02 section 4.3)."""
        if self.backlog == 0:
            return self.armed == 0
        return len(self.pending) + len(self.completed) >= self.backlog


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
        if not _PORT_MIN <= number <= _PORT_MAX:
            raise InvalidInput("A virtual port is a signed number of 32 bits.", "port")
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

    @property
    def full(self) -> bool:
        """Tell whether not one connection more may be begun, whatever a tracker orders."""
        held = sum(len(port.pending) + len(port.completed) for port in self._ports.values())
        return held >= HELD_MAX

    def began(self, entry: PendingConnection) -> bool:
        """Count a connection in the making; False when there is no such port any more."""
        port = self.find(entry.transport, entry.port)
        if port is not None:
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
