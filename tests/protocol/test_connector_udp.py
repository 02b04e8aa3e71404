"""The UDP rendezvous at an endpoint: its schedule, what completes it and what ends it (02 10.3)."""

from __future__ import annotations

import ipaddress

import pytest

from gateway.protocol.connector import Challenged, MeetingFailed
from gateway.protocol.connector_udp import ChannelReady, Transmit, UdpConnector
from gateway.wire.datagrams import HOLE_PUNCH, LOCAL_HOLE_PUNCH, hole_punch
from gateway.wire.framing import frame
from gateway.wire.message import Message
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

CLIENT, SERVICE = ProxyRole.CLIENT, ProxyRole.SERVICE
UID, MINE, PEER = bytes(range(16)), b"m" * 16, b"p" * 16
KEY = bytes(20)
LOCAL = bytes(6)
PUBLIC, PRIVATE = ("192.0.2.9", 4000), ("10.7.7.7", 5000)
DUAL = CreateUdpP2PInDualMode(
    pack_public(ipaddress.ip_address(PUBLIC[0]), PUBLIC[1]),
    pack_private(ipaddress.IPv4Address(PRIVATE[0]), PRIVATE[1]),
    PEER,
)
SINGLE = CreateUdpP2P(DUAL.remote_public, PEER)
RELAYED = UdpProxyConnectionCreated()


def say(message: Message) -> bytes:
    return encode_control(UDP_TYPES, message)


def reports(machine: UdpConnector) -> list[object]:
    found: list[object] = []
    while (report := machine.next_event()) is not None:
        found.append(report)
    return found


def named(role: ProxyRole, now: float = 0.0) -> UdpConnector:
    """Return a machine that was vouched for and waits for orders."""
    machine = UdpConnector(role, UID, local_address="10.0.0.1", local_endpoint=LOCAL)
    machine.start(now)
    hello = ClientEndpointHello(UID) if role is CLIENT else ServiceEndpointHello(UID)
    assert machine.outgoing() == say(hello)
    machine.feed(say(UdpAuthKey(KEY, MINE)), now)
    assert reports(machine) == [Challenged(KEY), Transmit(b"\x56" + MINE + LOCAL)]
    machine.vouch(KEY, KEY)
    assert machine.outgoing() == say(ProxyAuthHash(KEY, KEY))
    machine.vouch(KEY, KEY)
    assert machine.outgoing() == b""
    return machine


def punching(role: ProxyRole, order: Message = DUAL, now: float = 0.0) -> UdpConnector:
    machine = named(role, now)
    machine.feed(say(order), now)
    reports(machine)
    return machine


def punch(kind: int, sender: bytes = PEER) -> bytes:
    return hole_punch(kind, sender)


def run(machine: UdpConnector, until: float) -> list[tuple[float, object]]:
    """Let time pass; return what was asked for and when."""
    found: list[tuple[float, object]] = []
    while machine.deadline is not None and machine.deadline <= until:
        now = machine.deadline
        machine.tick(now)
        found += [(now, report) for report in reports(machine)]
        if octets := machine.outgoing():
            found.append((now, octets))
    return found


@pytest.mark.parametrize("role", ProxyRole)
def test_the_endpoint_shows_itself_until_it_is_told_something(role: ProxyRole) -> None:
    machine = named(role, 100.0)
    info = Transmit(b"\x56" + MINE + LOCAL)
    assert run(machine, 118.9) == [(101.0, info), (103.0, info), (107.0, info), (115.0, info)]
    assert machine.finished is False
    run(machine, 119.0)
    assert isinstance(machine.finished, MeetingFailed)


