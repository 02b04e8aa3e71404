"""A tunnel that ends while the media is being called back lets go of the event loop."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.base.clock import SystemClock
from gateway.cameras.rtsp_tunnel import RtspTunnel
from gateway.cameras.settings import CameraSettings
from gateway.net.datapath import DataPath
from gateway.net.tasks import TaskRoom
from tests.cameras.dialogue import Dialogue


@contextmanager
def answering(seconds: float) -> Iterator[None]:
    """Break code off that never comes back to the event loop, where no timeout of its helps."""

    def broken(_number: int, _frame: object) -> None:
        raise AssertionError("the event loop was held")

    before = signal.signal(signal.SIGALRM, broken)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fed_and_asked() -> Dialogue:
    """Return a mediator whose media is with the data path and whose client asks something more."""
    talk = Dialogue()
    talk.describe()
    talk.setup()
    _, asked = talk.ask("PLAY", session=True)
    talk.camera(asked, 200, ("Session", "12345"), ("RTP-Info", "url=track1;seq=1"))
    assert talk.mediator.can_feed
    talk.mediator.begin_feed()
    talk.ask("GET_PARAMETER", session=True)
    assert talk.mediator.wants_reclaim
    return talk


async def test_nobody_waits_for_media_that_nobody_brings_back():
    """The downstream task has seen the end and is gone; the upstream task is not cancelled yet."""
    client, peer = socket.socketpair()
    clock = SystemClock()
    async with TaskRoom("test") as room:
        with client, peer:
            client.setblocking(False)
            tunnel = RtspTunnel(
                client, fed_and_asked().mediator, dial=None, datapath=DataPath(room, clock),
                settings=CameraSettings(), clock=clock, room=room,
            )  # fmt: skip
            tunnel.end("Ended by hand.")
            with answering(5):
                await tunnel._settle()
            await tunnel._close(cut=True)
            assert peer.recv(1) == b""
