"""Hands UDP sockets to a process of their own and says which sources it relays to each other.

The gateway's process authenticates and decides; datagrams never pass through it. If that process
dies another one is started with the same sockets, the same expected endpoints and the same pairs:
relayed datagrams are lost for a moment, as datagrams may be, and nothing else happens.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.base.clock import Clock
from gateway.base.errors import Conflict, HostError
from gateway.net.splice_control import ControlQueue
from gateway.net.splice_udp_messages import (
    END,
    HEADER,
    LIMITS,
    PACKET_MAX,
    SPOT,
    Command,
    Report,
)
from gateway.net.splice_udp_messages import Reason as DatagramEndReason
from gateway.net.splice_udp_relay import WILD, ask_destination
from gateway.net.tasks import TaskRoom
from gateway.wire.rendezvous import IpAddress

__all__ = [
    "DatagramEnd", "DatagramEndReason", "DatagramLimits", "DatagramPair", "DatagramPath",
    "Sighting", "Spot", "bind_datagram",
]  # fmt: skip

_log = logging.getLogger(__name__)

RECEIVE_BUFFER = 4 * 1024 * 1024
"""Asked of the system, which may give less: bursts wait here while the process is busy."""
SO_RCVBUFFORCE = 33  # asm-generic/socket.h; the socket module does not name it
START_SECONDS = 10.0
STOP_SECONDS = 5.0
BACK_OFF = (0.05, 0.2, 1.0, 5.0)
"""Seconds before the process is started again; the first after STEADY seconds of life."""
STEADY_SECONDS = 60.0
_REPORTS_MAX = 64  # packets read before other callbacks of the event loop get their turn

_ROOT = Path(__file__).resolve().parents[2]
_BOOT = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from gateway.net.splice_udp import main; main(int(sys.argv[2]))"
)


@dataclass(frozen=True, slots=True)
class DatagramLimits:
    """What the process carries; rates are a second, over both directions together."""

    idle: float = 120.0
    """Seconds without a datagram in either direction after which a pair ends (02 section 10.4)."""
    size: int = 16_384
    """Octets of the largest datagram that is passed on."""
    pair_packets: int = 20_000
    pair_octets: int = 16 * 1024 * 1024
    total_packets: int = 100_000
    total_octets: int = 64 * 1024 * 1024
    pairs: int = 2_000


@dataclass(frozen=True, slots=True)
class Spot:
    """A source of datagrams as observed at one of our sockets."""

    address: IpAddress
    port: int
    packed: bytes

    @classmethod
    def unpack(cls, packed: bytes) -> Spot:
        """Return the spot of the process's record."""
        _, family, address, port, _, _ = SPOT.unpack(packed)
        return cls(ipaddress.ip_address(address[:4] if family == 4 else address), port, packed)


@dataclass(frozen=True, slots=True)
class Sighting:
    """An ENDPOINT_INFO of an expected endpoint came from here."""

    spot: Spot
    datagram: bytes


@dataclass(frozen=True, slots=True)
class DatagramEnd:
    """What a pair carried; the counts begin anew when the process had to be replaced."""

    reason: DatagramEndReason
    octets_from_a: int = 0
    octets_from_b: int = 0
    packets_from_a: int = 0
    packets_from_b: int = 0
    dropped: int = 0


