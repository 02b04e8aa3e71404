"""One control connection of the UDP rendezvous, without a socket."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.errors import RemoteError, TimedOut
from gateway.base.secret import Secret
from gateway.protocol.pairing import HELLO_SECONDS, AuthenticationRefused
from gateway.protocol.pairing_udp_control import (
    CONTROL_SECONDS,
    SIGNALS_MAX,
    EndpointNamed,
    RelayWanted,
    Signalled,
    Source,
    UdpControlConversation,
    UdpParty,
    UdpPartyReady,
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
    encode_control,
    pack_private,
)

UID = bytes(range(16))
ENDPOINT = bytes(range(32, 48))
KEY = bytes(range(0xA0, 0xB4))
KEY2 = bytes(range(0xC0, 0xD4))
SECRET = Secret("f29f16b1-e52c-439c-9b82-7520b3bed9f5")
CLIENT, SERVICE = ProxyRole.CLIENT, ProxyRole.SERVICE
FOUR = ipaddress.ip_address("192.0.2.7")
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
    conversation.sighted(SEEN, 0.0)
    assert isinstance(events(conversation)[-1], UdpPartyReady)
    conversation.outgoing()
    return conversation


@pytest.mark.parametrize("role", [CLIENT, SERVICE])
@pytest.mark.parametrize("datagram_first", [True, False])
def test_a_party_is_ready_when_authenticated_and_seen_in_either_order(
    role: ProxyRole, datagram_first: bool
) -> None:
    conversation = control()
    hello = ClientEndpointHello(UID) if role is CLIENT else ServiceEndpointHello(UID)
    conversation.sighted(Source(FOUR, 1), 0.0)  # nobody can be seen before it has a name
    conversation.feed(frame(hello), 100.0)
    assert events(conversation) == [EndpointNamed(ENDPOINT)]
    assert conversation.outgoing() == frame(UdpAuthKey(KEY, ENDPOINT))
    if datagram_first:
        conversation.sighted(SEEN, 0.0)
        assert events(conversation) == []
    conversation.feed(frame(ANSWER), 101.0)
    if not datagram_first:
        assert events(conversation) == []
        conversation.sighted(SEEN, 0.0)
    conversation.sighted(Source(FOUR, 40001), 0.0)  # repeated ENDPOINT_INFO is ignored
    assert events(conversation) == [UdpPartyReady(UdpParty(7, role, UID, ENDPOINT, SEEN))]
    assert conversation.outgoing() == b""
    assert not conversation.finished


def test_it_is_known_how_long_an_endpoint_takes_to_answer_and_where_it_lives() -> None:
    conversation = UdpControlConversation(7, secret=SECRET, entropy=Drawn(), here=True, near=True)
    conversation.start(100.0)
    conversation.feed(frame(ClientEndpointHello(UID)), 101.0)
    conversation.sighted(SEEN, 101.25)
    conversation.feed(frame(ANSWER), 102.0)
    (_, ready) = events(conversation)
    assert ready.party.latency == 0.25
    assert (ready.party.here, ready.party.near) == (True, True)


def test_a_wrong_answer_gets_an_error_and_the_end() -> None:
    conversation = control()
    conversation.feed(frame(ClientEndpointHello(UID)), 100.0)
    conversation.sighted(SEEN, 0.0)
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
    conversation.sighted(SEEN, 0.0)
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
