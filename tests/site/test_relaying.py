"""Connections, calls and proxies between two endpoints (02 section 3, 03 section 1)."""

from __future__ import annotations

import ipaddress

import pytest

from gateway.base.secret import Secret
from gateway.model.kinds import SiteKind, TransportKind, UserKind
from gateway.site.broker import REQUEST_LIFE, REQUESTS_PER_CLIENT
from gateway.site.calls import CALLS_PER_CLIENT, SERVICE_QUEUE
from gateway.site.proxies import ProxyDirectory, ProxyEntry
from gateway.wire import connect, rpc
from gateway.wire.codes import ErrorCode
from gateway.wire.digest import proxy_auth_hash
from gateway.wire.message import Message
from tests.site.stage import ALISON, BOB, GUEST, IPV4, IPV6, OWNER, Stage, a_service, a_site
from tests.support.structures import CAMERA, OPEN_CAMERA

TCP, UDP = TransportKind.TCP, TransportKind.UDP
UID, TAG, KEY = b"request uid 1234", bytes.fromhex("3003020105"), b"k" * 20
PUBLIC4, PUBLIC6 = ipaddress.IPv4Address("203.0.113.5"), ipaddress.IPv6Address("2001:db8::5")


class Pair:
    """A service and a client that are online."""

    def __init__(self, stage: Stage | None = None, **ends: bool) -> None:
        self.stage = stage or Stage()
        self.service = self.stage.service(1, ipv6=ends.get("service6", False))
        self.client = self.stage.client(501, ALISON, ipv6=ends.get("client6", False))
        self.clear()

    def clear(self) -> None:
        self.stage.heard(self.service)
        self.stage.heard(self.client)

    def ask(self, transport: TransportKind = TCP, uid: bytes = UID) -> list[Message]:
        self.stage.say(self.client, connect.ConnectionRequest(transport, uid, 1, 554, TAG))
        return self.stage.heard(self.service)

    def agree(self, transport: TransportKind = TCP, client: int = 501, kind: int = 2) -> None:
        self.stage.say(self.service, connect.RequestOk(transport, UID, 554, kind, client, TAG))


@pytest.mark.parametrize("transport", [TCP, UDP])
def test_an_arrangement_from_request_to_acceptance(transport: TransportKind) -> None:
    pair = Pair()
    assert pair.ask(transport) == [
        connect.ServiceConnectionRequest(transport, UID, 554, UserKind.PRIVATE, ALISON, 501, TAG)
    ]
    pair.agree(transport)
    (to_service,) = pair.stage.heard(pair.service)
    (to_client,) = pair.stage.heard(pair.client)
    assert isinstance(to_service, connect.ServiceRendezvousData)
    assert isinstance(to_client, connect.ClientRendezvousData)
    assert to_service.connection_uid == to_client.connection_uid
    assert to_service.server_address == to_client.server_address == IPV4.packed
    assert to_service.session_tag == TAG
    meeting = to_service.connection_uid

    pair.stage.say(pair.client, connect.ClientAuthKey(transport, UID, 1, KEY))
    (vouched,) = pair.stage.heard(pair.client)
    assert isinstance(vouched, connect.ClientAuthHash)
    assert vouched.auth_hash == proxy_auth_hash(KEY, vouched.auth_key2, "s")
    pair.stage.say(pair.service, connect.ServiceAuthKey(transport, 554, meeting, 1, KEY))
    (vouched2,) = pair.stage.heard(pair.service)
    assert isinstance(vouched2, connect.ServiceAuthHash)
    assert (vouched2.virtual_port, vouched2.connection_uid) == (554, meeting)

    pair.stage.say(pair.service, connect.ServiceConnectionAccepted(transport, UID, 2, 501))
    assert pair.stage.heard(pair.client) == [connect.ClientConnectionAccepted(transport, UID)]
    pair.stage.say(pair.client, connect.ClientAuthKey(transport, UID, 1, KEY))
    assert pair.stage.heard(pair.client) == [connect.ClientAuthError(transport, UID)]