class DatagramPair:
    """Two sources on their way to be, or being, relayed to each other."""

    def __init__(
        self, number: int, a: Spot, b: Spot, began: float, kill: Callable[[int], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.a, self.b = a, b
        self.began = began
        self.joined: asyncio.Future[bool] = loop.create_future()
        """True when datagrams are carried; False when the pair ended before."""
        self.ended: asyncio.Future[DatagramEnd] = loop.create_future()
        self._kill = kill

    def kill(self) -> None:
        """Stop relaying; `ended` tells when."""
        if not self.ended.done():
            self._kill(self.number)


def bind_datagram(host: str, port: int) -> socket.socket:
    """Return a bound, non-blocking UDP socket; IPv6 sockets take IPv6 only.

    Raises HostError with a sentence that says what holds the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        except OSError:  # only the privileged may go beyond net.core.rmem_max
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if host in WILD:
            ask_destination(sock)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise HostError(
                f"UDP port {port} on {host} is taken by another program; "
                "stop it or change the setting."
            ) from error
        raise HostError(f"Cannot receive on {host} UDP port {port}: {error.strerror}.") from error
    return sock


class DatagramPath:
    """The one door to the process that relays datagrams."""

    def __init__(
        self,
        room: TaskRoom,
        clock: Clock,
        sighted: Callable[[Sighting], None],
        limits: DatagramLimits | None = None,
    ) -> None:
        self._room = room
        self._clock = clock
        self._sighted = sighted
        self._limits = limits or DatagramLimits()
        self._doors: list[socket.socket] = []
        self._expected: set[bytes] = set()
        self._pairs: dict[int, DatagramPair] = {}
        self._number = 0
        self._queue = ControlQueue(lambda _: None)
        self._control: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._asked = asyncio.Event()

    @property
    def pairs(self) -> int:
        """Return how many pairs there are."""
        return len(self._pairs)

    @property
    def process_id(self) -> int | None:
        """Return the process's id, or None while there is none."""
        return self._process.pid if self._process is not None else None

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Return the addresses that are bound."""
        return [sock.getsockname()[:2] for sock in self._doors]

    async def start(
        self, addresses: Sequence[tuple[str, int]], *, when_asked: bool = False
    ) -> None:
        """Bind the addresses and start the process; raises HostError, with nothing left open.

        With `when_asked` the process is started by the first `expect`; most gateways need none.
        """
        if self._keeper is not None:
            raise Conflict("The datagram path is running already.")
        try:
            for host, port in addresses:
                self._doors.append(bind_datagram(host, port))
            if not when_asked:
                await self._launch()
        except BaseException:
            self._close_doors()
            raise
        self._keeper = self._room.start(self._keep_alive(), name="datagram process")

    async def stop(self) -> None:
        """End every pair, the process and the sockets."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        keeper.cancel()
        await asyncio.wait([keeper])
        process = self._process
        self._disconnect()
        self._close_doors()
        self._expected.clear()
        for number in list(self._pairs):
            self._end(number, DatagramEnd(DatagramEndReason.KILLED))
        if process is not None:
            await self._reap(process)

    def expect(self, endpoint_uid: bytes) -> None:
        """Have `sighted` called with the first ENDPOINT_INFO of this endpoint."""
        self._expected.add(endpoint_uid)
        self._asked.set()
        self._submit(Command.EXPECT, 0, endpoint_uid)

    def forget(self, endpoint_uid: bytes) -> None:
        """Take an expectation back; nothing happens without one."""
        if endpoint_uid in self._expected:
            self._expected.discard(endpoint_uid)
            self._submit(Command.FORGET, 0, endpoint_uid)

    def join(self, a: Spot, b: Spot) -> DatagramPair:
        """Carry datagrams between two sources; what was registered for either before ends."""
        self._number += 1
        pair = DatagramPair(self._number, a, b, self._clock.monotonic(), self._kill)
        self._pairs[pair.number] = pair
        self._submit(Command.JOIN, pair.number, a.packed + b.packed)
        return pair

    def _kill(self, number: int) -> None:
        self._submit(Command.KILL, number)

    def _submit(self, command: Command, number: int, body: bytes = b"") -> None:
        # Without a process nothing needs to wait: the next one is told everything.
        if self._control is not None:
            self._queue.submit(number, HEADER.pack(command, number) + body)
        elif command is Command.KILL:
            self._end(number, DatagramEnd(DatagramEndReason.KILLED))

    def _end(self, number: int, end: DatagramEnd) -> None:
        pair = self._pairs.pop(number, None)
        if pair is None:
            return
        if not pair.joined.done():
            pair.joined.set_result(False)
        if not pair.ended.done():
            pair.ended.set_result(end)

    # -- reports

    def _on_report(self) -> None:
        control = self._control
        if control is None:
            return
        for _ in range(_REPORTS_MAX):
            try:
                packet = control.recv(PACKET_MAX)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._disconnect()
                self._lost.set()
                return
            self._handle(packet)

    def _handle(self, packet: bytes) -> None:
        kind, number = HEADER.unpack_from(packet)
        body = packet[HEADER.size :]
        if kind == Report.SIGHTED:
            self._sighted(Sighting(Spot.unpack(body[: SPOT.size]), body[SPOT.size :]))
        elif kind == Report.JOINED:
            pair = self._pairs.get(number)
            if pair is not None and not pair.joined.done():
                pair.joined.set_result(True)
        elif kind == Report.ENDED:
            reason, *counts = END.unpack(body)
            self._end(number, DatagramEnd(DatagramEndReason(reason), *counts))

    # -- the process

    async def _launch(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                ours.setblocking(False)
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-I", "-S", "-c", _BOOT, str(_ROOT), str(theirs.fileno()),
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
                )  # fmt: skip
            try:
                async with asyncio.timeout(START_SECONDS):
                    hello = await asyncio.get_running_loop().sock_recv(ours, PACKET_MAX)
                if not hello:
                    raise HostError("The datagram process ended at once; see its message above.")
            except BaseException:
                await self._reap(process, now=True)
                raise
        except BaseException as error:
            ours.close()
            if isinstance(error, OSError | TimeoutError):
                raise HostError(f"The datagram process did not start: {error}.") from error
            raise
        self._process, self._control = process, ours
        self._lost.clear()
        asyncio.get_running_loop().add_reader(ours.fileno(), self._on_report)
        self._queue.attach(ours)
        self._tell_everything()

    def _tell_everything(self) -> None:
        limits = self._limits
        body = LIMITS.pack(
            limits.idle, limits.size, limits.pair_packets, limits.pair_octets,
            limits.total_packets, limits.total_octets, limits.pairs,
        )  # fmt: skip
        self._submit(Command.LIMITS, 0, body)
        # Before the doors: what came while there was no process waits in them, and is read at once.
        for uid in self._expected:
            self._submit(Command.EXPECT, 0, uid)
        for index, sock in enumerate(self._doors):
            packet = HEADER.pack(Command.DOOR, index)
            self._queue.submit(index, packet, (os.dup(sock.fileno()),))
        for pair in self._pairs.values():
            self._submit(Command.JOIN, pair.number, pair.a.packed + pair.b.packed)

    async def _keep_alive(self) -> None:
        failures = 0
        while True:
            began = self._clock.monotonic()
            if self._process is None:
                await self._asked.wait()
            else:
                await self._lost.wait()
                _log.error("the datagram process was lost, %d pairs; another", len(self._pairs))
                await self._reap(self._process)
            if self._clock.monotonic() - began >= STEADY_SECONDS:
                failures = 0
            while True:
                await asyncio.sleep(BACK_OFF[min(failures, len(BACK_OFF) - 1)])
                failures += 1
                try:
                    await self._launch()
                    break
                except HostError as error:
                    _log.error("%s", error)

    def _disconnect(self) -> None:
        control, self._control = self._control, None
        self._queue.detach()
        self._queue.discard(lambda _: True)
        if control is not None:
            asyncio.get_running_loop().remove_reader(control.fileno())
            control.close()

    def _close_doors(self) -> None:
        while self._doors:
            self._doors.pop().close()

    async def _reap(self, process: asyncio.subprocess.Process, *, now: bool = False) -> None:
        self._process = None
        try:
            if not now:
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
        except TimeoutError:
            now = True
        if now and process.returncode is None:
            process.kill()
            await process.wait()
