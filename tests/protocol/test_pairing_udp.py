"""The UDP rendezvous without a socket: control conversations and the book of meetings."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.errors import RemoteError, TimedOut
from gateway.base.secret import Secret
from gateway.protocol.pairing import HELLO_SECONDS, AuthenticationRefused, Dismiss, Tell
from gateway.protocol.pairing_udp import (
    CONTROL_SECONDS,
    MEETING_SECONDS,
    SERVICE_DELAY,
    SIGNALS_MAX,
    DirectFamilies,
    EndpointNamed,
    Relay,
    RelayWanted,
    Signalled,
    Source,
    UdpControlConversation,
    UdpParty,
    UdpPartyReady,
    UdpRendezvous,
)
from gateway.wire.digest import proxy_auth_hash
from gateway.wire.rendezvous import (
    UDP_TYPES,
    ClientEndpointHello,
    CreateUdpP2P,
    CreateUdpP2PInDualMode,
    CreateUdpProxyConnection,
    P2PConnectionCreated,
    P2PHolePunched,
    P2PLocalHolePunched,
    ProxyAuthHash,
    ProxyError,
    ProxyRole,
    ServiceEndpointHello,
    UdpAuthKey,
    UdpProxyConnectionCreated,
    encode_control,
    pack_private,
    pack_public,
)

UID = bytes(range(16))
ENDPOINT = bytes(range(32, 48))
KEY = bytes(range(0xA0, 0xB4))
KEY2 = bytes(range(0xC0, 0xD4))
SECRET = Secret("f29f16b1-e52c-439c-9b82-7520b3bed9f5")
CLIENT, SERVICE = ProxyRole.CLIENT, ProxyRole.SERVICE
FOUR = ipaddress.ip_address("192.0.2.7")
SIX = ipaddress.ip_address("2001:db8::7")
PRIVATE = pack_private(ipaddress.IPv4Address("192.168.1.20"), 50123)
SEEN = Source(FOUR, 40000, PRIVATE)
ANSWER = ProxyAuthHash(proxy_auth_hash(KEY, KEY2, SECRET.reveal()), KEY2)


class Drawn:
    def octets(self, count: int) -> bytes:
        assert count == 20
        return KEY

    def uid(self) -> bytes:
        return ENDPOINT

    def text(self, alphabet: str, count: int) -> str:
        raise AssertionError


def frame(message) -> bytes:
    return encode_control(UDP_TYPES, message)


def control() -> UdpControlConversation:
    conversation = UdpControlConversation(7, secret=SECRET, entropy=Drawn())
    conversation.start(100.0)
    return conversation


def events(conversation: UdpControlConversation) -> list:
    found = []
    while (event := conversation.next_event()) is not None:
        found.append(event)
    return found


def set_up(role: ProxyRole) -> UdpControlConversation:
    conversation = control()
    hello = ClientEndpointHello(UID) if role is CLIENT else ServiceEndpointHello(UID)
    conversation.feed(frame(hello), 100.0)
    conversation.feed(frame(ANSWER), 100.0)
    conversation.sighted(SEEN)
    assert isinstance(events(conversation)[-1], UdpPartyReady)
    conversation.outgoing()
    return conversation


# -- control conversations


@pytest.mark.parametrize("role", [CLIENT, SERVICE])
@pytest.mark.parametrize("datagram_first", [True, False])
def test_a_party_is_ready_when_authenticated_and_seen_in_either_order(
    role: ProxyRole, datagram_first: bool
) -> None:
    conversation = control()
    hello = ClientEndpointHello(UID) if role is CLIENT else ServiceEndpointHello(UID)
    conversation.sighted(Source(FOUR, 1))  # nobody can be seen before it has a name
    conversation.feed(frame(hello), 100.0)
    assert events(conversation) == [EndpointNamed(ENDPOINT)]
    assert conversation.outgoing() == frame(UdpAuthKey(KEY, ENDPOINT))
    if datagram_first:
        conversation.sighted(SEEN)
        assert events(conversation) == []
    conversation.feed(frame(ANSWER), 101.0)
    if not datagram_first:
        assert events(conversation) == []
        conversation.sighted(SEEN)
    conversation.sighted(Source(FOUR, 40001))  # repeated ENDPOINT_INFO is ignored
    assert events(conversation) == [UdpPartyReady(UdpParty(7, role, UID, ENDPOINT, SEEN))]
    assert conversation.outgoing() == b""
    assert not conversation.finished


def test_a_wrong_answer_gets_an_error_and_the_end() -> None:
    conversation = control()
    conversation.feed(frame(ClientEndpointHello(UID)), 100.0)
    conversation.sighted(SEEN)
    conversation.outgoing()
    conversation.feed(frame(ProxyAuthHash(bytes(20), KEY2)), 101.0)
    assert events(conversation) == [EndpointNamed(ENDPOINT), AuthenticationRefused()]
    assert conversation.outgoing() == frame(ProxyError())
    assert conversation.finished is True


@pytest.mark.parametrize(
    ("role", "message", "event"),
    [
        (SERVICE, CreateUdpProxyConnection(), RelayWanted()),
        (SERVICE, P2PHolePunched(), Signalled(P2PHolePunched())),
        (SERVICE, P2PLocalHolePunched(), Signalled(P2PLocalHolePunched())),
        (CLIENT, P2PConnectionCreated(), Signalled(P2PConnectionCreated())),
    ],
)
def test_each_side_may_say_its_own(role: ProxyRole, message, event) -> None:
    conversation = set_up(role)
    conversation.feed(frame(message), 102.0)
    assert events(conversation) == [event]
    assert not conversation.finished
    other = set_up(role.other)
    other.feed(frame(message), 102.0)
    assert events(other) == []
    assert isinstance(other.finished, RemoteError)


@pytest.mark.parametrize("number", sorted(UDP_TYPES))
def test_a_message_of_another_state_ends_the_connection(number: int) -> None:
    bodies = {1: ClientEndpointHello(UID), 2: ServiceEndpointHello(UID), 3: ANSWER,
              11: UdpAuthKey(KEY, UID), 12: CreateUdpP2P(bytes(6), UID),
              13: CreateUdpP2PInDualMode(bytes(6), bytes(6), UID)}  # fmt: skip
    octets = frame(bodies.get(number) or UDP_TYPES[number]())
    first = control()
    first.feed(octets, 100.0)
    assert isinstance(first.finished, RemoteError) == (number not in (1, 2))
    second = control()
    second.feed(frame(ClientEndpointHello(UID)), 100.0)
    second.feed(octets, 100.0)
    assert isinstance(second.finished, RemoteError) == (number != 3)
    third = set_up(SERVICE)
    third.feed(octets, 100.0)
    assert isinstance(third.finished, RemoteError) == (number not in (4, 21, 22))


def test_between_answer_and_datagram_messages_are_ignored_but_not_for_ever() -> None:
    conversation = control()
    conversation.feed(frame(ServiceEndpointHello(UID)) + frame(ANSWER), 100.0)
    events(conversation)
    for _ in range(SIGNALS_MAX):
        conversation.feed(frame(CreateUdpProxyConnection()), 101.0)
    assert events(conversation) == []
    assert not conversation.finished
    conversation.feed(frame(CreateUdpProxyConnection()), 101.0)
    assert isinstance(conversation.finished, RemoteError)


def test_the_peer_has_10_s_for_its_hello_and_30_s_for_everything() -> None:
    slow = control()
    assert slow.deadline == 100.0 + HELLO_SECONDS
    slow.feed(b"\x15\x01", 101.0)  # a drop now and then buys no time
    slow.tick(109.9)
    assert not slow.finished
    slow.tick(110.0)
    assert isinstance(slow.finished, TimedOut)

    unanswered = control()
    unanswered.feed(frame(ClientEndpointHello(UID)), 105.0)
    assert unanswered.deadline == 100.0 + CONTROL_SECONDS
    unanswered.tick(130.0)
    assert isinstance(unanswered.finished, TimedOut)

    done = set_up(CLIENT)
    done.tick(129.9)
    assert not done.finished
    done.tick(130.0)
    assert done.finished is True


@pytest.mark.parametrize(
    "octets", [b"\x00", b"\x81\x81" + bytes(129), b"\x82\x01\x00", b"\x01\x09", b"\x02\x01\x30",
               frame(ClientEndpointHello(UID))[:-1] + b"\x00\x00"],
)  # fmt: skip
def test_bodies_outside_1_to_128_octets_and_garbage_end_it(octets: bytes) -> None:
    conversation = control()
    conversation.feed(octets + bytes(130), 100.0)
    assert isinstance(conversation.finished, RemoteError)


def test_octet_by_octet_is_the_same() -> None:
    conversation = control()
    octets = frame(ServiceEndpointHello(UID)) + frame(ANSWER) + frame(P2PHolePunched())
    conversation.feed(octets[:22], 100.0)
    conversation.sighted(SEEN)
    for index in range(22, len(octets)):
        conversation.feed(octets[index : index + 1], 100.0)
    kinds = [type(event) for event in events(conversation)]
    assert kinds == [EndpointNamed, UdpPartyReady, Signalled]


@given(st.booleans(), st.lists(st.binary(min_size=1, max_size=40), max_size=8))
def test_garbage_ends_in_a_remote_error_only(introduced: bool, parts: list[bytes]) -> None:
    conversation = set_up(SERVICE) if introduced else control()
    for part in parts:
        conversation.feed(part, 100.0)
        assert conversation.finished is False or isinstance(conversation.finished, RemoteError)


# -- meetings


def party(role: ProxyRole, handle: int = 0, uid: bytes = UID, address=FOUR, port=0) -> UdpParty:
    source = Source(address, port or 40000 + role, PRIVATE if address.version == 4 else None)
    return UdpParty(handle or role, role, uid, bytes((role,)) * 16, source)


C, S = party(CLIENT), party(SERVICE)


def direct(**settings) -> UdpRendezvous:
    return UdpRendezvous(direct=DirectFamilies.IPV4 | DirectFamilies.IPV6, **settings)


def order_for(peer: UdpParty) -> CreateUdpP2PInDualMode:
    public = pack_public(peer.source.address, peer.source.port)
    return CreateUdpP2PInDualMode(public, PRIVATE, peer.endpoint_uid)


@pytest.mark.parametrize("first", [C, S])
def test_trap_t7_and_t8_dual_mode_to_the_client_first_and_50_ms_later_to_the_service(
    first: UdpParty,
) -> None:
    meetings = direct()
    second = S if first is C else C
    assert meetings.arrive(first, 100.0) == []
    assert meetings.arrive(second, 101.0) == [Tell(C.handle, order_for(S))]
    assert meetings.deadline == pytest.approx(101.0 + SERVICE_DELAY)
    assert meetings.tick(101.04) == []
    assert meetings.tick(101.051) == [Tell(S.handle, order_for(C))]
    assert meetings.tick(101.2) == []
    assert meetings.deadline == 100.0 + MEETING_SECONDS


def test_dual_mode_even_when_private_and_public_are_the_same() -> None:
    meetings = direct()
    private = pack_private(FOUR, 1)
    alike = [
        UdpParty(role, role, UID, bytes(16), Source(FOUR, role, private))
        for role in (CLIENT, SERVICE)
    ]
    meetings.arrive(alike[0], 0.0)
    (order,) = meetings.arrive(alike[1], 0.0)
    assert isinstance(order.message, CreateUdpP2PInDualMode)


def test_signals_are_forwarded_to_the_other_side_as_they_are() -> None:
    meetings = direct()
    meetings.arrive(C, 0.0)
    assert meetings.signalled(C, P2PConnectionCreated(), 0.0) == []
    meetings.arrive(S, 0.0)
    assert meetings.signalled(S, P2PHolePunched(), 0.1) == [Tell(C.handle, P2PHolePunched())]
    assert meetings.signalled(C, P2PConnectionCreated(), 0.2) == [
        Tell(S.handle, P2PConnectionCreated())
    ]
    meetings.leave(C)
    assert meetings.signalled(S, P2PHolePunched(), 0.3) == []


def test_the_service_may_ask_for_the_relay_once() -> None:
    meetings = direct()
    meetings.arrive(S, 0.0)
    meetings.arrive(C, 0.0)
    meetings.tick(1.0)
    meetings.signalled(S, P2PHolePunched(), 2.0)  # and even when it was punched
    assert meetings.relay_wanted(S, 4.0) == [Relay(C, S)]
    assert meetings.relay_wanted(S, 4.1) == []
    created = UdpProxyConnectionCreated()
    assert meetings.relayed(UID, accepted=True) == [
        Tell(S.handle, created), Tell(C.handle, created)
    ]  # fmt: skip
    assert meetings.relayed(UID, accepted=True) == []
    assert meetings.relay_wanted(S, 4.2) == []
    assert meetings.signalled(S, P2PHolePunched(), 4.3) == []


def test_a_service_that_asks_before_its_client_is_there_is_relayed_at_once() -> None:
    meetings = direct()
    meetings.arrive(S, 0.0)
    assert meetings.relay_wanted(S, 1.0) == []
    assert meetings.arrive(C, 2.0) == [Relay(C, S)]
    assert meetings.tick(3.0) == []


def test_a_late_order_to_punch_is_not_sent_once_the_relay_was_asked_for() -> None:
    meetings = direct()
    meetings.arrive(S, 0.0)
    meetings.arrive(C, 0.0)
    assert meetings.relay_wanted(S, 0.01) == [Relay(C, S)]
    assert meetings.tick(1.0) == []


@pytest.mark.parametrize(
    ("allowed", "client", "service", "relayed"),
    [
        (DirectFamilies.NONE, FOUR, FOUR, True),
        (DirectFamilies.NONE, SIX, SIX, True),
        (DirectFamilies.IPV4, FOUR, FOUR, False),
        (DirectFamilies.IPV4, SIX, SIX, True),
        (DirectFamilies.IPV4 | DirectFamilies.IPV6, SIX, SIX, False),
        (DirectFamilies.IPV4 | DirectFamilies.IPV6, FOUR, SIX, True),
        (DirectFamilies.IPV4 | DirectFamilies.IPV6, SIX, FOUR, True),
    ],
)
def test_policy_and_families_decide_who_is_relayed_at_once(
    allowed: DirectFamilies, client, service, relayed: bool
) -> None:
    meetings = UdpRendezvous(direct=allowed)
    one, other = party(CLIENT, address=client), party(SERVICE, address=service)
    meetings.arrive(one, 0.0)
    (order,) = meetings.arrive(other, 0.0)
    assert isinstance(order, Relay) == relayed
    if not relayed and client is SIX:
        assert order == Tell(
            one.handle, CreateUdpP2P(pack_public(SIX, other.source.port), other.endpoint_uid)
        )


def test_without_room_or_with_one_source_both_are_told_and_let_go() -> None:
    refused = [Tell(2, ProxyError()), Dismiss(2), Tell(1, ProxyError()), Dismiss(1)]
    meetings = UdpRendezvous()
    meetings.arrive(C, 0.0)
    assert meetings.arrive(S, 0.0) == [Relay(C, S)]
    assert meetings.relayed(UID, accepted=False) == refused
    echo = UdpRendezvous()
    echo.arrive(party(CLIENT, port=5), 0.0)
    assert echo.arrive(party(SERVICE, port=5), 0.0) == refused
    alone = direct()
    alone.arrive(C, 0.0)
    alone.arrive(S, 0.0)
    alone.leave(C)
    assert alone.relay_wanted(S, 4.0) == refused[:2]


def test_a_uid_serves_once_for_60_s() -> None:
    meetings = direct()
    meetings.arrive(C, 0.0)
    meetings.arrive(S, 1.0)
    late = party(CLIENT, handle=9)
    assert meetings.arrive(late, 2.0) == [Dismiss(9)]
    for one in (C, S):
        meetings.leave(one)
    assert meetings.arrive(late, 59.0) == [Dismiss(9)]
    assert meetings.arrive(late, 60.0) == [Dismiss(9)]
    meetings.tick(60.0)
    assert len(meetings) == 0


def test_while_waiting_a_party_is_replaced_or_may_leave_and_come_back() -> None:
    meetings = direct()
    meetings.arrive(C, 0.0)
    newer = party(CLIENT, handle=9, port=50000)
    assert meetings.arrive(newer, 1.0) == [Dismiss(C.handle)]
    meetings.leave(C)  # the earlier one: it is not expected any more
    assert len(meetings) == 1
    assert meetings.arrive(S, 2.0) == [Tell(9, order_for(S))]
    other = direct()
    other.arrive(C, 0.0)
    other.leave(C)
    assert len(other) == 0
    assert other.deadline is None


def test_parties_that_are_not_of_a_meeting_change_nothing() -> None:
    meetings = direct()
    meetings.arrive(C, 0.0)
    meetings.arrive(S, 0.0)
    stranger = party(SERVICE, handle=9)
    assert meetings.relay_wanted(stranger, 1.0) == []
    assert meetings.signalled(stranger, P2PHolePunched(), 1.0) == []
    meetings.leave(stranger)
    assert meetings.relay_wanted(S, MEETING_SECONDS) == []
    assert meetings.relayed(bytes(16), accepted=True) == []


def test_meetings_are_limited() -> None:
    meetings = direct(meetings_max=2)
    for number in range(2):
        assert (
            meetings.arrive(party(CLIENT, handle=10 + number, uid=bytes((number,)) * 16), 0) == []
        )
    assert meetings.arrive(party(CLIENT, handle=12, uid=b"x" * 16), 0.0) == [Dismiss(12)]
    meetings.tick(MEETING_SECONDS)
    assert meetings.arrive(party(CLIENT, handle=12, uid=b"x" * 16), 60.0) == []
