"""The book of meetings of the UDP rendezvous, without a socket."""

from __future__ import annotations

import ipaddress

import pytest

from gateway.protocol.pairing import Dismiss, Tell
from gateway.protocol.pairing_udp import (
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
