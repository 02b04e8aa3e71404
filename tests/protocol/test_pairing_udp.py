"""The book of meetings of the UDP rendezvous, without a socket."""

from __future__ import annotations

import dataclasses
import ipaddress

import pytest

from gateway.protocol.pairing import Dismiss, Tell
from gateway.protocol.pairing_direct import REMEMBERED
from gateway.protocol.pairing_udp import (
    LATENCY_MAX,
    MEETING_SECONDS,
    SERVICE_DELAY,
    DirectFamilies,
    Relay,
    UdpRendezvous,
)
from gateway.protocol.pairing_udp_control import Source, UdpParty
from gateway.wire.rendezvous import (
    CreateUdpP2P,
    CreateUdpP2PInDualMode,
    P2PConnectionCreated,
    P2PHolePunched,
    ProxyError,
    ProxyRole,
    UdpProxyConnectionCreated,
    pack_private,
    pack_public,
)

UID = bytes(range(16))
CLIENT, SERVICE = ProxyRole.CLIENT, ProxyRole.SERVICE
FOUR = ipaddress.ip_address("192.0.2.7")
SIX = ipaddress.ip_address("2001:db8::7")
PRIVATE = pack_private(ipaddress.IPv4Address("192.168.1.20"), 50123)


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
    meetings.leave(C, 0.0)
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


def test_trap_t9_and_t10_nobody_is_told_to_relay_or_let_go_unless_the_service_asks() -> None:
    meetings = direct()
    meetings.arrive(S, 0.0)
    meetings.arrive(C, 0.0)
    assert len(meetings.tick(1.0)) == 1
    for now in range(2, 70):
        assert meetings.tick(float(now)) == []


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
    alone.leave(C, 0.0)
    assert alone.relay_wanted(S, 4.0) == refused[:2]


def test_a_uid_serves_once_for_60_s() -> None:
    meetings = direct()
    meetings.arrive(C, 0.0)
    meetings.arrive(S, 1.0)
    late = party(CLIENT, handle=9)
    assert meetings.arrive(late, 2.0) == [Dismiss(9)]
    for one in (C, S):
        meetings.leave(one, 0.0)
    assert meetings.arrive(late, 59.0) == [Dismiss(9)]
    assert meetings.arrive(late, 60.0) == [Dismiss(9)]
    meetings.tick(60.0)
    assert len(meetings) == 0


def test_while_waiting_a_party_is_replaced_or_may_leave_and_come_back() -> None:
    meetings = direct()
    meetings.arrive(C, 0.0)
    newer = party(CLIENT, handle=9, port=50000)
    assert meetings.arrive(newer, 1.0) == [Dismiss(C.handle)]
    meetings.leave(C, 0.0)  # the earlier one: it is not expected any more
    assert len(meetings) == 1
    assert meetings.arrive(S, 2.0) == [Tell(9, order_for(S))]
    other = direct()
    other.arrive(C, 0.0)
    other.leave(C, 0.0)
    assert len(other) == 0
    assert other.deadline is None


def test_parties_that_are_not_of_a_meeting_change_nothing() -> None:
    meetings = direct()
    meetings.arrive(C, 0.0)
    meetings.arrive(S, 0.0)
    stranger = party(SERVICE, handle=9)
    assert meetings.relay_wanted(stranger, 1.0) == []
    assert meetings.signalled(stranger, P2PHolePunched(), 1.0) == []
    meetings.leave(stranger, 0.0)
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


# -- vain attempts are spared, and unmodified endpoints live through the others ----------------


def at(role: ProxyRole, address: str, says: str = "", **marks) -> UdpParty:
    public = ipaddress.IPv4Address(address)
    private = pack_private(ipaddress.IPv4Address(says or address), 50123)
    source = Source(public, 40000 + role, private)
    return UdpParty(role, role, UID, bytes((role,)) * 16, source, **marks)


