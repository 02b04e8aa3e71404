"""The contract every conversation machine keeps, and the part that they share.

A machine is handed octets and the present moment and never asks for either. It reports what
happened as events, collects the octets it wants sent, and offers its next deadline as a number.
After a violation it is dead: it says why once, offers its last octets and takes nothing more.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar

from gateway.base.errors import GatewayError, ProtocolViolation, RemoteError

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)


class Machine(Protocol[E_co]):
    """What a pump needs of a machine."""

    def start(self, now: float) -> None:
        """Learn that the stream is open."""

    def feed(self, data: bytes, now: float) -> None:
        """Take received octets; empty means that the peer closed its direction."""

    def tick(self, now: float) -> None:
        """Learn that the deadline has passed."""

    def next_event(self) -> E_co | None:
        """Return the next thing that happened, or None."""

    def outgoing(self) -> bytes:
        """Return the octets to send now and forget them."""

    @property
    def deadline(self) -> float | None:
        """Return the earliest moment at which tick() must be called, or None."""

    @property
    def finished(self) -> GatewayError | bool:
        """Tell whether the stream is to be closed: False, True, or the error that ended it."""


class Conversation(Generic[E]):
    """Base of the machines: queues for events and octets, and the one way to die.

    Subclasses implement `_receive(data, now)` and may override `tick`, `deadline`, `start`,
    `_peer_closed`. They emit with `_emit`, send with `_send`, and end with `_finish`.
    """

    def __init__(self) -> None:
        self._events: deque[E] = deque()
        self._outgoing: list[bytes] = []
        self._finished: GatewayError | bool = False

    def start(self, now: float) -> None:
        """Learn that the stream is open."""

    def feed(self, data: bytes, now: float) -> None:
        """Take received octets; a violation kills the machine and is kept in `finished`."""
        if self._finished:
            return
        try:
            if data:
                self._receive(data, now)
            else:
                self._peer_closed(now)
        except RemoteError as error:
            self._violated(error, now)

    def _receive(self, data: bytes, now: float) -> None:
        raise NotImplementedError

    def _peer_closed(self, now: float) -> None:  # noqa: ARG002
        self._finish(True)

    def _violated(self, error: RemoteError, now: float) -> None:  # noqa: ARG002
        self._finish(error)

    def tick(self, now: float) -> None:
        """Learn that the deadline has passed."""

    @property
    def deadline(self) -> float | None:
        """Return the earliest moment at which tick() must be called, or None."""
        return None

    def next_event(self) -> E | None:
        """Return the next thing that happened, or None."""
        return self._events.popleft() if self._events else None

    def outgoing(self) -> bytes:
        """Return the octets to send now and forget them."""
        if not self._outgoing:
            return b""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    @property
    def finished(self) -> GatewayError | bool:
        """Tell whether the stream is to be closed: False, True, or the error that ended it."""
        return self._finished

    def _emit(self, event: E) -> None:
        self._events.append(event)

    def _send(self, data: bytes) -> None:
        self._outgoing.append(data)

    def _finish(self, reason: GatewayError | bool) -> None:
        if not self._finished:
            self._finished = reason


class Unexpected(ProtocolViolation):
    """A message that the table of the present state does not have."""