def test_a_refusal_is_relayed_once() -> None:
    pair = Pair()
    pair.ask()
    refusal = connect.ServiceRequestError(TCP, UID, 121, 2, 501)
    pair.stage.say(pair.service, refusal)
    assert pair.stage.heard(pair.client) == [connect.ClientRequestError(TCP, UID, 121)]
    pair.stage.say(pair.service, refusal)
    pair.agree()
    assert pair.stage.heard(pair.client) == []


def test_the_service_is_offline() -> None:
    pair = Pair()
    for service_id in (2, 99):
        request = connect.ConnectionRequest(TCP, UID, service_id, 1)
        pair.stage.say(pair.client, request)
        offline = connect.ClientRequestError(TCP, UID, ErrorCode.SERVICE_OFFLINE)
        assert pair.stage.heard(pair.client) == [offline]


def test_single_sites_ignore_the_service_id() -> None:
    snapshot = a_site(kind=SiteKind.SINGLE_SERVICE, services=(a_service(1, CAMERA),))
    pair = Pair(Stage(snapshot))
    pair.stage.say(pair.client, connect.ConnectionRequest(TCP, UID, 0, 1))
    (request,) = pair.stage.heard(pair.service)
    assert isinstance(request, connect.ServiceConnectionRequest)


def test_a_hostile_service_reaches_nobody_who_did_not_ask() -> None:
    pair = Pair()
    other = pair.stage.client(502, OWNER)
    pair.stage.heard(other)
    pair.ask()
    intruder = pair.stage.service(2)
    pair.stage.heard(other)
    pair.clear()
    for sender, client in ((intruder, 501), (pair.service, 502), (pair.service, 999)):
        pair.stage.say(sender, connect.RequestOk(TCP, UID, 554, 2, client, None))
        pair.stage.say(sender, connect.ServiceRequestError(TCP, UID, 121, 2, client))
        pair.stage.say(sender, connect.ServiceConnectionAccepted(TCP, UID, 2, client))
    pair.stage.say(pair.service, connect.RequestOk(UDP, UID, 554, 2, 501, None))
    assert pair.stage.heard(pair.client) == []
    assert pair.stage.heard(other) == []


def test_a_challenge_is_answered_only_for_an_arrangement() -> None:
    pair = Pair()
    ask = connect.ServiceAuthKey(TCP, 554, b"m" * 16, 1, KEY)
    pair.stage.say(pair.service, ask)
    assert pair.stage.heard(pair.service) == [connect.ServiceAuthError(TCP, 554, b"m" * 16)]
    pair.ask()
    pair.stage.say(pair.client, connect.ClientAuthKey(TCP, UID, 1, KEY))
    assert pair.stage.heard(pair.client) == [connect.ClientAuthError(TCP, UID)]
    pair.agree()
    pair.clear()
    pair.stage.say(pair.client, connect.ClientAuthKey(TCP, UID, 2, KEY))
    assert pair.stage.heard(pair.client) == [connect.ClientAuthError(TCP, UID)]


def test_arrangements_expire_and_end_with_their_client() -> None:
    pair = Pair()
    pair.ask()
    pair.stage.now += REQUEST_LIFE
    pair.agree()
    assert pair.stage.heard(pair.client) == []
    pair.ask()
    pair.stage.leave(pair.client)
    pair.client = pair.stage.client(501, ALISON)
    pair.clear()
    pair.agree()
    assert pair.stage.heard(pair.client) == []


def test_arrangements_of_one_client_are_bounded() -> None:
    pair = Pair()
    for number in range(REQUESTS_PER_CLIENT):
        assert pair.ask(uid=number.to_bytes(16, "big"))
    assert pair.ask(uid=UID) == []
    assert pair.stage.heard(pair.client) == [
        connect.ClientRequestError(TCP, UID, ErrorCode.SERVICE_BUSY)
    ]


@pytest.mark.parametrize("tag", ["3003020105ff", "0000", "0401ff"])
def test_a_tag_that_is_not_one_sequence_ends_the_session(tag: str) -> None:
    pair = Pair()
    request = connect.ConnectionRequest(TCP, UID, 1, 554, bytes.fromhex(tag))
    pair.stage.say(pair.client, request)
    assert pair.stage.ended == {pair.client: ErrorCode.ENDPOINT_DATA_FORMAT_ERROR}
    assert pair.stage.heard(pair.service) == []


