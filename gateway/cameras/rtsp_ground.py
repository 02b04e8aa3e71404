"""What tunnels to a camera stand on, and what of one is left while it rests."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from gateway.base.clock import Clock
from gateway.base.errors import GatewayError, HostError, ProtocolViolation
from gateway.cameras.rtsp import RtspMediator
from gateway.cameras.rtsp_memo import REQUEST_LOAD, MemoTable
from gateway.cameras.sessions import SessionEnd
from gateway.cameras.settings import CameraSettings
from gateway.driverkit.driver import StreamSource
from gateway.driverkit.errors import Unreachable
from gateway.net.datapath import DataPath, EndReason, Pair, PairLimits
from gateway.net.tasks import TaskRoom
from gateway.net.watch import Watcher

Dial = Callable[[StreamSource], Awaitable[socket.socket]]

LOAD_MAX = 100 * REQUEST_LOAD
LOAD_SECONDS = 10.0
"""A player sends under 10 requests to start and one each 15 s; a flood ends the connection. Speech
and reports are as fast as the camera takes them."""

FAILED = "The connection failed inside the gateway."
SENTENCES = {
    EndReason.CLOSED: "The camera ended the stream.",
    EndReason.A_RESET: "The connection to the camera broke.",
    EndReason.B_RESET: "The client went away.",
    EndReason.KILLED: "The connection was cut.",
    EndReason.IDLE: "The camera fell silent.",
    EndReason.STALLED: "The client took nothing for too long.",
    EndReason.REFUSED: "The gateway carries as many streams as it can.",
    EndReason.RELAY_LOST: "The relay process was lost.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelGround:
    """What all tunnels to one camera stand on."""

    dial: Dial
    datapath: DataPath
    settings: CameraSettings
    clock: Clock
    room: TaskRoom
    memos: MemoTable = field(default_factory=MemoTable)
    limits: PairLimits = field(init=False)

    def __post_init__(self) -> None:
        settings = self.settings
        limits = PairLimits(
            idle=settings.silence_seconds, stall=settings.stall_seconds,
            receive=settings.receive_buffer,
        )  # fmt: skip
        object.__setattr__(self, "limits", limits)

    def connect(
        self,
        source: StreamSource,
        connected: Callable[[socket.socket], None],
        failed: Callable[[GatewayError], None],
    ) -> asyncio.Task[None]:
        """Dial in a task of the camera's room; one of the two is called, with a cancel as well."""
        return self.room.start(self._dial(source, connected, failed), name="dial")

    async def _dial(
        self,
        source: StreamSource,
        connected: Callable[[socket.socket], None],
        failed: Callable[[GatewayError], None],
    ) -> None:
        try:
            sock = await self.dial(source)
        except HostError:
            # Its sentence names the address, which is no client's business.
            failed(Unreachable("The camera does not answer."))
        except GatewayError as error:
            failed(error)
        except BaseException:
            failed(Unreachable(FAILED))
            raise
        else:
            connected(sock)


class Standing(NamedTuple):
    """The sockets of a conversation and its counts: plain numbers, so that they can be packed."""

    client: int
    camera: int = -1
    down: int = 0
    up: int = 0
    client_ended: bool = False
    flood_since: float = 0.0
    flood_count: int = 0


def flood(before: tuple[float, int], load: int, now: float) -> tuple[float, int]:
    """Return since when a client's load is counted, and from what on. Raises ProtocolViolation."""
    since, count = before if now - before[0] <= LOAD_SECONDS else (now, load)
    if load - count > LOAD_MAX:
        raise ProtocolViolation("The client floods the camera with requests.")
    return since, count


class Owner(Watcher, Protocol):
    """Whose conversation it is: told of the sockets in its place, and of what becomes of it."""

    def rests(self, mediator: RtspMediator, standing: Standing, pair: Pair) -> None:
        """Nothing is under way: keep what is needed to go on, and drop the conversation."""

    def over(self, end: SessionEnd) -> None:
        """It has ended, both sockets are closed."""
