"""What goes wrong on either side, and garbage."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import GatewayError
from gateway.driverkit.errors import Misbehaved, Unreachable
from gateway.driverkit.rtsp import Headers, Request, Response
from tests.cameras.dialogue import HOST, PASSWORD, SDP, Dialogue, clean

# -- faults


def test_a_camera_that_asks_is_refused_and_unseen():
    talk = Dialogue()
    talk.describe()
    talk.client_saw.clear()
    talk.mediator.camera_octets(
        Request("ANNOUNCE", f"rtsp://{HOST}/x", Headers([("CSeq", "3")]), b"v=0").encode()
    )
    talk.pump()
    assert not talk.client_saw
    assert b"RTSP/1.0 501" in talk.camera_saw


def test_a_redirect_is_followed_on_the_same_camera_only():
    talk = Dialogue()
    _, asked = talk.ask("DESCRIBE")
    place = ("Location", f"rtsp://admin:{PASSWORD}@10.9.8.7:99/elsewhere")
    answer, again = talk.camera(asked, 302, place)
    assert (answer, again.url) == (None, f"rtsp://{HOST}:554/elsewhere")
    for _ in range(3):
        answer, again = talk.camera(again, 302, place)
        if again is None:
            break
    assert answer.status == 502
    assert clean(talk)


@pytest.mark.parametrize("status", [403, 404, 453, 454, 500, 599, 407])
def test_errors_pass_without_the_cameras_words(status):
    talk = Dialogue()
    _, asked = talk.ask("DESCRIBE")
    answer, _ = talk.camera(asked, status, ("X-Debug", HOST), body=HOST.encode())
    assert answer.status == (status if status in (403, 404, 453, 454, 500) else 502)
    assert clean(talk)


def test_what_the_camera_may_not_say():
    for headers, body in (
        ((("Content-Type", "text/html"),), b"<html>"),
        ((), b"v=0\r\n"),
        ((), b""),
    ):
        talk = Dialogue()
        _, asked = talk.ask("DESCRIBE")
        answer, _ = talk.camera(asked, 200, *headers, body=body)
        assert answer.status == 502
        assert isinstance(talk.mediator.fault, Misbehaved)
    talk = Dialogue()
    talk.describe()
    transport = ("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1")
    _, asked = talk.ask("SETUP", "rtsp://h/main/track0", transport)
    answer, _ = talk.camera(asked, 200, ("Transport", "RTP/AVP;server_port=1-2"), ("Session", "1"))
    assert answer.status == 502


def test_the_camera_goes_away_or_never_was():
    talk = Dialogue()
    talk.ask("DESCRIBE")
    talk.mediator.camera_octets(b"")
    answer, _ = talk.took()
    assert (answer.status, answer.cseq) == (503, 1)
    talk = Dialogue()
    talk.mediator.client_octets(b"DESCRIBE rtsp://h/main RTSP/1.0\r\nCSeq: 4\r\n\r\n")
    assert talk.mediator.wants_camera.host == HOST
    talk.mediator.camera_failed(Unreachable("The camera is off."))
    answer, _ = talk.took()
    assert (answer.status, answer.reason) == (503, "The camera is off.")
    talk = Dialogue(refusal=(503, "The camera is offline."))
    answer, asked = talk.ask("OPTIONS")
    assert (answer.status, answer.reason, asked) == (503, "The camera is offline.", None)
    assert talk.mediator.finished is True


def test_a_client_that_does_not_speak_rtsp():
    for octets in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\n", b"A" * 4000):
        talk = Dialogue()
        talk.mediator.client_octets(octets)
        talk.pump()
        assert isinstance(talk.mediator.finished, GatewayError)
        assert talk.client_saw.startswith(b"RTSP/1.0 400")
        assert not talk.camera_saw


def test_octet_by_octet_is_the_same():
    whole, single = Dialogue(), Dialogue()
    for talk, cut in ((whole, 10_000), (single, 1)):
        octets = Request("DESCRIBE", "rtsp://h/main", Headers([("CSeq", "1")])).encode()
        for at in range(0, len(octets), cut):
            talk.mediator.client_octets(octets[at : at + cut])
        _, asked = talk.took()
        fields = Headers([("CSeq", str(asked.cseq)), ("Content-Type", "application/sdp")])
        octets = Response(200, "OK", fields, SDP.encode()).encode()
        for at in range(0, len(octets), cut):
            talk.mediator.camera_octets(octets[at : at + cut])
        talk.pump()
    assert whole.client_saw == single.client_saw
    assert whole.camera_saw == single.camera_saw


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=200),
        st.sampled_from(
            [
                b"RTSP/1.0 200 OK\r\n", b"CSeq: 700000001\r\n", b"\r\n", b"$\x00\x00\x03abc", b"$",
                b"Content-Length: 99999999\r\n", b"Session: 1\r\n", b"Public: PLAY\r\n",
                b"DESCRIBE rtsp://h/main RTSP/1.0\r\nCSeq: 1\r\n\r\n",
                b"OPTIONS * RTSP/1.0\r\nCSeq: 2\r\n\r\n", b"Transport: x\r\n",
            ]
        ),
    ),
    max_size=30,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(pieces=PIECES, from_camera=st.booleans(), loose=st.booleans())
def test_garbage_ends_in_an_error_or_is_put_up_with(pieces, from_camera, loose):
    talk = Dialogue()
    if loose:
        talk.playing()
        talk.mediator.begin_feed()
        talk.ask("OPTIONS", session=True)
        talk.mediator.reclaimed()
    else:
        talk.ask("DESCRIBE")
    for piece in pieces:
        if piece:
            (talk.mediator.camera_octets if from_camera else talk.mediator.client_octets)(piece)
        if talk.mediator.wants_camera:
            talk.mediator.camera_connected()
        talk.client_saw += talk.mediator.to_client()
        talk.camera_saw += talk.mediator.to_camera()
    assert isinstance(talk.mediator.finished, bool | GatewayError)
    assert PASSWORD.encode() not in talk.client_saw
    assert len(talk.client_saw) < 100_000
