"""The rendezvous without a socket: control conversations and the book of meetings."""

from __future__ import annotations

import dataclasses
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.secret import Secret
from gateway.protocol.pairing import (
    AUTH_SECONDS,
    CONTROL_SECONDS,
    FAILURES_MAX,
    HELLO_SECONDS,
    MEETING_SECONDS,
    AuthenticationRefused,
    ControlConversation,
    DirectFailed,
    Dismiss,
    Order,
    PartyAuthenticated,
    Presented,
    RelayPolicy,
    Rendezvous,
    Tell,
)
from gateway.protocol.pairing_direct import Party
from gateway.wire.digest import proxy_auth_hash
from gateway.wire.rendezvous import (
    TCP_TYPES,
    ClientP2P,
    ClientProxy,
    CreateP2PConnection,
    CreateP2PConnectionInDualMode,
    CreateProxyConnection,
    P2PFailed,
    ProxyAuthHash,
    ProxyAuthKey,
    ProxyRole,
    ServiceP2P,
    ServiceProxy,
    encode_control,
    pack_private,
)

UID = bytes(range(16))
OTHER_UID = bytes(range(16, 32))
SECRET = Secret("f29f16b1-e52c-439c-9b82-7520b3bed9f5")
KEY = bytes(range(0xA0, 0xB4))
KEY2 = bytes(range(0xC0, 0xD4))
CLIENT, SERVICE = ProxyRole.CLIENT, ProxyRole.SERVICE


class Drawn:
    """Entropy that gives KEY for 20 octets, and 4-octet keys that count up."""

    def __init__(self) -> None:
        self.keys = 0

    def octets(self, count: int) -> bytes:
        if count == 20:
            return KEY
        self.keys += 1
        return bytes((self.keys,)) * count

    def uid(self) -> bytes:
        raise AssertionError

    def text(self, alphabet: str, count: int) -> str:
        raise AssertionError


def frame(message) -> bytes:
    return encode_control(TCP_TYPES, message)


def control(address: str = "192.0.2.7", port: int = 50000) -> ControlConversation:
    conversation = ControlConversation(7, address, port, secret=SECRET, entropy=Drawn())
    conversation.start(100.0)
    return conversation


def authenticated(opening, address: str = "192.0.2.7") -> tuple[ControlConversation, Party]:
    conversation = control(address)
    conversation.feed(frame(opening), 100.0)
    assert conversation.outgoing() == frame(ProxyAuthKey(KEY))
    answer = ProxyAuthHash(proxy_auth_hash(KEY, KEY2, SECRET.reveal()), KEY2)
    conversation.feed(frame(answer), 101.0)
    event = conversation.next_event()
    assert isinstance(event, PartyAuthenticated)
    return conversation, event.party


def party(
    handle: int,
    role: ProxyRole,
    *,
    direct: bool = False,
    uid: bytes = UID,
    address: str = "192.0.2.7",
    private: bytes | None = None,
) -> Party:
    return Party(handle, role, uid, direct, ipaddress.ip_address(address), 1000 + handle, private)


def book(policy: RelayPolicy = RelayPolicy.DIRECT, meetings_max: int = 10) -> Rendezvous:
    return Rendezvous(entropy=Drawn(), data_port=37790, policy=policy, meetings_max=meetings_max)


RELAY_BOTH: list[Order] = [
    Tell(1, CreateProxyConnection(37790)),
    Tell(2, CreateProxyConnection(37790)),
]


@pytest.mark.parametrize(
    ("opening", "role", "direct"),
    [
        (ClientP2P(UID), CLIENT, True),
        (ServiceP2P(UID), SERVICE, True),
        (ClientProxy(UID), CLIENT, False),
        (ServiceProxy(UID), SERVICE, False),
    ],
)
def test_each_opening_says_who_comes_and_how(opening, role, direct) -> None:
    conversation, who = authenticated(opening)
    assert (who.role, who.direct, who.connection_uid) == (role, direct, UID)
    assert (str(who.address), who.port, who.handle) == ("192.0.2.7", 50000, 7)
    assert conversation.outgoing() == b""
    assert not conversation.finished
    assert conversation.deadline == 100.0 + CONTROL_SECONDS


