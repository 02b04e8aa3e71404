from __future__ import annotations

import pytest

from gateway.driverkit.digest import CHALLENGE_HEADER_MAX, Algorithm
from gateway.driverkit.errors import CredentialsRefused
from gateway.driverkit.login_gate import Admission, LoginGate
from tests.cameras.dialogue import (
    CREDENTIALS,
    FIRST,
    HOST,
    SDP,
    SESSION,
    Dialogue,
    clean,
)


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
