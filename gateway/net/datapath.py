"""Hands pairs of connected sockets to the relay process and learns how they ended.

The gateway's own process authenticates, brokers and dials; octets that only have to be carried
move in a process of their own (`gateway.net.splice_loop`). If that process dies, its pairs end as
`RELAY_LOST` and another one is started; pairs that were still waiting to be handed over are not
lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

from gateway.base.clock import Clock
from gateway.base.errors import Conflict, HostError, InvalidInput
from gateway.net.splice_control import ControlQueue, close_all
from gateway.net.splice_messages import (
    COUNT,
    EARLY_CHUNK,
    END,
    HEADER,
    LAST,
    PASS_END,
    RECORDS_MAX,
    START,
    Command,
    Report,
)
from gateway.net.splice_messages import Reason as EndReason
from gateway.net.splice_pair import Pair, PairEnd, PairLimits, Tell
from gateway.net.tasks import TaskRoom
from gateway.net.watch import SocketWatch

__all__ = ["DataPath", "EndReason", "Pair", "PairEnd", "PairLimits", "Tell"]

_log = logging.getLogger(__name__)

EARLY_MAX = 512 * 1024
"""Octets already read that one side may bring along."""
START_SECONDS = 10.0
STOP_SECONDS = 5.0
BACK_OFF = (0.05, 0.2, 1.0, 5.0)
"""Seconds before the relay process is started again; the first after STEADY seconds of life."""
STEADY_SECONDS = 60.0
LOOK_SECONDS = 10.0
"""Between two looks whether the relay process still answers, and how long it may take to."""
SILENT_LOOKS = 2
DEFAULT_LIMITS = PairLimits()
_REPORT_MAX = HEADER.size + RECORDS_MAX * max(END.size, COUNT.size)
_REPORTS_MAX = 64  # packets read before other callbacks of the event loop get their turn

_ROOT = Path(__file__).resolve().parents[2]
_BOOT = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from gateway.net.splice_loop import main; main(int(sys.argv[2]))"
)


class DataPath:
    """The one door to the relay process."""

    def __init__(self, room: TaskRoom, clock: Clock) -> None:
        self._room = room
        self._clock = clock
        self._pairs: dict[int, Pair] = {}
        self._number = 0
        self._order = self._command  # one bound method for all pairs
        self._queue = ControlQueue(self._handed_over)
        self._control: socket.socket | None = None
        self._running = False
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._measured: list[asyncio.Future[bool]] = []
        self.watch = SocketWatch()
        """For the direction of a feed's sockets that stays with their owner."""
        self.capacity = 0
        """Pairs the relay process can carry."""

    @property
    def pairs(self) -> int:
        """Return how many pairs are alive."""
        return len(self._pairs)

    @property
    def process_id(self) -> int | None:
        """Return the relay process's id, or None while there is none."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start the relay process; raises HostError when it does not come up."""
        if self._running:
            raise Conflict("The data path is running already.")
        self._running = True
        try:
            await self._launch()
        except BaseException:
            self._running = False
            raise
        self._keeper = self._room.start(self._keep_alive(), name="relay process")

    async def stop(self) -> None:
        """End every pair and the relay process."""
        self._running = False
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])
        process = self._process
        self._disconnect()
        self._queue.discard(lambda _: True)
        for pair in list(self._pairs.values()):
            self._end(pair, EndReason.KILLED)
        self.watch.close()
        if process is not None:
            await self._reap(process)

    def join(
        self,
        a: socket.socket,
        b: socket.socket,
        *,
        early_a: bytes = b"",
        early_b: bytes = b"",
        limits: PairLimits = DEFAULT_LIMITS,
        tell: Tell | None = None,
        note: object = None,
    ) -> Pair:
        """Carry octets both ways between `a` (towards the client) and `b`, until both ended.

        Takes both sockets over at once; they are closed for the caller. `early_a` was read from
        `a` and reaches `b` before anything else; `early_b` the other way. When there is no room,
        the pair ends as REFUSED. `tell` is called once with the pair, which bears the `note`, and
        its end. Raises Conflict when the data path is not running, InvalidInput
        for too many early octets; the sockets then stay the caller's.
        """
        self._check(early_a, early_b)
        return self._begin(
            Command.JOIN, 0, (a.detach(), b.detach()), early_a, early_b, limits, tell, note
        )

    def feed(
        self,
        source: socket.socket | int,
        destination: socket.socket | int,
        *,
        early: bytes = b"",
        limits: PairLimits = DEFAULT_LIMITS,
        pass_end: bool = True,
        tell: Tell | None = None,
        note: object = None,
    ) -> Pair:
        """Carry octets from `source` to `destination` only; both stay the caller's as well.

        The caller must not read the source nor write to the destination until the feed has ended,
        and is free to use the other direction. With `pass_end` the end of the source shuts the
        sending side of the destination. `tell` and `note` as of `join`.
        """
        self._check(early, b"")
        descriptors = (_duplicate(source), _duplicate(destination))
        bits = PASS_END if pass_end else 0
        return self._begin(Command.FEED, bits, descriptors, early, b"", limits, tell, note)

    async def ready(self) -> None:
        """Wait while many pairs wait to be handed over: call it before accepting another."""
        await self._queue.eased.wait()

    async def measure(self, seconds: float = 2.0) -> bool:
        """Refresh the octet counts of all pairs; False when that takes more than `seconds`."""
        if self._control is None or not self._pairs:
            return True
        done = asyncio.get_running_loop().create_future()
        self._measured.append(done)
        if len(self._measured) == 1:
            self._ask_counts(0)
        try:
            return await asyncio.wait_for(done, seconds)
        except TimeoutError:
            self._answer_measured(False)
            return False

    def _check(self, *early: bytes) -> None:
        if not self._running:
            raise Conflict("The data path is not running.")
        if max(map(len, early)) > EARLY_MAX:
            raise InvalidInput(f"More than {EARLY_MAX} octets were read before the hand-over.")

    def _begin(
        self,
        command: Command,
        bits: int,
        descriptors: tuple[int, int],
        early_a: bytes,
        early_b: bytes,
        limits: PairLimits,
        tell: Tell | None = None,
        note: object = None,
    ) -> Pair:
        self._number += 1
        number = self._number
        pair = Pair(number, command is Command.FEED, self._order, tell, note)
        if self._queue.full or min(descriptors) < 0:
            close_all(descriptors)
            self._end(pair, EndReason.REFUSED)
            return pair
        self._pairs[number] = pair
        for side, early in ((0, early_a), (1, early_b)):
            for at in range(0, len(early) - EARLY_CHUNK, EARLY_CHUNK):
                header = HEADER.pack(Command.EARLY, side, number)
                self._queue.submit(number, header + early[at : at + EARLY_CHUNK])
        early_a = early_a[_tail(len(early_a)) :]
        start = START.pack(
            command, bits, number, limits.idle, limits.stall, limits.unsent, limits.receive,
            len(early_a),
        )  # fmt: skip
        self._queue.submit(number, start + early_a + early_b[_tail(len(early_b)) :], descriptors)
        return pair

    def _command(self, number: int, command: Command, bits: int) -> None:
        self._queue.submit(number, HEADER.pack(command, bits, number))

    def _handed_over(self, number: int) -> None:
        pair = self._pairs.get(number)
        if pair is not None:
            pair.sent = True

    def _end(self, pair: Pair, reason: EndReason, end: PairEnd | None = None) -> None:
        self._pairs.pop(pair.number, None)
        if end is None:
            end = PairEnd(pair.octets_forward, pair.octets_back, reason, 0.0)
        pair.finish(end)

    # -- reports

    def _on_report(self) -> None:
        control = self._control
        if control is None:
            return
        for _ in range(_REPORTS_MAX):
            try:
                packet = control.recv(_REPORT_MAX)
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
        kind, flags, number = HEADER.unpack_from(packet)
        if kind == Report.END:
            for pair_number, reason, forward, back, seconds in END.iter_unpack(
                packet[HEADER.size :]
            ):
                pair = self._pairs.get(pair_number)
                if pair is not None:
                    why = EndReason(reason)
                    self._end(pair, why, PairEnd(forward, back, why, seconds))
        elif kind == Report.COUNTS:
            for pair_number, forward, back in COUNT.iter_unpack(packet[HEADER.size :]):
                pair = self._pairs.get(pair_number)
                if pair is not None:
                    pair.octets_forward, pair.octets_back = forward, back
            if flags & LAST:
                self._answer_measured(True)
            elif self._measured:
                self._ask_counts(number)

    def _ask_counts(self, after: int) -> None:
        self._queue.submit(0, HEADER.pack(Command.COUNT, 0, after))

    def _answer_measured(self, complete: bool) -> None:
        waiting, self._measured = self._measured, []
        for done in waiting:
            if not done.done():
                done.set_result(complete)

    # -- the process

    async def _launch(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                ours.setblocking(False)
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-I", "-S", "-c", _BOOT, str(_ROOT), str(theirs.fileno()),
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                )  # fmt: skip
            try:
                async with asyncio.timeout(START_SECONDS):
                    hello = await asyncio.get_running_loop().sock_recv(ours, _REPORT_MAX)
                if not hello:
                    raise HostError("The relay process ended at once; see its message above.")
            except BaseException:
                await self._reap(process, now=True)
                raise
        except BaseException as error:
            ours.close()
            if isinstance(error, OSError | TimeoutError):
                raise HostError(f"The relay process did not start: {error}.") from error
            raise
        _, _, self.capacity = HEADER.unpack_from(hello)
        self._process, self._control = process, ours
        self._lost.clear()
        asyncio.get_running_loop().add_reader(ours.fileno(), self._on_report)
        self._queue.attach(ours)

    async def _keep_alive(self) -> None:
        failures = 0
        while True:
            began = self._clock.monotonic()
            await self._until_lost()
            lost = self._abandon(only_sent=True)
            _log.error("the relay process was lost with %d connections; starting another", lost)
            if self._process is not None:
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
                    self._abandon(only_sent=False)

    async def _until_lost(self) -> None:
        """Wait for the relay process to be lost; one that carries pairs and says nothing is ended.

        Nobody else would notice: the streams stand still, and nothing of it fails.
        """
        silent = 0
        while not self._lost.is_set():
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._lost.wait()
            except TimeoutError:
                silent = 0 if await self.measure(LOOK_SECONDS) else silent + 1
            if silent == SILENT_LOOKS and self._process is not None:
                _log.error("the relay process does not answer; it is ended")
                self._process.kill()
                silent = 0

    def _abandon(self, *, only_sent: bool) -> int:
        lost = {number: pair for number, pair in self._pairs.items() if pair.sent or not only_sent}
        self._queue.discard(lambda number: number in lost or number not in self._pairs)
        for pair in lost.values():
            self._end(pair, EndReason.RELAY_LOST)
        self._answer_measured(False)
        return len(lost)

    def _disconnect(self) -> None:
        control, self._control = self._control, None
        self._queue.detach()
        if control is not None:
            asyncio.get_running_loop().remove_reader(control.fileno())
            control.close()

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


def _tail(length: int) -> int:
    """Return where the part begins that travels with the pair itself."""
    return max(0, -(-(length - EARLY_CHUNK) // EARLY_CHUNK)) * EARLY_CHUNK


def _duplicate(sock: socket.socket | int) -> int:
    try:
        return os.dup(sock if isinstance(sock, int) else sock.fileno())
    except OSError:  # closed, or no descriptors left: the pair is refused
        return -1