def test_stateless_guests_are_refused_in_the_services_place() -> None:
    """Each service for itself: our own cameras and those that somebody vouches for get them."""
    known = frozenset({(2).to_bytes(16, "big")})
    own = a_service(1, OPEN_CAMERA, own=True)
    strangers = (a_service(1, OPEN_CAMERA), a_service(2, OPEN_CAMERA))
    for services, vouched, passing in (
        (strangers, frozenset[bytes](), False),
        (strangers, known, False),  # another service of the same site is vouched for
        (strangers, frozenset({strangers[0].uid}), True),
        ((own, strangers[1]), frozenset[bytes](), True),
    ):
        stage = Stage(
            a_site(OPEN_CAMERA, guest_allowed=True, services=services), stateless_services=vouched
        )
        service, client = stage.service(1, OPEN_CAMERA), stage.client(0, 0, OPEN_CAMERA)
        stage.heard(service), stage.heard(client)
        stage.say(client, connect.ConnectionRequest(TCP, UID, 1, 554))
        stage.say(client, rpc.CallRequest(UID, 1, "Ping", b"\x30\x00"))
        if passing:
            kinds = [m.user_kind for m in stage.heard(service)]  # type: ignore[attr-defined]
            assert kinds == [UserKind.STATELESS_GUEST] * 2
            stage.say(service, connect.RequestOk(TCP, UID, 554, 5, 1))
            (meeting,) = stage.heard(client)
            assert isinstance(meeting, connect.ClientRendezvousData)
        else:
            assert stage.heard(service) == []
            assert stage.heard(client) == [
                connect.ClientRequestError(TCP, UID, 112),
                rpc.CallRefused(UID, 112),
            ]


def test_a_fallen_back_client_is_sent_as_guest() -> None:
    stage = Stage(a_site(OPEN_CAMERA, guest_allowed=True))
    service, client = stage.service(1, OPEN_CAMERA), stage.client(501, BOB, OPEN_CAMERA)
    stage.heard(service)
    stage.say(client, connect.ConnectionRequest(TCP, UID, 1, 554))
    (request,) = stage.heard(service)
    assert isinstance(request, connect.ServiceConnectionRequest)
    assert (request.user_kind, request.user_id) == (UserKind.GUEST, GUEST)


# -- proxies ---------------------------------------------------------------------------------------


def test_each_end_gets_its_own_family() -> None:
    pair = Pair(service6=True)
    pair.ask()
    pair.agree()
    (to_service,), (to_client,) = pair.stage.heard(pair.service), pair.stage.heard(pair.client)
    assert to_service.server_address == IPV6.packed  # type: ignore[attr-defined]
    assert to_client.server_address == IPV4.packed  # type: ignore[attr-defined]


def test_a_missing_family_falls_back() -> None:
    entries = (ProxyEntry(1, Secret("s"), ipv4=PUBLIC4), ProxyEntry(2, Secret("t"), ipv6=PUBLIC6))
    pair = Pair(Stage(proxies=entries), service6=True)
    for server_id, address in ((1, PUBLIC4), (2, PUBLIC6), (1, PUBLIC4)):
        pair.ask()
        pair.agree()
        (to_service,), (to_client,) = pair.stage.heard(pair.service), pair.stage.heard(pair.client)
        assert isinstance(to_service, connect.ServiceRendezvousData)
        assert isinstance(to_client, connect.ClientRendezvousData)
        assert to_service.server_id == to_client.server_id == server_id
        assert to_service.server_address == to_client.server_address == address.packed
        pair.stage.say(pair.service, connect.ServiceConnectionAccepted(TCP, UID, 2, 501))
        pair.clear()


def test_without_a_proxy_the_attempt_fails_at_once() -> None:
    pair = Pair(Stage(proxies=()))
    pair.ask()
    pair.agree()
    assert pair.stage.heard(pair.client) == [connect.ClientRequestError(TCP, UID, 122)]
    assert pair.stage.heard(pair.service) == []
    assert ProxyDirectory(()).pick() is None


# -- calls -----------------------------------------------------------------------------------------


