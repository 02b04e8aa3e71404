"""The RTSP mediator on two sockets: what happens while a tunnel is awake.

No task waits here: the socket watch, the data path and one timer call, the mediator is fed, and
`_settle` does what it wants until only they can bring something new. Media goes through the data
path; a request in between calls it back, because its answer must be seen.

While media flows either side may end its own direction: a client that says no more still gets the
stream, and what it says after the camera's end still reaches the camera. Resets go on as resets.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

from gateway.base.errors import GatewayError, HostError, TimedOut
from gateway.cameras.rtsp import RtspMediator
from gateway.cameras.rtsp_ground import FAILED, SENTENCES, Owner, Standing, TunnelGround, flood
from gateway.cameras.sessions import SessionEnd
from gateway.driverkit.errors import Unreachable
from gateway.net import watch
from gateway.net.datapath import EndReason, Pair, PairEnd, Tell

READ_OCTETS = 16 * 1024
"""Of what is not spliced; frames of four octets, which a camera may send, take time to parse."""
CLIENT_READ_OCTETS = 16 * 1024
"""Requests and receiver reports are small; speech on a back channel is 8 KB/s."""
REST_SECONDS = 1.0
"""A client that spoke is likely to go on: of speech, a packet each 20 ms."""
LAST_SECONDS = 10.0
"""How long a client may still speak to a camera that has ended the stream; most close at once."""
KILL_SECONDS = 0.5
"""How long the relay process may take to let go before the sockets are reset all the same."""

CLIENT_ENDED = "The client ended the connection."

_log = logging.getLogger(__name__)


class Conversation:
    """One client and one camera, awake; owns both sockets."""

    __slots__ = (
        "_asked_at", "_camera_ended", "_client_reset", "_cut", "_dialing", "_due", "_exchanges",
        "_for_camera", "_for_client", "_ground", "_limit", "_live", "_loop", "_owner", "_reason",
        "_reclaiming", "_since", "_stuck_at", "_tell", "_timer", "_watch", "camera", "client",
        "client_ended", "down", "flood", "mediator", "pair", "up",
    )  # fmt: skip

    def __init__(
        self,
        owner: Owner,
        mediator: RtspMediator,
        ground: TunnelGround,
        tell: Tell,
        standing: Standing,
        pair: Pair | None = None,
    ) -> None:
        self._owner = owner
        self._ground = ground
        self._watch = ground.datapath.watch
        self._tell = tell
        self.mediator = mediator
        self.client, self.camera, self.down, self.up, self.client_ended, since, count = standing
        self.flood = since, count
        self.pair = pair
        self._loop = asyncio.get_running_loop()
        self._for_client = bytearray()
        self._for_camera = bytearray()
        self._client_reset = self._camera_ended = self._reclaiming = self._cut = False
        self._live = True
        self._reason = ""
        self._dialing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._exchanges = mediator.exchanges
        self._since = self._asked_at = self._stuck_at = self._loop.time()
        settings = ground.settings
        # Whoever rested has said something before.
        self._limit = settings.first_octet_seconds if pair is None else settings.idle_seconds

    @property
    def standing(self) -> Standing:
        """What is needed to go on after a rest, besides the mediator's memo and the pair."""
        return Standing(
            self.client, self.camera, self.down, self.up, self.client_ended, *self.flood
        )

    # -- what calls

    def start(self) -> None:
        """Listen to the client."""
        self._guarded(self._arrange)

    def ready(self, descriptor: int) -> None:
        """One of the sockets may be read or written."""
        if self._live:
            self._guarded(self._client_ready if descriptor == self.client else self._camera_ready)

    def pair_ended(self, end: PairEnd) -> None:
        """The data path carries no more."""
        self.pair = None
        self._reclaiming = False
        self.down += end.octets_forward
        if self._live:
            self._guarded(self._feed_ended, end)
        else:
            self._close()

    def finish(self, reason: str, *, cut: bool = False) -> None:
        """Begin the end: with `cut` both sides see a reset. Only the first reason counts."""
        if not self._live:
            return
        self._live = False
        self._reason, self._cut = reason, cut
        self._stop_timer()
        if self._dialing is not None:
            self._dialing.cancel()
        for descriptor in (self.client, self.camera):
            if descriptor >= 0:
                self._want(descriptor, 0)
        if self.pair is None:
            self._close()
            return
        self.pair.kill()
        self._timer = self._loop.call_later(KILL_SECONDS, self._close)

    def _guarded(self, act: Callable[..., None], *arguments: Any) -> None:
        """Do something and what follows from it; whatever fails ends the conversation."""
        try:
            act(*arguments)
            if self._live:
                self._settle()
        except GatewayError as error:
            self.finish(str(error), cut=True)
        except Exception:
            _log.exception("a tunnel to a camera failed")
            self.finish(FAILED, cut=True)

    def _say_farewell(self) -> None:
        if self.camera < 0 or self._for_camera:
            return  # in the middle of something else it would be none
        try:
            watch.give(self.camera, self.mediator.farewell())
        except HostError:
            pass
        except Exception:  # nothing may keep the sockets open and the session in the book
            _log.exception("a camera cannot be told of the end of a tunnel")

    def _close(self) -> None:
        self._stop_timer()
        if self.pair is None:
            # Not before the feed has ended: the answer would reach the client.
            self._say_farewell()
        else:
            self.down += self.pair.octets_forward
            self.pair = None
            watch.shut(self.camera)  # the relay process still has them, and does not let go
            watch.shut(self.client)
        if self.camera >= 0:
            watch.let_go(self.camera, reset=self._client_reset)
        watch.let_go(self.client, reset=self._cut)
        if self._camera_ended:
            self.mediator.camera_failed(Unreachable(SENTENCES[EndReason.CLOSED]))
        self._owner.over(SessionEnd(self._reason, self.down, self.up, self.mediator.fault))

    # -- the sockets

    def _want(self, descriptor: int, mask: int) -> None:
        self._watch.want(descriptor, mask, self._owner)

    @property
    def _hears_client(self) -> bool:
        mediator = self.mediator
        unsent = self._for_client or self._for_camera
        return not (unsent or self.client_ended or mediator.waiting or mediator.wants_reclaim)

    @property
    def _hears_camera(self) -> bool:
        busy = self.pair or self._for_client or self._camera_ended or self.mediator.finished
        return not busy

    def _client_ready(self) -> None:
        if self._for_client:
            return  # `_settle` sends it
        if not self._hears_client:
            self._want(self.client, 0)
            return
        try:
            data = watch.take(self.client, CLIENT_READ_OCTETS)
        except HostError:
            self._client_reset = True
            self.finish(SENTENCES[EndReason.B_RESET], cut=True)
            return
        if data is None:
            return
        self._since = self._loop.time()
        self._limit = self._ground.settings.idle_seconds
        if not data and self._camera_ended:
            self.finish(SENTENCES[EndReason.CLOSED])
        elif not data and self.mediator.playing:
            # It may want to hear the rest; if it is gone altogether, the next octet is reset.
            self.client_ended = True
        else:
            self._count_load()
            self.mediator.client_octets(data)
            self._count_load()

    def _camera_ready(self) -> None:
        if not self._hears_camera:
            if not self._for_camera:
                self._want(self.camera, 0)
            return
        try:
            data = watch.take(self.camera, READ_OCTETS)
        except HostError:
            data = b""  # a reset is an end: the client is told why, not cut off
        if data is not None:
            self.mediator.camera_octets(data)
            self._since = self._loop.time()

    def _flush(self) -> bool:
        """Send what is for either side, as far as it is taken now; False when that was the end."""
        taken, full = 0, bool(self._for_camera or self._for_client)
        self._for_camera += self.mediator.to_camera()
        if self._for_camera and self.camera >= 0:
            try:
                taken = watch.give(self.camera, self._for_camera)
                self.up += taken
                del self._for_camera[:taken]
            except HostError:
                self._for_camera.clear()
                broken = Unreachable("The camera broke the connection off.")
                self.mediator.camera_failed(broken)
        self._for_client += self.mediator.to_client()
        if self._for_client:
            try:
                sent = watch.give(self.client, self._for_client)
            except HostError:
                self._client_reset = True
                self.finish(SENTENCES[EndReason.B_RESET], cut=True)
                return False
            self.down += sent
            taken += sent
            del self._for_client[:sent]
        if (taken or not full) and (self._for_camera or self._for_client):
            self._stuck_at = self._loop.time()
        return True

    def _count_load(self) -> None:
        self.flood = flood(self.flood, self.mediator.load, self._ground.clock.monotonic())

    # -- what the mediator wants

    def _settle(self) -> None:
        """Do what is to be done until only the sockets, the feed or the clock bring news."""
        mediator = self.mediator
        if not self._flush():
            return
        if not (self._for_client or self._for_camera):
            if mediator.finished:
                error = isinstance(mediator.finished, GatewayError)
                self.finish(str(mediator.finished) if error else CLIENT_ENDED)
                return
            if mediator.wants_reclaim and self.pair is None and self._camera_ended:
                self.finish(SENTENCES[EndReason.CLOSED])  # nobody answers requests any more
                return
            source = mediator.wants_camera
            if source is not None and self._dialing is None:
                self._dialing = self._ground.connect(source, self._dialled, self._not_dialled)
            elif mediator.wants_reclaim and self.pair is not None and not self._reclaiming:
                self._reclaiming = True
                self.pair.call_back()
            elif mediator.can_feed and self.camera >= 0:
                self._feed()
                if self._rest():
                    return
        if mediator.exchanges != self._exchanges:
            self._exchanges = mediator.exchanges
            self._asked_at = self._loop.time()
            self._count_load()  # more may have come in one piece than is asked at once
        self._arrange()

    def _arrange(self) -> None:
        """Ask for what the sockets may bring, and for the time by which something must come.

        What is not wanted for a moment is not given back: mostly it does not come.
        """
        mask = (watch.READ if self._hears_client else 0) | (watch.WRITE if self._for_client else 0)
        if mask:
            self._want(self.client, mask)
        if self.camera >= 0:
            mask = watch.READ if self._hears_camera else 0
            mask |= watch.WRITE if self._for_camera else 0
            if mask:
                self._want(self.camera, mask)
        due, _ = self._deadline()
        if due and (self._timer is None or due < self._due):
            self._stop_timer()
            self._due = due
            self._timer = self._loop.call_at(due, self._alarm)

    def _deadline(self) -> tuple[float, Callable[[], None]]:
        """Return until when something must happen, 0 for never, and what is done otherwise."""
        settings, mediator = self._ground.settings, self.mediator
        if self._for_client or self._for_camera:
            return self._stuck_at + settings.stall_seconds, self._stalled
        if self._camera_ended:
            return self._since + LAST_SECONDS, self._camera_was_last
        if self.pair is not None:
            return (0.0 if self._reclaiming else self._since + REST_SECONDS), self._try_to_rest
        if self._dialing is not None:
            return 0.0, self._stalled  # it has a limit of its own
        if mediator.waiting:
            # The answer of a playing camera waits behind media that a slow client has yet to take.
            factor = 3 if mediator.playing else 1
            return self._asked_at + settings.answer_seconds * factor, mediator.overdue
        return (0.0 if mediator.playing else self._since + self._limit), self._silent

    def _alarm(self) -> None:
        self._timer = None
        if not self._live:
            return
        due, act = self._deadline()
        passed = due and due <= self._loop.time() + 0.002  # loops round their timers
        self._guarded(act if passed else self._settle)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stalled(self) -> None:
        raise TimedOut("The other side took nothing for too long.")

    def _silent(self) -> None:
        raise TimedOut(f"The client said nothing for {self._limit:g} s.")

    def _camera_was_last(self) -> None:
        self.finish(SENTENCES[EndReason.CLOSED])

    def _try_to_rest(self) -> None:
        if not self._rest():
            self._since = self._loop.time()

    def _rest(self) -> bool:
        if self.pair is None or not self._live or not self.mediator.can_rest:
            return False
        if self._for_client or self._for_camera:
            return False
        self._want(self.client, 0 if self.client_ended else watch.READ)
        self._stop_timer()
        self._live = False
        self._owner.rests(self.mediator, self.standing, self.pair)
        return True

    def _dialled(self, sock: socket.socket) -> None:
        self._dialing = None
        if not self._live:
            sock.close()
            return
        self.camera = sock.detach()
        self._guarded(self.mediator.camera_connected)

    def _not_dialled(self, why: GatewayError) -> None:
        self._dialing = None
        if self._live:
            self._guarded(self.mediator.camera_failed, why)

    # -- the media

    def _feed(self) -> None:
        """Leave the camera's direction to the data path."""
        early = self.mediator.begin_feed()
        self._want(self.camera, 0)
        ground = self._ground
        self.pair = ground.datapath.feed(
            self.camera, self.client, early=early, limits=ground.limits, tell=self._tell,
            note=self._owner,
        )  # fmt: skip

    def _feed_ended(self, end: PairEnd) -> None:
        if end.reason is EndReason.RECLAIMED:
            self.mediator.reclaimed()
            return
        if end.reason is EndReason.CLOSED:
            self._camera_ended = True
            self._since = self._loop.time()
            if self.client_ended:
                self._camera_was_last()
            return
        if end.reason in (EndReason.A_RESET, EndReason.IDLE):
            self.mediator.camera_failed(Unreachable(SENTENCES[end.reason]))
        self._client_reset = end.reason is EndReason.B_RESET
        self.finish(SENTENCES[end.reason], cut=True)