@pytest.mark.parametrize(
    ("order", "kinds"),
    [(DUAL, [(PRIVATE, 0x59), (PUBLIC, 0x58)]), (SINGLE, [(PUBLIC, 0x58)])],
)
def test_punches_go_out_four_times_private_first(
    order: Message, kinds: list[tuple[tuple[str, int], int]]
) -> None:
    machine = named(CLIENT)
    machine.feed(say(order), 0.5)
    each = [Transmit(punch(kind, MINE), target) for target, kind in kinds]
    assert reports(machine) == each
    later = run(machine, 6.4)
    assert later == [(0.5 + second, one) for second in (1, 2, 3) for one in each]
    run(machine, 6.5)
    assert isinstance(machine.finished, MeetingFailed)


def test_a_service_asks_for_the_relay_and_gives_up_at_last() -> None:
    machine = punching(SERVICE)
    asked = [(at, what) for at, what in run(machine, 7.9) if isinstance(what, bytes)]
    assert asked == [(4.0, say(CreateUdpProxyConnection()))]
    assert machine.finished is False
    run(machine, 8.0)
    assert isinstance(machine.finished, MeetingFailed)


@pytest.mark.parametrize("kind", [HOLE_PUNCH, LOCAL_HOLE_PUNCH])
def test_a_service_remembers_the_first_punch(kind: int) -> None:
    machine = punching(SERVICE)
    machine.datagram(punch(kind, b"x" * 16), ("203.0.113.1", 1), 0.1)
    machine.datagram(punch(kind) + b"\0", ("203.0.113.1", 1), 0.1)
    machine.datagram(b"\x57" + PEER, ("203.0.113.1", 1), 0.1)
    machine.feed(say(P2PConnectionCreated()), 0.15)  # only if it had a punch
    assert machine.outgoing() == b""
    source = ("198.51.100.7", 777)  # whatever the proxy had said
    machine.datagram(punch(kind), source, 0.2)
    machine.datagram(punch(HOLE_PUNCH), ("203.0.113.2", 2), 0.3)
    machine.datagram(punch(LOCAL_HOLE_PUNCH), ("203.0.113.2", 2), 0.3)
    news = P2PHolePunched() if kind == HOLE_PUNCH else P2PLocalHolePunched()
    assert machine.outgoing() == say(news)
    assert reports(machine) == []
    machine.feed(say(P2PConnectionCreated()), 0.4)
    assert reports(machine) == [ChannelReady(source, PEER)]
    assert machine.finished is True


def test_a_service_that_was_punched_still_asks_for_the_relay() -> None:
    """The path works one way only: the reference would let the attempt fail (02 10.3)."""
    machine = punching(SERVICE)
    machine.datagram(punch(HOLE_PUNCH), PUBLIC, 0.2)
    machine.outgoing()
    machine.feed(say(RELAYED), 1.0)  # not while it tries
    assert machine.finished is False
    run(machine, 4.0)
    machine.feed(say(RELAYED), 4.1)
    assert reports(machine)[-1] == ChannelReady(None, PEER)
    assert machine.finished is True


def test_a_late_message_of_the_client_beats_the_relay() -> None:
    machine = punching(SERVICE)
    machine.datagram(punch(HOLE_PUNCH), PUBLIC, 3.9)
    run(machine, 4.0)
    machine.feed(say(P2PConnectionCreated()) + say(RELAYED), 4.1)
    assert reports(machine)[-1] == ChannelReady(PUBLIC, PEER)


@pytest.mark.parametrize("kind", [HOLE_PUNCH, LOCAL_HOLE_PUNCH])
@pytest.mark.parametrize("message_first", [True, False])
def test_a_client_needs_punch_and_message_of_one_kind(kind: int, message_first: bool) -> None:
    machine = punching(CLIENT)
    other = HOLE_PUNCH + LOCAL_HOLE_PUNCH - kind
    told = {HOLE_PUNCH: P2PHolePunched(), LOCAL_HOLE_PUNCH: P2PLocalHolePunched()}
    machine.datagram(punch(other), ("203.0.113.1", 1), 0.1)
    if message_first:
        machine.feed(say(told[kind]), 0.2)
        assert machine.finished is False
        machine.datagram(punch(kind), ("198.51.100.7", 777), 0.3)
    else:
        machine.datagram(punch(kind), ("198.51.100.7", 777), 0.2)
        assert machine.finished is False
        machine.feed(say(told[kind]), 0.3)
    assert machine.outgoing() == say(P2PConnectionCreated())
    assert reports(machine) == [ChannelReady(("198.51.100.7", 777), PEER)]
    assert machine.finished is True
    machine.datagram(punch(other), PUBLIC, 0.4)
    machine.feed(say(told[other]), 0.4)
    assert machine.outgoing() == b""


