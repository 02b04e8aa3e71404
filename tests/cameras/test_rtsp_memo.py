"""A mediator put aside at every point where it can be is the same to both sides."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from gateway.base.entropy import SystemEntropy
from gateway.cameras import rtsp
from gateway.cameras.rtsp import RtspMediator
from gateway.cameras.rtsp_memo import MemoTable
from gateway.driverkit.digest import LoginAnswerer
from gateway.driverkit.rtsp import Headers, Interleaved, Request, Response
from tests.cameras.dialogue import CREDENTIALS, HOST, SDP, Dialogue, frame, place


class Counting:
    """Octets that are the same in both runs."""

    def __init__(self) -> None:
        self._count = 0

    def octets(self, count: int) -> bytes:
        self._count += 1
        return self._count.to_bytes(count, "big")


class Resting(Dialogue):
    """A dialogue whose mediator is put aside and recalled whenever that is possible."""

    def __init__(self, *, rests: bool, entropy: Counting, **more) -> None:
        super().__init__(**more)
        login = LoginAnswerer(CREDENTIALS, entropy=entropy)
        self.mediator = RtspMediator(
            place=place, login=login, operate=more.get("operate", False), first_cseq=700_000_000,
            session_id="feedc0de00112233", hidden=(HOST,), echoes=("admin:x@",),
        )  # fmt: skip
        self.rests = rests
        self.memos = MemoTable()
        self.rested = 0

    def pump(self) -> None:
        super().pump()
        mediator = self.mediator
        if mediator.can_feed and self.rests is not None:
            self.client_saw += mediator.begin_feed()
        if self.rests and mediator.can_rest:
            shared, own = mediator.memo()
            self.mediator = RtspMediator.recalled(self.memos.shared(shared), own)
            self.rested += 1

    def between(self, method: str, *headers, body: bytes = b"") -> Request:
        """Ask while media flows; return what the camera is asked."""
        self.in_step = False
        _, asked = self.ask(method, "rtsp://h/main", *headers, body=body, session=True)
        while asked is not None:
            assert isinstance(asked, Interleaved)  # what the client sent before
            asked = self._camera.next_message()
        assert self.mediator.wants_reclaim
        assert not self.mediator.can_rest
        self.mediator.reclaimed()
        _, asked = self.took()
        return asked


def challenge(nonce: str, **more: str) -> tuple[str, str]:
    fields = {"realm": "cam", "nonce": nonce, "qop": "auth", "opaque": f"o-{nonce}", **more}
    return "WWW-Authenticate", "Digest " + ", ".join(f'{k}="{v}"' for k, v in fields.items())


def begin(talk: Resting) -> None:
    """Play two tracks, one of them the back channel, after a Digest login."""
    _, asked = talk.ask("DESCRIBE")
    _, asked = talk.camera(asked, 401, challenge("one"))
    talk.camera(asked, 200, ("Content-Type", "application/sdp"), body=SDP.encode())
    for track in (0, 2) if talk.mediator._words._operate else (0,):
        talk.setup(track)
    talk.play()


def keep_alive(talk: Resting) -> None:
    asked = talk.between("GET_PARAMETER", body=b"position\r\n")
    media = b"\x01" * 50 + b"RTSP/1.0 200 OK\r\nCSeq: 5\r\n\r\n"
    talk.mediator.camera_octets(media)
    talk.camera(asked, 200, body=b"position: 4\r\n")


def stale_nonce(talk: Resting) -> None:
    asked = talk.between("OPTIONS")
    _, again = talk.camera(asked, 401, challenge("two", stale="true"))
    assert 'nonce="two"' in again.headers.get("Authorization")
    assert "nc=00000001" in again.headers.get("Authorization")
    talk.camera(again)
    keep_alive(talk)


def refused_login(talk: Resting) -> None:
    asked = talk.between("OPTIONS")
    talk.camera(asked, 401, challenge("one"))


def pause_and_play(talk: Resting) -> None:
    asked = talk.between("PAUSE")
    talk.camera(asked)
    _, asked = talk.ask(
        "SETUP", "rtsp://h/main/track1", ("Transport", "RTP/AVP/TCP;interleaved=4-5"), session=True
    )
    talk.camera(
        asked, 200, ("Transport", asked.headers.get("Transport")), ("Session", "12345;timeout=30")
    )
    talk.in_step = True
    talk.play()
    talk.mediator.client_octets(frame(5, b"report") + frame(9, b"nowhere"))
    talk.pump()


def reports_and_speech(talk: Resting) -> None:
    for octet in frame(1, b"report") + frame(4, b"speech") + frame(5, b"of speech"):
        talk.mediator.client_octets(bytes([octet]))
        talk.pump()


def our_own_answer(talk: Resting) -> None:
    asked = talk.between("ANNOUNCE", body=b"v=0\r\n")
    talk.camera(asked)


def strays(talk: Resting) -> None:
    for _ in range(rtsp.STRAYS_MAX // 8 + 2):
        asked = talk.between("OPTIONS")
        redirect = Response(401, "x", Headers([("CSeq", str(asked.cseq)), challenge("stray")]))
        talk.mediator.camera_octets(redirect.encode())  # in step from here on
        for _ in range(8):
            talk.mediator.camera_octets(Response(200, "x", Headers([("CSeq", "1")])).encode())
        if talk.mediator.finished:
            talk.pump()
            return
        _, asked = talk.took()
        talk.camera(asked)
    raise AssertionError("strays are not counted over a rest")


def teardown(talk: Resting) -> None:
    asked = talk.between("TEARDOWN")
    talk.camera(asked)
    talk.in_step = True
    talk.ask("PLAY", session=True)


def farewell(talk: Resting) -> None:
    talk.camera_saw += talk.mediator.farewell()


def garbage(talk: Resting) -> None:
    talk.mediator.client_octets(b"GET / HTTP/1.1\r\n\r\n")
    talk.pump()


def half_a_request(talk: Resting) -> None:
    request = Request("OPTIONS", "rtsp://h/main", Headers([("CSeq", "900")])).encode()
    talk.mediator.client_octets(request[:20])
    talk.pump()
    assert not talk.mediator.can_rest
    talk.mediator.client_octets(request[20:])
    talk.pump()
    talk.mediator.reclaimed()
    talk.in_step = False
    _, asked = talk.took()
    talk.camera(asked)


SCENES = [
    keep_alive, stale_nonce, refused_login, pause_and_play, reports_and_speech, our_own_answer,
    strays, teardown, farewell, garbage, half_a_request,
]  # fmt: skip


def played(scene: Callable[[Resting], None], *, rests: bool, operate: bool) -> Resting:
    talk = Resting(rests=rests, entropy=Counting(), operate=operate)
    begin(talk)
    scene(talk)
    if not talk.mediator.finished and talk.mediator.playing:
        keep_alive(talk)  # and everything is still known
        farewell(talk)
    return talk


@pytest.mark.parametrize("operate", [False, True])
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_both_sides_see_the_same(scene, operate):
    through, rested = (played(scene, rests=rests, operate=operate) for rests in (False, True))
    assert rested.client_saw == through.client_saw
    assert rested.camera_saw == through.camera_saw
    assert str(rested.mediator.finished) == str(through.mediator.finished)
    assert rested.mediator.load == through.mediator.load
    assert (through.rested, rested.rested > 0) == (0, True)


def test_the_count_of_uses_of_a_nonce_goes_on():
    talk = Resting(rests=True, entropy=Counting())
    begin(talk)
    keep_alive(talk)
    assert b"nc=00000004" in talk.camera_saw


def test_viewers_of_one_stream_share_a_memo_and_the_last_takes_it_along():
    memos, kept = MemoTable(), []
    for session in range(3):
        talk = Resting(rests=False, entropy=SystemEntropy())
        talk.mediator._words._session_id = f"{session:016x}"
        entropy = talk.mediator._login._entropy
        talk.mediator._login._entropy = kept[0][0].login.entropy if kept else entropy
        _, asked = talk.ask("DESCRIBE")
        _, asked = talk.camera(asked, 401, challenge(f"nonce {session}"))
        talk.camera(asked, 200, ("Content-Type", "application/sdp"), body=SDP.encode())
        talk.setup(0)
        _, asked = talk.ask("PLAY")
        talk.camera(asked, 200, ("Session", "12345"))
        assert talk.mediator.can_rest
        shared, own = talk.mediator.memo()
        kept.append((memos.shared(shared), own))
    assert len({id(shared) for shared, _ in kept}) == len(memos) == 1
    assert len({own.nonce for _, own in kept}) == 3
    assert "pass" not in repr(kept[0][0])
    talk = shared = None
    kept.clear()
    gc.collect()
    assert len(memos) == 0


def test_a_conversation_in_which_something_is_under_way_is_not_put_aside():
    talk = Resting(rests=False, entropy=Counting())
    assert not talk.mediator.can_rest
    talk.ask("DESCRIBE")
    assert not talk.mediator.can_rest
    talk = Resting(rests=False, entropy=Counting())
    begin(talk)
    assert talk.mediator.can_rest
    talk.mediator.client_octets(b"OPT")
    assert not talk.mediator.can_rest