@pytest.mark.parametrize(
    ("client", "service", "punching"),
    [
        (at(CLIENT, "8.8.4.4", "10.0.0.2"), at(SERVICE, "9.9.9.9", "10.0.0.3"), True),
        (at(CLIENT, "192.168.1.9"), at(SERVICE, "192.168.1.77"), True),
        (at(CLIENT, "127.0.0.1", here=True), at(SERVICE, "127.0.0.1", here=True), True),
        (at(CLIENT, "192.168.1.9", near=True), at(SERVICE, "192.168.1.5", here=True), True),
        # A party on the relay's machine is reached through the relay, which is there already.
        (at(CLIENT, "192.168.1.9", near=True), at(SERVICE, "127.0.0.1", here=True), False),
        (at(CLIENT, "8.8.4.4"), at(SERVICE, "9.9.9.9", here=True), False),
        (at(CLIENT, "9.9.9.9", here=True), at(SERVICE, "8.8.4.4"), False),
        # Private beside global: nobody outside reaches the one.
        (at(CLIENT, "8.8.4.4", "10.0.0.2"), at(SERVICE, "192.168.1.77"), False),
        (at(CLIENT, "192.168.1.77"), at(SERVICE, "8.8.4.4"), False),
    ],
)
def test_who_cannot_reach_each_other_is_relayed_at_once(
    client: UdpParty, service: UdpParty, punching: bool
) -> None:
    meetings = direct()
    meetings.arrive(service, 0.0)
    (order,) = meetings.arrive(client, 0.0)
    assert (order != Relay(client, service)) is punching


def test_trap_t7_dual_mode_names_no_third_party() -> None:
    meetings = direct()
    meetings.arrive(at(SERVICE, "8.8.4.4", says="9.9.9.9"), 0.0)
    (order,) = meetings.arrive(at(CLIENT, "8.8.8.8"), 0.0)
    assert isinstance(order.message, CreateUdpP2PInDualMode)
    own = pack_private(ipaddress.IPv4Address("8.8.4.4"), 40000 + SERVICE)
    assert order.message.remote_private == own


@pytest.mark.parametrize(("latency", "wait"), [(0.3, 0.35), (1.1, SERVICE_DELAY + LATENCY_MAX)])
def test_trap_t8_a_client_that_is_slow_to_answer_gets_a_longer_start(latency, wait) -> None:
    """Its order takes as long; the service would punch it before, over a shorter path."""
    meetings = direct()
    slow = dataclasses.replace(C, latency=latency)
    meetings.arrive(S, 100.0)
    meetings.arrive(slow, 100.0)
    quick = party(CLIENT, 7, bytes(16)), party(SERVICE, 8, bytes(16))
    for one in quick:
        meetings.arrive(one, 100.1)
    assert meetings.deadline == pytest.approx(100.1 + SERVICE_DELAY)
    assert [order.handle for order in meetings.tick(100.16)] == [8]  # nobody waits for the slow one
    assert meetings.deadline == pytest.approx(100.0 + wait)
    assert meetings.tick(100.0 + wait - 0.01) == []
    assert meetings.tick(100.0 + wait + 0.001) == [Tell(S.handle, order_for(slow))]


def again(meetings: UdpRendezvous, now: float) -> bool:
    """Tell whether the same two are let try again, some time after a meeting of theirs."""
    meetings.tick(now + MEETING_SECONDS)
    meetings.arrive(S, now + MEETING_SECONDS)
    orders = meetings.arrive(C, now + MEETING_SECONDS)
    return orders != [Relay(C, S)]


def test_a_failed_attempt_is_not_repeated_for_a_while() -> None:
    meetings = direct()
    meetings.arrive(C, 0.0)
    meetings.arrive(S, 0.0)
    assert meetings.relay_wanted(S, 4.1) == [Relay(C, S)]
    assert not again(meetings, 10.0)
    assert again(meetings, 4.1 + REMEMBERED)


def test_asymmetric_failure_is_not_repeated_for_a_while() -> None:
    """The reference's service was punched and asks for nothing; its client gives up after 6 s."""
    meetings = direct()
    meetings.arrive(C, 0.0)
    meetings.arrive(S, 0.0)
    meetings.tick(0.1)
    assert meetings.signalled(S, P2PHolePunched(), 1.0) == [Tell(C.handle, P2PHolePunched())]
    meetings.leave(C, 6.0)
    meetings.leave(S, 8.0)
    assert not again(meetings, 10.0)


def test_whoever_succeeds_or_changes_his_mind_may_try_again() -> None:
    for signals, left in (((), 2.0), ((P2PHolePunched(),), 2.0)):
        meetings = direct()
        meetings.arrive(C, 0.0)
        meetings.arrive(S, 0.0)
        for signal in signals:
            meetings.signalled(S, signal, 1.0)
        meetings.leave(C, left)
        meetings.leave(S, left)
        assert again(meetings, 10.0)
    meetings = direct()
    meetings.arrive(C, 0.0)
    meetings.arrive(S, 0.0)
    meetings.signalled(S, P2PHolePunched(), 3.0)
    meetings.signalled(C, P2PConnectionCreated(), 4.2)
    meetings.leave(C, 4.2)
    meetings.leave(S, 4.3)
    assert again(meetings, 10.0)