@pytest.mark.parametrize("moment", ["orders", "punching"])
def test_a_client_takes_the_relay_in_any_state(moment: str) -> None:
    machine = named(CLIENT) if moment == "orders" else punching(CLIENT)
    machine.feed(say(RELAYED), 0.2)
    assert isinstance(reports(machine)[-1], ChannelReady)
    assert machine.finished is True


def test_a_service_takes_the_relay_before_any_order() -> None:
    machine = named(SERVICE)
    machine.feed(say(RELAYED), 0.2)
    assert reports(machine) == [ChannelReady(None, b"")]


@pytest.mark.parametrize("role", ProxyRole)
def test_a_punch_before_the_order_counts(role: ProxyRole) -> None:
    """The reference's client dies of it (02 trap T8)."""
    machine = named(role)
    for _ in range(20):
        machine.datagram(punch(HOLE_PUNCH, b"x" * 16), ("203.0.113.1", 1), 0.1)
    assert machine.outgoing() == b""
    machine = named(role)
    machine.datagram(punch(HOLE_PUNCH), PUBLIC, 0.1)
    machine.feed(say(DUAL), 0.2)
    if role is SERVICE:
        assert machine.outgoing() == say(P2PHolePunched())
    else:
        machine.feed(say(P2PHolePunched()), 0.3)
        assert machine.finished is True


@pytest.mark.parametrize("role", ProxyRole)
@pytest.mark.parametrize(
    "octets",
    [
        say(ProxyError()),
        say(UdpAuthKey(KEY, MINE)),
        say(ProxyAuthHash(KEY, KEY)),
        say(ClientEndpointHello(UID)),
        say(CreateUdpProxyConnection()),
        b"",
        frame(b"\x63"),
        frame(b"\x0d\x30\x80"),
        b"\x82\x01\x01",
    ],
)
def test_what_ends_a_meeting(role: ProxyRole, octets: bytes) -> None:
    for machine in (named(role), punching(role)):
        machine.feed(octets, 0.2)
        assert isinstance(machine.finished, MeetingFailed)
        assert machine.deadline is None
        machine.feed(say(RELAYED), 0.3)
        machine.datagram(punch(HOLE_PUNCH), PUBLIC, 0.3)
        machine.tick(9.0)
        assert reports(machine) == []


@pytest.mark.parametrize(
    ("role", "message"), [(CLIENT, P2PConnectionCreated()), (SERVICE, P2PHolePunched())]
)
def test_a_message_for_the_other_role_ends_it(role: ProxyRole, message: Message) -> None:
    machine = punching(role)
    machine.feed(say(message), 0.2)
    assert isinstance(machine.finished, MeetingFailed)


def test_orders_octet_by_octet_and_nothing_without_a_name() -> None:
    machine = UdpConnector(CLIENT, UID, local_address="10.0.0.1", local_endpoint=LOCAL)
    machine.start(0.0)
    for octet in say(UdpAuthKey(KEY, MINE)) + say(DUAL) + say(RELAYED):
        machine.feed(bytes((octet,)), 0.0)
    assert isinstance(reports(machine)[-1], ChannelReady)
    machine = UdpConnector(CLIENT, UID, local_address="10.0.0.1", local_endpoint=LOCAL)
    machine.start(0.0)
    machine.feed(say(RELAYED), 0.0)
    assert isinstance(machine.finished, MeetingFailed)