def test_a_private_endpoint_is_kept_only_when_its_address_differs() -> None:
    same = pack_private(ipaddress.IPv4Address("192.0.2.7"), 1234)
    inside = pack_private(ipaddress.IPv4Address("10.0.0.5"), 1234)
    assert authenticated(ClientP2P(UID, same))[1].private is None
    assert authenticated(ClientP2P(UID, inside))[1].private == inside
    assert authenticated(ClientP2P(UID), "2001:db8::1")[1].private is None
    assert authenticated(ClientP2P(UID), "fe80::1%eth0")[1].address.version == 6


def test_a_wrong_hash_is_answered_with_error_and_the_end() -> None:
    conversation = control()
    conversation.feed(frame(ClientProxy(UID)), 100.0)
    conversation.outgoing()
    wrong = frame(ProxyAuthHash(proxy_auth_hash(KEY, KEY2, "another secret"), KEY2))
    conversation.feed(wrong + frame(P2PFailed()), 101.0)
    assert conversation.outgoing() == bytes.fromhex("010a")
    assert isinstance(conversation.next_event(), AuthenticationRefused)
    assert conversation.next_event() is None
    assert conversation.finished is True


def test_octets_may_come_one_by_one() -> None:
    conversation = control()
    for octet in frame(ServiceProxy(UID)):
        conversation.feed(bytes((octet,)), 100.0)
    assert conversation.outgoing() == frame(ProxyAuthKey(KEY))


@pytest.mark.parametrize(
    "octets",
    [
        b"\x00",
        b"\x80",
        b"\x81\x81" + bytes(129),
        b"\x84\xff\xff\xff\xff",
        b"\x01\x00",
        b"\x01\x63",
        frame(P2PFailed()),
        frame(ProxyAuthHash(KEY, KEY2)),
        frame(ProxyAuthKey(KEY)),
        frame(CreateProxyConnection(1)),
        b"\x14\x03" + frame(ClientProxy(UID))[2:-1],
        frame(ClientProxy(UID))[:-1] + b"\x00" * 40,
        b"\x17\x03" + frame(ClientProxy(UID))[2:] + b"\x05\x00",
    ],
)
def test_nothing_else_opens_a_control_connection(octets: bytes) -> None:
    conversation = control()
    conversation.feed(octets, 100.0)
    conversation.feed(bytes(40), 100.0)
    assert conversation.finished
    assert conversation.next_event() is None


@given(st.binary(max_size=300))
def test_garbage_never_raises_nor_authenticates(octets: bytes) -> None:
    conversation = control()
    conversation.feed(octets, 100.0)
    assert conversation.next_event() is None


def test_only_a_direct_service_may_report_failure_and_not_for_ever() -> None:
    conversation, _ = authenticated(ServiceP2P(UID))
    for _ in range(FAILURES_MAX):
        conversation.feed(frame(P2PFailed()), 102.0)
        assert isinstance(conversation.next_event(), DirectFailed)
        assert not conversation.finished
    conversation.feed(frame(P2PFailed()), 102.0)
    assert conversation.finished
    for opening in (ClientP2P(UID), ServiceProxy(UID)):
        conversation, _ = authenticated(opening)
        conversation.feed(frame(P2PFailed()), 102.0)
        assert conversation.finished
        assert conversation.next_event() is None


def test_each_phase_has_its_time() -> None:
    silent = control()
    assert silent.deadline == 100.0 + HELLO_SECONDS
    silent.tick(99.0 + HELLO_SECONDS)
    assert not silent.finished
    silent.tick(100.0 + HELLO_SECONDS)
    assert silent.finished
    unanswered = control()
    unanswered.feed(frame(ClientProxy(UID)), 105.0)
    assert unanswered.deadline == 105.0 + AUTH_SECONDS
    idle, _ = authenticated(ClientProxy(UID))
    idle.tick(100.0 + CONTROL_SECONDS)
    assert idle.finished is True
    closed = control()
    closed.feed(b"", 100.0)
    assert closed.finished is True


