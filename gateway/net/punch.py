"""The sockets of a direct TCP attempt: several on one local port, raced against each other.

Callbacks of the loop and no tasks: an attempt is over within seconds and is closed from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable

from gateway.base.clock import Clock
from gateway.base.errors import HostError
from gateway.net.sockets import SocketOptions, make
from gateway.protocol.connector_direct import (
    CANDIDATES_MAX,
    DirectRace,
    Discard,
    Move,
    Target,
    WriteKey,
)

RETRY = 0.3
"""Seconds until a refused connection is tried again: the other end's NAT may not be open yet."""
RETRIES = 12
_AGAIN = (errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETUNREACH)


class DirectSockets:
    """Two sockets that connect and one that listens, all on the port of a control connection.

    `beside` makes them; `race` begins the attempt; `close` ends it and closes everything but the
    winner. Connections that come before the race are parked (02 section 7.3).
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._private: socket.socket | None = None
        self._public: socket.socket | None = None
        self._listener: socket.socket | None = None
        self._dialling: dict[socket.socket, asyncio.TimerHandle | None] = {}
        self._candidates: dict[int, socket.socket] = {}
        self._parked: list[socket.socket] = []
        self._numbers = 0
        self._race: DirectRace | None = None
        self._won: Callable[[socket.socket], None] | None = None
        self._announced: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def beside(cls, control: socket.socket, clock: Clock, options: SocketOptions) -> DirectSockets:
        """Bind beside a connected socket that was made with address reuse.

        Raises HostError when not even the first socket can be had; the others may be missing.
        """
        made = cls(clock)
        local = control.getsockname()
        # In this order: once one socket listens, no other can be bound (02 trap T17).
        try:
            made._private = _bound(control.family, local, options)
        except OSError as error:
            raise HostError(f"No second socket on one port: {error.strerror}.") from error
        with contextlib.suppress(OSError):
            made._public = _bound(control.family, local, options)
        with contextlib.suppress(OSError):
            listener = _bound(control.family, local, options, listening=True)
            made._listener = listener
            made._loop.add_reader(listener.fileno(), made._accept)
        return made

    def race(
        self,
        race: DirectRace,
        public: Target | None,
        private: Target | None,
        won: Callable[[socket.socket], None],
    ) -> None:
        """Dial the targets and look at every connection; `won` is called once at most.

        The winner stands at the first octet of the application.
        """
        self._race, self._won = race, won
        self._announced = {target[0] for target in (public, private) if target is not None}
        parked, self._parked = self._parked, []
        for sock in parked:
            self._opened(sock)
        for idle, target in ((self._private, private), (self._public, public)):
            if idle is None:
                continue
            if target is None:
                idle.close()
            else:
                self._dialling[idle] = None
                self._dial(idle, target, RETRIES)
        self._private = self._public = None

    def close(self) -> None:
        """End the attempt; safe to call again. A winner that was handed over is untouched."""
        self._race = self._won = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for sock, handle in self._dialling.items():
            if handle is not None:
                handle.cancel()
            self._loop.remove_writer(sock.fileno())
            sock.close()
        for sock in self._candidates.values():
            self._loop.remove_reader(sock.fileno())
            sock.close()
        if self._listener is not None:
            self._loop.remove_reader(self._listener.fileno())
        for idle in (self._private, self._public, self._listener, *self._parked):
            if idle is not None:
                idle.close()
        self._dialling.clear()
        self._candidates.clear()
        self._parked.clear()
        self._private = self._public = self._listener = None

    # -- connecting

    def _dial(self, sock: socket.socket, target: Target, left: int) -> None:
        code = sock.connect_ex(target)
        if code == errno.ECONNABORTED:  # Linux reports the earlier failure once more
            code = sock.connect_ex(target)
        if code == errno.EINPROGRESS:
            self._dialling[sock] = None
            self._loop.add_writer(sock.fileno(), self._dialled, sock, target, left)
        else:
            self._settled(sock, target, left, code)

    def _dialled(self, sock: socket.socket, target: Target, left: int) -> None:
        self._loop.remove_writer(sock.fileno())
        self._settled(sock, target, left, sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def _settled(self, sock: socket.socket, target: Target, left: int, code: int) -> None:
        if code == 0:
            del self._dialling[sock]
            self._opened(sock)
        elif code in _AGAIN and left > 0:
            self._dialling[sock] = self._loop.call_later(RETRY, self._dial, sock, target, left - 1)
        else:
            # EADDRNOTAVAIL among others: the peer's connection of the same two ends came first.
            del self._dialling[sock]
            sock.close()

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:  # out of descriptors: a readable listener would spin the loop
            self._loop.remove_reader(self._listener.fileno())
            return
        self._numbers += 1
        if self._numbers > CANDIDATES_MAX:
            sock.close()
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._race is None:
            self._parked.append(sock)
        else:
            self._opened(sock)

    # -- the race

    def _opened(self, sock: socket.socket) -> None:
        if self._race is None:  # won meanwhile
            sock.close()
            return
        try:
            peer = str(sock.getpeername()[0])
        except OSError:
            sock.close()
            return
        number = sock.fileno()
        self._candidates[number] = sock
        self._loop.add_reader(number, self._readable, number)
        announced = peer in self._announced
        self._carry_out(self._race.opened(number, self._clock.monotonic(), announced=announced))

    def _readable(self, number: int) -> None:
        sock, race = self._candidates[number], self._race
        assert race is not None
        try:
            octets = sock.recv(race.wants(number))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            octets = b""
        self._carry_out(race.received(number, octets))

    def _carry_out(self, moves: list[Move]) -> None:
        for move in moves:
            sock = self._candidates.get(move.candidate)
            if sock is None or self._race is None:
                continue
            if isinstance(move, Discard):
                self._drop(sock)
            elif isinstance(move, WriteKey):
                if not self._write_key(sock):
                    self._drop(sock)
            elif move.write and not self._write_key(sock):
                self._drop(sock)
            else:
                self._win(sock)
        self._arm()

    def _write_key(self, sock: socket.socket) -> bool:
        assert self._race is not None
        try:
            return sock.send(self._race.secret_key) == len(self._race.secret_key)
        except OSError:
            return False

    def _drop(self, sock: socket.socket) -> None:
        number = sock.fileno()
        if self._race is not None:
            self._race.lost(number)
        del self._candidates[number]
        self._loop.remove_reader(number)
        sock.close()

    def _win(self, sock: socket.socket) -> None:
        del self._candidates[sock.fileno()]
        self._loop.remove_reader(sock.fileno())
        won = self._won
        self.close()
        assert won is not None
        won(sock)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._race.deadline if self._race is not None else None
        if due is not None:
            delay = max(0.0, due - self._clock.monotonic())
            self._timer = self._loop.call_later(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._race is not None:
            self._carry_out(self._race.tick(self._clock.monotonic()))


def _bound(
    family: int, local: tuple[object, ...], options: SocketOptions, *, listening: bool = False
) -> socket.socket:
    sock = make(family, options)
    try:
        sock.bind(local)
        if listening:
            sock.listen(CANDIDATES_MAX)
    except OSError:
        sock.close()
        raise
    return sock