def call(pair: Pair, uid: bytes = UID, **values: object) -> list[Message]:
    facts = {"arguments": b"\x30\x00", "session_tag": None, **values}
    request = rpc.CallRequest(uid, 1, "Move", **facts)  # type: ignore[arg-type]
    pair.stage.say(pair.client, request)
    return pair.stage.heard(pair.service)


def test_calls_and_their_answers() -> None:
    pair = Pair()
    expected = rpc.ServiceCallRequest(UID, "Move", UserKind.PRIVATE, ALISON, 501, TAG, TAG)
    assert call(pair, arguments=TAG, session_tag=TAG) == [expected]
    pair.stage.say(pair.service, rpc.ServiceCallResult(UID, 2, 501, TAG))
    assert pair.stage.heard(pair.client) == [rpc.CallResult(UID, TAG)]
    call(pair)
    pair.stage.say(pair.service, rpc.ServiceCallFailed(UID, 2, 501, -7, TAG))
    assert pair.stage.heard(pair.client) == [rpc.CallFailed(UID, -7, TAG)]
    call(pair)
    pair.stage.say(pair.service, rpc.ServiceCallRefused(UID, 2, 501, 132))
    assert pair.stage.heard(pair.client) == [rpc.CallRefused(UID, 132)]
    pair.stage.say(pair.service, rpc.ServiceCallResult(UID, 2, 501, TAG))
    assert pair.stage.heard(pair.client) == []


def test_malformed_bodies_end_their_senders_session() -> None:
    for values in ({"arguments": b"\x30\x05"}, {"session_tag": b"\x05\x00"}):
        pair = Pair()
        assert call(pair, **values) == []
        assert pair.stage.ended == {pair.client: ErrorCode.ENDPOINT_DATA_FORMAT_ERROR}
    for answer in (
        rpc.ServiceCallResult(UID, 2, 501, b"\x04\x00"),
        rpc.ServiceCallFailed(UID, 2, 501, 1, b"\x30\x05"),
    ):
        pair = Pair()
        call(pair)
        pair.stage.say(pair.service, answer)
        assert pair.stage.ended == {pair.service: ErrorCode.ENDPOINT_DATA_FORMAT_ERROR}
        assert "ServiceOffline" in type(pair.stage.heard(pair.client)[-1]).__name__


def test_calls_of_one_client_are_bounded_and_end_with_it() -> None:
    pair = Pair()
    for number in range(CALLS_PER_CLIENT):
        assert call(pair, number.to_bytes(16, "big"))
    assert call(pair) == []
    assert pair.stage.heard(pair.client) == [rpc.CallRefused(UID, ErrorCode.SERVICE_BUSY)]
    pair.stage.leave(pair.client)
    pair.client = pair.stage.client(501, ALISON)
    pair.clear()
    assert call(pair)


def test_a_call_to_nobody() -> None:
    pair = Pair()
    pair.stage.say(pair.client, rpc.CallRequest(UID, 2, "Move", b"\x30\x00"))
    assert pair.stage.heard(pair.client) == [rpc.CallRefused(UID, ErrorCode.SERVICE_OFFLINE)]


def test_a_service_that_is_behind_is_busy_for_whoever_asks() -> None:
    """The greedy find it busy first; nothing is queued beyond what it may have waiting."""
    pair = Pair()
    other = pair.stage.client(502, OWNER)
    pair.stage.heard(other)
    large = b"\x30\x82\xea\x60" + b"\x04\x82\xea\x5c" + bytes(60_000 - 4)
    assert call(pair, b"1" * 16, arguments=large)
    pair.stage.unsent[pair.service] = SERVICE_QUEUE - 100_000
    assert call(pair, arguments=large) == []
    assert pair.stage.heard(pair.client) == [rpc.CallRefused(UID, ErrorCode.SERVICE_BUSY)]
    pair.stage.say(other, rpc.CallRequest(UID, 1, "Move", large, None))
    assert len(pair.stage.heard(pair.service)) == 1
    assert pair.ask()
    pair.stage.unsent[pair.service] = SERVICE_QUEUE
    assert pair.ask(uid=b"2" * 16) == []
    assert call(pair, b"3" * 16) == []
    pair.stage.unsent[pair.service] = 0
    assert call(pair, b"3" * 16)