@pytest.mark.parametrize(
    ("client_direct", "service_direct", "policy"),
    [
        (False, False, RelayPolicy.DIRECT),
        (True, False, RelayPolicy.DIRECT),
        (False, True, RelayPolicy.DIRECT),
        (True, True, RelayPolicy.RELAY_ONLY),
    ],
)
def test_both_are_relayed_at_once_unless_both_may_go_direct(
    client_direct, service_direct, policy
) -> None:
    meetings = book(policy)
    assert meetings.arrive(party(1, CLIENT, direct=client_direct), 0.0) == []
    assert meetings.arrive(party(2, SERVICE, direct=service_direct), 1.0) == RELAY_BOTH


def test_ipv6_and_mixed_families_are_relayed() -> None:
    for second in ("2001:db8::2", "192.0.2.7"):
        meetings = book()
        meetings.arrive(party(1, CLIENT, direct=True, address="2001:db8::1"), 0.0)
        orders = meetings.arrive(party(2, SERVICE, direct=True, address=second), 0.0)
        assert orders == RELAY_BOTH


@pytest.mark.parametrize("here", [CLIENT, SERVICE])
def test_whoever_lives_beside_the_relay_is_relayed_at_once(here: ProxyRole) -> None:
    meetings = book()
    orders = []
    for handle, role in ((1, CLIENT), (2, SERVICE)):
        who = party(handle, role, direct=True)
        orders = meetings.arrive(dataclasses.replace(who, here=role is here), 1.0)
    assert orders == RELAY_BOTH


@pytest.mark.parametrize(
    ("inside", "outside"), [("192.168.1.9", "8.8.4.4"), ("10.0.0.1", "1.1.1.1")]
)
def test_one_on_our_network_and_one_outside_are_relayed_at_once(inside: str, outside: str) -> None:
    for addresses, kind in (
        ((inside, outside), CreateProxyConnection),
        ((outside, inside), CreateProxyConnection),
        ((outside, "9.9.9.9"), CreateP2PConnection),
        ((inside, "192.168.1.77"), CreateP2PConnection),
    ):
        meetings = book()
        meetings.arrive(party(1, CLIENT, direct=True, address=addresses[0]), 1.0)
        orders = meetings.arrive(party(2, SERVICE, direct=True, address=addresses[1]), 1.0)
        assert {type(order.message) for order in orders} == {kind}


def test_both_beside_the_relay_may_go_direct() -> None:
    meetings = book()
    for handle, role in ((1, CLIENT), (2, SERVICE)):
        who = party(handle, role, direct=True)
        orders = meetings.arrive(dataclasses.replace(who, here=True), 1.0)
    assert [type(order.message) for order in orders] == [CreateP2PConnection] * 2  # type: ignore[union-attr]


def test_direct_orders_cross_keys_and_addresses() -> None:
    meetings = book()
    meetings.arrive(party(2, SERVICE, direct=True, address="198.51.100.9"), 0.0)
    orders = meetings.arrive(party(1, CLIENT, direct=True), 0.0)
    service_key, client_key = b"\x01" * 4, b"\x02" * 4
    assert orders == [
        Tell(1, CreateP2PConnection(bytes.fromhex("c633640903ea"), client_key, service_key)),
        Tell(2, CreateP2PConnection(bytes.fromhex("c000020703e9"), service_key, client_key)),
    ]


