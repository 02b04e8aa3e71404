"""Login on both sides: the RFC's own examples, real cameras' habits, and garbage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.entropy import SystemEntropy
from gateway.base.errors import InvalidInput
from gateway.base.secret import Secret
from gateway.driverkit.digest import (
    Algorithm,
    CameraCredentials,
    Challenge,
    ChallengeOutcome,
    LoginAnswerer,
    Scheme,
    digest_authorization,
    parse_challenges,
    strongest,
)
from gateway.driverkit.login_gate import Admission, LoginGate

MUFASA = CameraCredentials("Mufasa", Secret("Circle of Life"))
RFC7616_NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
RFC7616_CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        (Algorithm.MD5, "8ca523f5e9506fed4657c9700eebdbec"),
        (
            Algorithm.SHA256,
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ],
)
def test_answers_as_in_rfc_7616(algorithm: Algorithm, expected: str) -> None:
    challenge = Challenge(
        scheme=Scheme.DIGEST,
        realm="http-auth@example.org",
        nonce=RFC7616_NONCE,
        algorithm=algorithm,
        names_algorithm=True,
        has_qop=True,
        opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
    )
    value = digest_authorization(
        MUFASA, challenge, method="GET", uri="/dir/index.html", cnonce=RFC7616_CNONCE, uses=1
    )
    assert f'response="{expected}"' in value
    assert "nc=00000001" in value
    assert "qop=auth" in value
    assert 'opaque="FQhe/' in value


def test_answers_the_old_form_with_five_fields_only() -> None:
    credentials = CameraCredentials("Mufasa", Secret("Circle Of Life"))
    challenge = Challenge(
        scheme=Scheme.DIGEST,
        realm="testrealm@host.com",
        nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
    )
    value = digest_authorization(
        credentials, challenge, method="GET", uri="/dir/index.html", cnonce="x", uses=7
    )
    assert value == (
        'Digest username="Mufasa", realm="testrealm@host.com", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", '
        'response="670fd8c2df070c60b045671b8b24ff02"'
    )


def test_reads_all_headers_and_takes_the_strongest() -> None:
    challenges = parse_challenges(
        [
            'Basic realm="cam", Digest realm="cam", nonce="n1", algorithm=MD5, stale=FALSE',
            'digest Realm = "a \\"b\\", c", nonce="n2",algorithm="sha-256", qop="auth,auth-int"',
        ]
    )
    assert [(each.scheme, each.algorithm) for each in challenges] == [
        (Scheme.BASIC, Algorithm.MD5),
        (Scheme.DIGEST, Algorithm.MD5),
        (Scheme.DIGEST, Algorithm.SHA256),
    ]
    best = strongest(challenges)
    assert best is not None
    assert (best.nonce, best.realm, best.has_qop) == ("n2", 'a "b", c', True)
    assert strongest(challenges[:1]) == challenges[0]
    assert strongest(()) is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Digest",
        'Digest realm="x"',
        'Digest realm="x", nonce="y", algorithm=SHA-512-256',
        'Digest realm="x", nonce="y", qop="auth-int"',
        'Digest realm="x", nonce="open',
        "Negotiate abc==",
        'Digest realm="x", nonce="y"' + " " * 5000,
    ],
)
def test_an_offer_that_cannot_be_answered_is_no_offer(value: str) -> None:
    assert parse_challenges([value]) == ()
    answerer = LoginAnswerer(MUFASA, entropy=SystemEntropy())
    assert answerer.challenged([value], answered=False) is ChallengeOutcome.UNSUPPORTED
    assert answerer.authorization("GET", "/") is None


def _converse(gate: LoginGate, answerer: LoginAnswerer, uri: str = "/a?b=c") -> list[Admission]:
    """Send one request as a client does, with one repetition after a challenge."""
    verdicts = []
    for _ in range(2):
        value = answerer.authorization("DESCRIBE", uri)
        verdict = gate.check("DESCRIBE", uri, value)
        verdicts.append(verdict)
        if verdict is Admission.ADMITTED:
            answerer.accepted()
            break
        outcome = answerer.challenged(
            gate.challenges(stale=verdict is Admission.STALE), answered=value is not None
        )
        if outcome is not ChallengeOutcome.RETRY:
            break
    return verdicts


@pytest.mark.parametrize("with_qop", [True, False])
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_both_sides_agree(algorithm: Algorithm, with_qop: bool) -> None:
    entropy = SystemEntropy()
    credentials = CameraCredentials('ad"min\\', Secret("p@ss#1/?:%ü"))
    gate = LoginGate(
        credentials, realm="Cam", entropy=entropy, offers=(algorithm,), with_qop=with_qop
    )
    answerer = LoginAnswerer(credentials, entropy=entropy)
    assert _converse(gate, answerer) == [Admission.MISSING, Admission.ADMITTED]
    assert _converse(gate, answerer) == [Admission.ADMITTED]
    wrong = LoginAnswerer(CameraCredentials('ad"min\\', Secret("other")), entropy=entropy)
    assert _converse(gate, wrong) == [Admission.MISSING, Admission.REFUSED]


def test_a_wrong_password_is_not_tried_twice() -> None:
    entropy = SystemEntropy()
    gate = LoginGate(MUFASA, realm="Cam", entropy=entropy)
    answerer = LoginAnswerer(CameraCredentials("Mufasa", Secret("no")), entropy=entropy)
    assert answerer.challenged(gate.challenges(), answered=False) is ChallengeOutcome.RETRY
    assert answerer.authorization("GET", "/") is not None
    assert answerer.challenged(gate.challenges(), answered=True) is ChallengeOutcome.REFUSED


def test_a_stale_nonce_is_renewed_and_a_looping_one_is_not() -> None:
    entropy = SystemEntropy()
    gate = LoginGate(MUFASA, realm="Cam", entropy=entropy, nonce_uses=2)
    answerer = LoginAnswerer(MUFASA, entropy=entropy)
    verdicts = [_converse(gate, answerer) for _ in range(4)]
    assert verdicts == [
        [Admission.MISSING, Admission.ADMITTED],
        [Admission.ADMITTED],
        [Admission.STALE, Admission.ADMITTED],
        [Admission.ADMITTED],
    ]
    same = 'Digest realm="x", nonce="same", stale=true'
    other = LoginAnswerer(MUFASA, entropy=entropy)
    assert other.challenged([same], answered=False) is ChallengeOutcome.RETRY
    assert other.challenged([same], answered=True) is ChallengeOutcome.REFUSED


def test_an_expired_nonce_without_the_stale_word_is_believed_once() -> None:
    answerer = LoginAnswerer(MUFASA, entropy=SystemEntropy())
    values = [f'Digest realm="x", nonce="{number}"' for number in range(4)]
    assert answerer.challenged(values[:1], answered=False) is ChallengeOutcome.RETRY
    answerer.accepted()
    assert answerer.challenged(values[1:2], answered=True) is ChallengeOutcome.RETRY
    assert answerer.challenged(values[2:3], answered=True) is ChallengeOutcome.REFUSED


def test_basic_is_never_answered_after_digest_was_offered() -> None:
    answerer = LoginAnswerer(MUFASA, entropy=SystemEntropy())
    assert answerer.challenged(['Digest realm="x", nonce="1"'], answered=False)
    answerer.accepted()
    downgrade = answerer.challenged(['Basic realm="x"'], answered=True)
    assert downgrade is ChallengeOutcome.UNSUPPORTED
    value = answerer.authorization("GET", "/")
    assert value is not None
    assert value.startswith("Digest ")


def test_basic_both_sides() -> None:
    entropy = SystemEntropy()
    gate = LoginGate(MUFASA, realm="Cam", entropy=entropy, offers=(), basic=True)
    answerer = LoginAnswerer(MUFASA, entropy=entropy)
    assert _converse(gate, answerer) == [Admission.MISSING, Admission.ADMITTED]
    assert gate.check("GET", "/", "Basic !!!") is Admission.REFUSED
    assert gate.check("GET", "/", "Basic TXVmYXNhOm5v") is Admission.REFUSED
    strict = LoginAnswerer(MUFASA, entropy=entropy, allow_basic=False)
    assert strict.challenged(gate.challenges(), answered=False) is ChallengeOutcome.UNSUPPORTED


def test_a_gate_takes_no_answer_for_another_request_or_count() -> None:
    entropy = SystemEntropy()
    gate = LoginGate(MUFASA, realm="Cam", entropy=entropy)
    answerer = LoginAnswerer(MUFASA, entropy=entropy)
    answerer.challenged(gate.challenges(), answered=False)
    value = answerer.authorization("GET", "/a")
    assert gate.check("GET", "/b", value) is Admission.REFUSED
    assert gate.check("PUT", "/a", value) is Admission.REFUSED
    assert gate.check("GET", "/a", value) is Admission.ADMITTED
    assert gate.check("GET", "/a", value) is Admission.STALE
    assert LoginGate(MUFASA, realm="Cam", entropy=entropy).check("GET", "/a", value) is (
        Admission.STALE
    )


@pytest.mark.parametrize(
    ("user", "password"), [("a:b", "x"), ("a\r\n", "x"), ("a" * 257, "x"), ("a", "\0")]
)
def test_unusable_credentials_are_refused_when_typed(user: str, password: str) -> None:
    with pytest.raises(InvalidInput):
        CameraCredentials(user, Secret(password))


def test_the_password_shows_nowhere() -> None:
    assert "Circle" not in repr(MUFASA)


@given(st.lists(st.text(max_size=200), max_size=4))
def test_garbage_never_raises(values: list[str]) -> None:
    parse_challenges(values)
    parse_challenges(["Digest " + value for value in values])
    gate = LoginGate(MUFASA, realm="Cam", entropy=SystemEntropy(), basic=True)
    gate.challenges()
    for value in values:
        for scheme in ("", "Digest ", "Basic "):
            assert gate.check("GET", "/", scheme + value) is not Admission.ADMITTED
