"""A client's way to port 554 of a camera, for as long as it lasts: awake, at rest, over.

Thousands of them carry media while their clients say nothing. Such a tunnel rests: what it knows is
packed into a few octets beside the pair of the data path, no task or timer waits for it, and it
goes on exactly where it was when the client speaks, when the pair ends, or when somebody ends it.
"""

from __future__ import annotations

import asyncio
import marshal
import socket
from collections.abc import Callable

from gateway.cameras.rtsp import RtspMediator
from gateway.cameras.rtsp_ground import Standing, TunnelGround
from gateway.cameras.rtsp_memo import OwnMemo, StreamMemo
from gateway.cameras.rtsp_talk import Conversation
from gateway.cameras.sessions import Carrier, SessionEnd
from gateway.net.datapath import Pair, PairEnd

_STANDING = len(Standing._fields)


class RtspTunnel:
    """One client's connection to port 554 of one camera: a `Carrier`, which owns both sockets."""

    __slots__ = ("_done", "_ground", "_pair", "_shared", "_state", "note")

    def __init__(self, client: socket.socket, mediator: RtspMediator, ground: TunnelGround) -> None:
        self._ground = ground
        self._done: Callable[[Carrier, SessionEnd], None] | None = None
        self._pair: Pair | None = None  # at rest only, as the next
        self._shared: StreamMemo | None = None
        self._state: Conversation | bytes | SessionEnd = Conversation(
            self, mediator, ground, _tell, Standing(client.detach())
        )
        self.note: object = None
        """The caller's own."""

    @property
    def resting(self) -> bool:
        """Whether it is put aside."""
        return isinstance(self._state, bytes)

    @property
    def octets_down(self) -> int:
        """Octets sent to the client, as far as they are known now."""
        return self._counts()[0]

    @property
    def octets_up(self) -> int:
        """Octets sent to the camera."""
        return self._counts()[1]

    def _counts(self) -> tuple[int, int]:
        state, pair = self._state, self._pair
        if isinstance(state, SessionEnd):
            return state.octets_down, state.octets_up
        if isinstance(state, Conversation):
            standing, pair = state.standing, state.pair
        else:
            standing = _unpacked(state)[0]
        return standing.down + (pair.octets_forward if pair is not None else 0), standing.up

    def start(self, done: Callable[[Carrier, SessionEnd], None]) -> None:
        """Carry on until one side ends; `done` is called once then, never within a call."""
        self._done = done
        state = self._state
        if isinstance(state, Conversation):
            state.start()
        elif isinstance(state, SessionEnd):  # whoever heard of it has ended it already
            self.over(state)

    def end(self, reason: str) -> None:
        """Cut both connections now; `done` is called soon after."""
        talk = self._awake()
        if talk is not None:
            talk.finish(reason, cut=True)

    def ready(self, descriptor: int) -> None:
        """One of the sockets may be read or written (the socket watch)."""
        talk = self._awake()
        if talk is not None:
            talk.ready(descriptor)

    def pair_ended(self, end: PairEnd) -> None:
        """The data path carries no more."""
        talk = self._awake()
        if talk is not None:
            talk.pair_ended(end)

    # -- what becomes of the conversation

    def rests(self, mediator: RtspMediator, standing: Standing, pair: Pair) -> None:
        """Nothing is under way: keep what is needed to go on, and drop the conversation."""
        shared, own = mediator.memo()
        self._shared = self._ground.memos.shared(shared)
        self._pair = pair
        self._state = marshal.dumps((*standing, *own))

    def _awake(self) -> Conversation | None:
        """Return the conversation, taken up again where it rested; None when it is over."""
        state, shared = self._state, self._shared
        if isinstance(state, bytes) and shared is not None:
            standing, own = _unpacked(state)
            mediator = RtspMediator.recalled(shared, own)
            state = Conversation(self, mediator, self._ground, _tell, standing, self._pair)
            self._state = state
            self._shared = self._pair = None
        return state if isinstance(state, Conversation) else None

    def over(self, end: SessionEnd) -> None:
        """It has ended, both sockets are closed."""
        self._state = end
        if self._done is not None:
            asyncio.get_running_loop().call_soon(self._done, self, end)


def _unpacked(packed: bytes) -> tuple[Standing, OwnMemo]:
    values = marshal.loads(packed)  # noqa: S302  (written by `rests`, in this process)
    return Standing(*values[:_STANDING]), OwnMemo(*values[_STANDING:])


def _tell(pair: Pair, end: PairEnd) -> None:
    tunnel = pair.note
    if isinstance(tunnel, RtspTunnel):
        tunnel.pair_ended(end)
