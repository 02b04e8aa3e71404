"""The control connections of a rendezvous, whichever it is: accepted, pumped, told, let go."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from gateway.base.clock import Clock
from gateway.base.errors import GatewayError, RemoteError
from gateway.net.listener import Listener, adopt, from_here
from gateway.net.peer import on_link
from gateway.net.sockets import addresses
from gateway.net.stream import Pump
from gateway.net.tasks import TaskRoom
from gateway.protocol.machine import Machine
from gateway.protocol.pairing import Dismiss, Tell
from gateway.relay.settings import RelaySettings
from gateway.wire.message import Message

COMPLAINT_SECONDS = 10.0
"""At most one log line of a kind in this time, however many peers misbehave."""

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)


class Talk(Machine[E_co], Protocol[E_co]):
    """A control conversation of either rendezvous."""

    def tell(self, message: Message) -> None:
        """Send an order of the rendezvous."""

    def dismiss(self) -> None:
        """Close the connection after what was sent."""


T = TypeVar("T", bound=Talk[Any])


class Complaints:
    """What peers do wrong, in the log once per kind and COMPLAINT_SECONDS."""

    def __init__(self, clock: Clock, log: logging.Logger) -> None:
        self._clock = clock
        self._log = log
        self._kinds: dict[str, tuple[float, int]] = {}

    def __call__(self, what: str, peer: str, kind: str = "") -> None:
        """Log what a peer did; `kind` stands for texts that differ, a fixed few of them."""
        kind = kind or what
        now = self._clock.monotonic()
        quiet_until, untold = self._kinds.get(kind, (0.0, 0))
        if now < quiet_until:
            self._kinds[kind] = (quiet_until, untold + 1)
            return
        self._kinds[kind] = (now + COMPLAINT_SECONDS, 0)
        more = f"; {untold} more since the last such line" if untold else ""
        self._log.warning("%s %s%s", peer, what, more)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who opened a control connection, and from where."""

    handle: int
    address: str
    port: int
    here: bool
    """From this very machine."""
    near: bool
    """From a network of this machine, with no router between."""


@dataclass(slots=True)
class Control(Generic[T, E]):
    """One open control connection."""

    handle: int
    peer: str
    talk: T
    pump: Pump[E]


class ControlDesk(Generic[T, E]):
    """Accepts control connections and keeps them by number.

    `make(caller)` returns the conversation of a new one; `happened(control, event)` is called for
    each of its events, and `left(handle)` once when it is gone.
    """

    def __init__(
        self,
        settings: RelaySettings,
        *,
        clock: Clock,
        room: TaskRoom,
        make: Callable[[Caller], T],
        happened: Callable[[Control[T, E], E], None],
        left: Callable[[int], None],
        complain: Complaints,
    ) -> None:
        self._clock = clock
        self._room = room
        self._make = make
        self._happened = happened
        self._left = left
        self._complain = complain
        self._last_handle = 0
        self.controls: dict[int, Control[T, E]] = {}
        self.listener = Listener(
            room,
            self._accepted,
            limit=settings.controls_max,
            per_peer=settings.controls_per_peer,
            own=settings.own_max,
        )

    def carry_out(self, order: Tell | Dismiss) -> None:
        """Tell or dismiss; nothing happens when the connection is gone."""
        control = self.controls.get(order.handle)
        if control is None:
            return
        if isinstance(order, Tell):
            control.talk.tell(order.message)
        else:
            control.talk.dismiss()
        control.pump.flush()

    def cut(self) -> None:
        """Stop accepting and cut every connection."""
        self.listener.close()
        for control in list(self.controls.values()):
            control.pump.abort()

    def _accepted(self, sock: socket.socket, peer: str) -> None:
        self._last_handle += 1
        handle = self._last_handle
        _, (_, port) = addresses(sock)
        here = from_here(sock)
        near = not here and ":" not in peer and on_link(peer)
        talk = self._make(Caller(handle, peer, port, here, near))
        pump: Pump[E] = Pump(
            talk,
            self._clock,
            lambda _, event: self._happened(control, event),
            lambda _, reason: self._closed(handle, reason),
        )
        control = self.controls[handle] = Control(handle, peer, talk, pump)
        self._room.start(self._adopt(sock, handle, pump), name="control connection")

    async def _adopt(self, sock: socket.socket, handle: int, pump: Pump[E]) -> None:
        try:
            await adopt(sock, pump)
        except BaseException as error:
            sock.close()
            self._closed(handle, None)
            if not isinstance(error, OSError):
                raise

    def _closed(self, handle: int, reason: GatewayError | None) -> None:
        control = self.controls.pop(handle, None)
        if control is None:
            return
        self.listener.released(control.peer)
        self._left(handle)
        if isinstance(reason, RemoteError):
            self._complain(f"broke the rendezvous protocol ({reason})", control.peer, "protocol")
