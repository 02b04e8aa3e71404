"""Media, and requests in between, whose answers are found without step."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import ProtocolViolation
from gateway.cameras.rtsp import Flow
from gateway.cameras.rtsp_loose import STRAYS_MAX, AnswerSearch
from gateway.driverkit.rtsp import Headers, Request, Response
from tests.cameras.dialogue import HOST, Dialogue, frame

# -- media, and requests in between


def test_frames_before_the_hand_over_pass_framed_and_the_rest_goes_along():
    talk = Dialogue()
    talk.describe()
    talk.setup()
    talk.mediator.camera_octets(frame(1, b"report"))
    talk.pump()
    assert talk.client_saw.endswith(frame(1, b"report"))
    _, asked = talk.ask("PLAY", "rtsp://h/main", session=True)
    media = frame(0, b"a" * 1000) + frame(0, b"b" * 1000)[:300]
    answer = Response(200, "OK", Headers([("CSeq", str(asked.cseq)), ("Session", "12345")]))
    talk.mediator.camera_octets(answer.encode() + media)
    talk.pump()
    assert talk.mediator.can_feed
    assert talk.mediator.begin_feed() == media
    assert talk.mediator.flow is Flow.FED


def in_between(talk: Dialogue, octets: bytes, cut: int) -> None:
    for at in range(0, len(octets), cut):
        talk.mediator.camera_octets(octets[at : at + cut])
        talk.pump()


@pytest.mark.parametrize("cut", [1, 2, 7, 64, 5000])
def test_an_answer_is_found_out_of_step(cut):
    talk = Dialogue()
    talk.playing()
    talk.mediator.begin_feed()
    talk.client_saw.clear()
    talk.in_step = False
    talk.ask("GET_PARAMETER", session=True)
    assert talk.mediator.wants_reclaim
    talk.mediator.reclaimed()
    _, asked = talk.took()
    assert (asked.method, asked.url) == ("GET_PARAMETER", f"rtsp://{HOST}:554/cam/stream1/")
    # The middle of a frame that holds what looks like an answer, and one of another CSeq.
    decoys = b"RTSP/1.0 200 OK\r\nCSeq: 5\r\n\r\nRTSP/1.RTSP/1.0 nonsense\r\nRTSP/1.0 200"
    before = b"\x99" * 700 + decoys + frame(0, b"z" * 300)
    answer = Response(200, "OK", Headers([("CSeq", str(asked.cseq)), ("Server", HOST)])).encode()
    after = frame(0, b"y" * 90) + frame(1, b"")
    in_between(talk, before + answer + after[:50], cut)
    if not talk.mediator.can_feed:
        pytest.fail("the answer was not found")
    rest = talk.mediator.begin_feed()
    seen = bytes(talk.client_saw)
    told = seen[len(before) :].partition(b"\r\n\r\n")
    assert seen.startswith(before)
    assert f"CSeq: {talk.cseq}".encode() in told[0]
    assert HOST.encode() not in told[0]
    assert told[2] + rest == after[:50]


def test_our_own_answer_waits_for_a_boundary():
    talk = Dialogue()
    talk.playing()
    talk.mediator.begin_feed()
    talk.client_saw.clear()
    talk.in_step = False
    talk.ask("ANNOUNCE", body=b"v=0\r\n")
    talk.mediator.reclaimed()
    _, marker = talk.took()
    assert marker.method == "OPTIONS"
    talk.mediator.camera_octets(b"\x01" * 100)
    talk.camera(marker)
    assert talk.client_saw.startswith(b"\x01" * 100 + b"RTSP/1.0 405")
    assert talk.mediator.can_feed
    assert b"ANNOUNCE" not in talk.camera_saw


def test_pause_and_play_again_and_teardown():
    talk = Dialogue()
    talk.playing()
    talk.mediator.begin_feed()
    talk.ask("PAUSE", session=True)
    talk.mediator.reclaimed()
    talk.pump()
    paused = talk._camera.next_message()
    talk.camera(paused)
    assert not talk.mediator.can_feed
    assert talk.play().status == 200
    assert talk.mediator.can_feed
    talk.mediator.begin_feed()
    assert b"TEARDOWN" in talk.mediator.farewell()
    talk.ask("TEARDOWN", session=True)
    talk.mediator.reclaimed()
    _, asked = talk.took()
    talk.camera(asked)
    assert not talk.mediator.playing
    assert talk.mediator.farewell() == b""
    answer, asked = talk.ask("PLAY", session=True)
    assert (answer.status, asked) == (454, None)


def test_the_client_may_send_reports_only():
    talk = Dialogue()
    talk.playing()
    talk.camera_saw.clear()
    sent = frame(1, b"report") + frame(0, b"picture") + frame(9, b"x")
    talk.mediator.client_octets(sent)
    talk.pump()
    assert talk.camera_saw == frame(1, b"report")


def test_pipelined_requests_are_answered_in_order():
    talk = Dialogue()
    requests = b"".join(
        Request("OPTIONS", "rtsp://h/main", Headers([("CSeq", str(n))])).encode() for n in (5, 6, 7)
    )
    talk.mediator.client_octets(requests)
    got = []
    _, asked = talk.took()
    while asked is not None:
        answer, asked = talk.camera(asked)
        got.append(answer.cseq)
    assert got == [5, 6, 7]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.binary(max_size=100), st.integers(1, 50))
def test_every_octet_passes_once_and_in_order(before, after, cut):
    answer = b"RTSP/1.0 200 OK\r\nServer: x\r\nCSeq: 987654321\r\n\r\n"
    search, passed, rest = AnswerSearch(), b"", None
    octets = before + answer + after
    for at in range(0, len(octets), cut):
        piece, rest = search.take(octets[at : at + cut], 987_654_321)
        passed += piece
        if rest is not None:
            rest += octets[at + cut :]
            break
    assert rest is not None
    assert passed + rest == octets
    assert passed == before


def test_nothing_is_held_back_when_nothing_is_expected():
    search = AnswerSearch()
    assert search.take(b"abRTSP/1.0 200", None) == (b"abRTSP/1.0 200", None)
    assert search.take(b"cdRTS", 5) == (b"cd", None)
    assert search.flush() == b"RTS"


def test_a_head_without_end_is_given_up():
    search = AnswerSearch()
    octets = b"RTSP/1.0 200 OK\r\n" + b"x" * 40_000
    passed, rest = search.take(octets, 5)
    assert (len(passed), rest) == (len(octets), None)


def test_answers_to_nobody_end_it():
    with pytest.raises(ProtocolViolation):
        AnswerSearch().take(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n" * (STRAYS_MAX + 1), 5)
