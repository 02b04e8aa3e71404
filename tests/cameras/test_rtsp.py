from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import GatewayError
from gateway.cameras.rtsp import Flow
from gateway.driverkit.digest import CHALLENGE_HEADER_MAX, Algorithm
from gateway.driverkit.errors import CredentialsRefused, Misbehaved, Unreachable
from gateway.driverkit.login_gate import Admission, LoginGate
from gateway.driverkit.rtsp import Headers, Request, Response
from tests.cameras.dialogue import (
    CREDENTIALS,
    FIRST,
    HOST,
    PASSWORD,
    SDP,
    SESSION,
    Dialogue,
    frame,
)

SECRETS = [HOST.encode(), b"10.9.8.7", PASSWORD.encode(), b"admin", b"stream1", b"12345;", b"Cam/"]


def clean(dialogue: Dialogue) -> bool:
    return not any(secret in dialogue.client_saw for secret in SECRETS)


def test_a_whole_conversation_is_rewritten():
    talk = Dialogue()
    _, asked = talk.ask("OPTIONS")
    assert asked.url == f"rtsp://{HOST}:554/cam/stream1"
    assert asked.cseq == FIRST + 1
    answer, _ = talk.camera(asked, 200, ("Public", "OPTIONS, DESCRIBE, SETUP, ANNOUNCE, RECORD"))
    assert (answer.status, answer.cseq) == (200, 1)
    assert answer.headers.get("Public") == "OPTIONS, DESCRIBE, SETUP"

    answer = talk.describe()
    assert answer.headers.get("Content-Base") == "rtsp://h:8554/main/"
    text = answer.body.decode()
    assert "a=control:*\r\n" in text
    assert [line for line in text.splitlines() if "control:track" in line] == [
        "a=control:track0", "a=control:track1", "a=control:track2",
    ]  # fmt: skip
    assert "a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z2QAKA==,aO48gA==" in text
    assert "m=video 0 RTP/AVP 96" in text

    answer = talk.setup()
    assert answer.headers.get("Session") == f"{SESSION};timeout=60"
    assert answer.headers.get("Transport") == (
        'RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=00AB12CD;mode="PLAY"'
    )
    sent = [line for line in talk.camera_saw.decode().splitlines() if line.startswith("SETUP")]
    assert sent == [f"SETUP rtsp://{HOST}:554/cam/stream1/trackID=1 RTSP/1.0"]

    answer = talk.play()
    assert answer.headers.get("RTP-Info") == "url=rtsp://h:8554/main/track0;seq=17;rtptime=99"
    assert "Session: 12345" in talk.camera_saw.decode()
    assert SESSION not in talk.camera_saw.decode()
    assert talk.mediator.can_feed

    assert clean(talk)


def test_the_second_description_serves_players_that_ask_the_root():
    talk = Dialogue()
    answer = talk.describe("rtsp://h:8554/")
    assert answer.headers.get("Content-Base") == "rtsp://h:8554/"
    transport = ("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1")
    _, asked = talk.ask("SETUP", "rtsp://h:8554/track1", transport)
    assert asked.url == f"rtsp://{HOST}:554/cam/stream1/trackID=2"


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("rtsp://h/other", 404), ("rtsp://h/main/../../etc", 404), ("rtsp://h/a/b/c", 404),
        ("http://h/main", 400), ("rtsp:///main", 400), ("rtsp://a b/main", 400),
        (f"rtsp://{'h' * 600}/main", 400), ("/main", 400), ("rtsp://h/main/track7", 404),
    ],
)  # fmt: skip
def test_no_url_leads_elsewhere(url, status):
    talk = Dialogue()
    talk.describe()
    method = "SETUP" if "track7" in url else "DESCRIBE"
    if " " in url:
        return
    answer, asked = talk.ask(method, url, ("Transport", "RTP/AVP/TCP;interleaved=0-1"))
    assert (answer.status, asked) == (status, None)


@pytest.mark.parametrize("method", ["ANNOUNCE", "RECORD", "REDIRECT", "SET_PARAMETER"])
def test_refused_methods_never_reach_the_camera(method):
    talk = Dialogue()
    before = bytes(talk.camera_saw)
    answer, asked = talk.ask(method, body=b"v=0\r\n")
    assert (answer.status, asked) == (405, None)
    assert "ANNOUNCE" not in answer.headers.get("Allow")
    answer, asked = talk.ask("BREW")
    assert (answer.status, asked) == (501, None)
    assert talk.camera_saw == before