def test_dual_mode_needs_both_private_endpoints() -> None:
    inside = [pack_private(ipaddress.IPv4Address(f"10.0.0.{n}"), n) for n in (1, 2)]
    meetings = book()
    meetings.arrive(party(1, CLIENT, direct=True, private=inside[0]), 0.0)
    there = party(2, SERVICE, direct=True, private=inside[1], address="198.51.100.9")
    orders = meetings.arrive(there, 0.0)
    messages = {order.handle: order.message for order in orders if isinstance(order, Tell)}
    assert all(isinstance(found, CreateP2PConnectionInDualMode) for found in messages.values())
    assert messages[1].remote_private == inside[1]
    assert messages[2].remote_private == inside[0]
    meetings = book()
    meetings.arrive(party(1, CLIENT, direct=True, private=inside[0]), 0.0)
    orders = meetings.arrive(party(2, SERVICE, direct=True), 0.0)
    assert all(type(order.message) is CreateP2PConnection for order in orders)


def test_a_failed_direct_attempt_is_relayed_once() -> None:
    meetings = book()
    client, service = party(1, CLIENT, direct=True), party(2, SERVICE, direct=True)
    meetings.arrive(client, 0.0)
    meetings.arrive(service, 0.0)
    assert meetings.present(UID, CLIENT, 1.0) is Presented.REFUSED
    assert meetings.direct_failed(party(9, SERVICE, direct=True), 4.0) == []
    assert meetings.direct_failed(service, 4.0) == RELAY_BOTH
    assert meetings.direct_failed(service, 4.1) == []
    assert meetings.present(UID, CLIENT, 5.0) is Presented.WAIT
    assert meetings.present(UID, SERVICE, 5.0) is Presented.PAIR


def test_who_comes_again_while_waiting_replaces_himself() -> None:
    meetings = book()
    first, second = party(3, CLIENT), party(1, CLIENT)
    meetings.arrive(first, 0.0)
    assert meetings.arrive(second, 1.0) == [Dismiss(3)]
    meetings.leave(first)  # the end of the replaced connection changes nothing
    assert meetings.arrive(party(2, SERVICE), 2.0) == RELAY_BOTH
    assert meetings.arrive(party(4, SERVICE), 3.0) == [Dismiss(4)]


def test_who_leaves_while_waiting_is_forgotten() -> None:
    meetings = book()
    gone = party(3, CLIENT)
    meetings.arrive(gone, 0.0)
    meetings.leave(gone)
    assert len(meetings) == 0
    assert meetings.arrive(party(2, SERVICE), 1.0) == []
    assert meetings.deadline == 1.0 + MEETING_SECONDS


def test_a_uid_serves_once_and_only_its_roles() -> None:
    meetings = book()
    assert meetings.present(UID, CLIENT, 0.0) is Presented.REFUSED
    meetings.arrive(party(1, CLIENT), 0.0)
    assert meetings.present(UID, CLIENT, 0.0) is Presented.REFUSED
    meetings.arrive(party(2, SERVICE), 0.0)
    assert meetings.present(OTHER_UID, CLIENT, 0.0) is Presented.REFUSED
    assert meetings.present(UID, SERVICE, 1.0) is Presented.WAIT
    assert meetings.present(UID, SERVICE, 1.0) is Presented.REFUSED
    assert meetings.present(UID, CLIENT, 1.0) is Presented.PAIR
    assert meetings.present(UID, CLIENT, 1.0) is Presented.REFUSED
    assert len(meetings) == 0


def test_meetings_expire_and_are_bounded() -> None:
    meetings = book(meetings_max=2)
    meetings.arrive(party(1, CLIENT), 0.0)
    meetings.arrive(party(2, SERVICE), 5.0)
    meetings.arrive(party(3, CLIENT, uid=OTHER_UID), 10.0)
    assert meetings.arrive(party(4, CLIENT, uid=bytes(16)), 10.0) == [Dismiss(4)]
    assert meetings.expire(29.9) == []
    assert meetings.present(UID, CLIENT, 30.0) is Presented.REFUSED
    assert meetings.arrive(party(5, CLIENT), 30.0) == [Dismiss(5)]
    assert meetings.expire(30.0) == [UID]
    assert meetings.deadline == 40.0
    assert meetings.expire(100.0) == [OTHER_UID]
    assert meetings.deadline is None