def test_an_operator_may_set_parameters_and_speak():
    talk = Dialogue(operate=True)
    talk.describe()
    _, asked = talk.ask("SET_PARAMETER", body=b"x: 1\r\n")
    assert (asked.method, asked.body) == ("SET_PARAMETER", b"x: 1\r\n")
    talk.camera(asked)
    assert talk.setup(2).status == 200
    answer, asked = Dialogue().ask("DESCRIBE", "rtsp://h/main", ("Require", "x.y"))
    assert (answer.status, answer.headers.get("Unsupported"), asked) == (551, "x.y", None)


def test_a_user_may_not_speak_to_the_camera():
    talk = Dialogue()
    talk.describe()
    transport = ("Transport", "RTP/AVP/TCP;unicast;interleaved=4-5")
    answer, asked = talk.ask("SETUP", "rtsp://h/main/track2", transport)
    assert (answer.status, asked) == (403, None)


@pytest.mark.parametrize(
    "transport",
    ["RTP/AVP;unicast;client_port=5000-5001", "RTP/AVP/UDP;unicast", "RTP/AVP;multicast", "",
     "RTP/AVP/TCP;interleaved=0-999", "RTP/AVP/TCP;multicast;interleaved=0-1",
     "RTP/AVP/TCP;interleaved=0-1;mode=record"],
)  # fmt: skip
def test_other_transports_get_461(transport):
    talk = Dialogue()
    talk.describe()
    answer, asked = talk.ask("SETUP", "rtsp://h/main/track0", ("Transport", transport))
    assert (answer.status, asked) == (461, None)


def test_the_first_offer_over_tcp_is_taken():
    talk = Dialogue()
    talk.describe()
    offers = ("Transport", "RTP/AVP;unicast;client_port=1-2,RTP/AVP/TCP;unicast;interleaved=6-7")
    _, asked = talk.ask("SETUP", "rtsp://h/main/track0", offers)
    assert asked.headers.get("Transport") == "RTP/AVP/TCP;unicast;interleaved=6-7"


# -- login


@pytest.mark.parametrize("offers", [(Algorithm.MD5,), (Algorithm.SHA256,), ()])
@pytest.mark.parametrize("with_qop", [True, False])
def test_the_login_is_ours(entropy, offers, with_qop):
    gate = LoginGate(
        CREDENTIALS, realm="r", entropy=entropy, offers=offers, basic=not offers, with_qop=with_qop
    )
    talk = Dialogue()
    answer, asked = talk.ask("DESCRIBE", "rtsp://h/main", ("Authorization", "Basic Zm9vOmJhcg=="))
    assert answer is None
    assert "Authorization" not in asked.headers
    challenges = [("WWW-Authenticate", value) for value in gate.challenges()]
    answer, again = talk.camera(asked, 401, *challenges)
    assert answer is None
    assert again.cseq != asked.cseq
    assert gate.check("DESCRIBE", again.url, again.headers.get("Authorization")) is (
        Admission.ADMITTED
    )
    answer, _ = talk.camera(again, 200, body=SDP.encode())
    assert answer.status == 200
    # The nonce is used again; a stale one is renewed once, unseen by the client.
    _, third = talk.ask("OPTIONS")
    assert gate.check("OPTIONS", third.url, third.headers.get("Authorization")) is (
        Admission.ADMITTED
    )
    if offers:
        fresh = LoginGate(CREDENTIALS, realm="r", entropy=entropy, offers=offers)
        stale = [("WWW-Authenticate", value) for value in fresh.challenges(stale=True)]
        answer, fourth = talk.camera(third, 401, *stale)
        assert answer is None
        assert fresh.check("OPTIONS", fourth.url, fourth.headers.get("Authorization")) is (
            Admission.ADMITTED
        )
    assert b"WWW-Authenticate" not in talk.client_saw
    assert clean(talk)


def test_a_refused_login_is_said_once_and_ends_it(entropy):
    gate = LoginGate(CREDENTIALS, realm="r", entropy=entropy)
    talk = Dialogue()
    _, asked = talk.ask("DESCRIBE")
    _, again = talk.camera(asked, 401, *(("WWW-Authenticate", v) for v in gate.challenges()))
    answer, more = talk.camera(again, 401, *(("WWW-Authenticate", v) for v in gate.challenges()))
    assert (answer.status, more) == (503, None)
    assert "refused the user name and password" in answer.reason
    assert isinstance(talk.mediator.fault, CredentialsRefused)
    assert talk.mediator.finished
    assert clean(talk)


def test_no_login_and_unknown_kinds_of_login():
    talk = Dialogue(login=False)
    _, asked = talk.ask("DESCRIBE")
    answer, _ = talk.camera(asked, 401, ("WWW-Authenticate", 'Basic realm="x"'))
    assert answer.status == 503
    talk = Dialogue()
    _, asked = talk.ask("DESCRIBE")
    answer, _ = talk.camera(asked, 401, ("WWW-Authenticate", "x" * CHALLENGE_HEADER_MAX))
    assert "kind of login" in answer.reason


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
