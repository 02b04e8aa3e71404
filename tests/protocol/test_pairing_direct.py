"""Who is worth a direct attempt, and what is remembered of vain ones (02 sections 6.3, 7, 10)."""

from __future__ import annotations

import ipaddress

import pytest

from gateway.base.secret import Secret
from gateway.protocol import pairing_direct
from gateway.protocol.pairing import (
    ControlConversation,
    PartyAuthenticated,
    RelayPolicy,
    Rendezvous,
    Tell,
)
from gateway.protocol.pairing_direct import (
    REMEMBERED,
    Party,
    Standing,
    VainAttempts,
    nameable,
    promising,
)
from gateway.wire.digest import proxy_auth_hash
from gateway.wire.rendezvous import (
    TCP_TYPES,
    ClientP2P,
    CreateP2PConnection,
    CreateP2PConnectionInDualMode,
    CreateProxyConnection,
    ProxyAuthHash,
    ProxyRole,
    encode_control,
    pack_private,
    pack_public,
    unpack_public,
)

UID = bytes(range(16))
SECRET = Secret("f29f16b1-e52c-439c-9b82-7520b3bed9f5")
CLIENT, SERVICE = ProxyRole.CLIENT, ProxyRole.SERVICE


class Counted:
    """Entropy of one octet repeated."""

    def octets(self, count: int) -> bytes:
        return b"\x07" * count


def at(text: str, *marks: str, says: str = "") -> Standing:
    private = ipaddress.ip_address(says) if says else None
    return Standing(ipaddress.ip_address(text), private, "here" in marks, "near" in marks)


LAN_CLIENT = at("192.168.1.9", "near")
BOX = at("192.168.1.5", "here")


@pytest.mark.parametrize(
    ("a", "b", "worth"),
    [
        (at("8.8.4.4"), at("9.9.9.9"), True),
        (at("192.168.1.9"), at("192.168.1.77"), True),
        (at("192.168.1.9", "near"), at("192.168.1.77", "near"), True),
        (at("8.8.4.4"), at("192.168.1.77"), False),
        (at("8.8.4.4"), at("100.64.3.3"), False),
        (at("127.0.0.1", "here"), at("127.0.0.1", "here"), True),
        (at("127.0.0.1", "here"), at("192.168.1.5", "here"), True),
        # A camera of this box and a client of the same network reach each other as it reached us.
        (BOX, LAN_CLIENT, True),
        # Nobody else can be told loopback.
        (at("127.0.0.1", "here"), LAN_CLIENT, False),
        # Behind a router of ours or somebody's NAT the relay is on the direct path anyway.
        (BOX, at("192.168.2.9"), False),
        (BOX, at("172.17.0.1", "near", says="192.168.1.9"), False),
        (BOX, at("8.8.4.4", says="192.168.1.9"), False),
        (at("203.0.113.5", "here"), at("8.8.4.4"), False),
    ],
)
def test_who_may_reach_whom(a: Standing, b: Standing, worth: bool) -> None:
    assert promising(a, b) is promising(b, a) is worth


def test_vain_attempts_are_remembered_for_ten_minutes_and_by_the_host() -> None:
    vain = VainAttempts()
    client, service = at("8.8.4.4", says="10.0.0.2"), at("9.9.9.9", says="192.168.1.5")
    vain.add(client, service, 100.0)
    assert vain.recent(client, service, 100.0 + REMEMBERED - 1)
    assert not vain.recent(client, service, 100.0 + REMEMBERED)
    assert not vain.recent(at("8.8.4.4", says="10.0.0.3"), service, 101.0)  # its neighbour
    assert not vain.recent(client, at("9.9.9.8", says="192.168.1.5"), 101.0)


def test_vain_attempts_are_bounded_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing_direct, "PAIRS_MAX", 3)
    vain = VainAttempts()
    ends = [at(f"8.8.8.{number}") for number in range(5)]
    for moment, end in enumerate(ends):
        vain.add(end, BOX, float(moment))
    assert len(vain) == 3
    assert [vain.recent(end, BOX, 5.0) for end in ends] == [False, False, True, True, True]


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("192.168.1.20", True),
        ("10.0.0.1", True),
        ("100.64.0.9", True),
        ("8.8.4.4", True),  # the observed one
        ("9.9.9.9", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("0.0.0.0", False),
    ],
)
def test_nobody_is_sent_to_a_third_party(said: str, named: bool) -> None:
    """A peer connects and punches to what is named as private, whatever it is."""
    observed = ipaddress.ip_address("8.8.4.4")
    local = pack_private(ipaddress.IPv4Address(said), 50123)
    assert nameable(local, observed) is named
    control = ControlConversation(1, "8.8.4.4", 40000, secret=SECRET, entropy=Counted())
    control.start(0.0)
    control.feed(encode_control(TCP_TYPES, ClientP2P(UID, local)), 0.0)
    answer = proxy_auth_hash(b"\x07" * 20, bytes(20), SECRET.reveal())
    control.feed(encode_control(TCP_TYPES, ProxyAuthHash(answer, bytes(20))), 0.0)
    event = control.next_event()
    assert isinstance(event, PartyAuthenticated)
    assert event.party.private == (local if named and said != "8.8.4.4" else None)


def party(role: ProxyRole, address: str, private: str = "", **marks: bool) -> Party:
    local = pack_private(ipaddress.IPv4Address(private), 5000 + role) if private else None
    return Party(role, role, UID, True, ipaddress.ip_address(address), 40000 + role, local, **marks)


def book(**settings) -> Rendezvous:
    return Rendezvous(entropy=Counted(), data_port=37780, policy=RelayPolicy.DIRECT, **settings)


def meet(meetings: Rendezvous, client: Party, service: Party, now: float = 0.0) -> list:
    """Return what both are told; the meeting is over afterwards."""
    meetings.arrive(client, now)
    orders = meetings.arrive(service, now)
    assert all(isinstance(order, Tell) for order in orders)
    return [order.message for order in orders]


RELAYED = [CreateProxyConnection(37780)] * 2


def test_two_behind_one_nat_are_given_one_path_alone() -> None:
    """Hairpin race of 02 section 7.3: over two paths each end may settle on another one."""
    told = meet(book(), party(CLIENT, "8.8.4.4", "10.0.0.2"), party(SERVICE, "8.8.4.4", "10.0.0.3"))
    assert [type(order) for order in told] == [CreateP2PConnection] * 2
    to_client, to_service = told
    assert unpack_public(to_client.remote_public) == (ipaddress.ip_address("10.0.0.3"), 5002)
    assert unpack_public(to_service.remote_public) == (ipaddress.ip_address("10.0.0.2"), 5001)
    told = meet(book(), party(CLIENT, "8.8.4.4", "10.0.0.2"), party(SERVICE, "9.9.9.9", "10.0.0.3"))
    assert [type(order) for order in told] == [CreateP2PConnectionInDualMode] * 2
    # The router itself says nothing else than what is seen of it.
    told = meet(book(), party(CLIENT, "8.8.4.4", "10.0.0.2"), party(SERVICE, "8.8.4.4"))
    assert told[0].remote_public == pack_public(ipaddress.ip_address("8.8.4.4"), 40002)


def test_a_failed_attempt_is_not_repeated_for_a_while() -> None:
    """The reference's endpoints remember nothing: each of their connections would cost 4 s."""
    meetings = book()
    client, service = party(CLIENT, "8.8.4.4", "10.0.0.2"), party(SERVICE, "9.9.9.9", "10.0.0.3")
    assert meet(meetings, client, service) != RELAYED
    assert [order.message for order in meetings.direct_failed(service, 4.0)] == RELAYED
    meetings.expire(50.0)
    assert meet(meetings, client, service, 60.0) == RELAYED
    meetings.expire(100.0)
    other = party(SERVICE, "9.9.9.7", "10.0.0.3")
    assert meet(meetings, client, other, 110.0) != RELAYED
    meetings.expire(200.0)
    assert meet(meetings, client, service, 4.0 + REMEMBERED) != RELAYED


def test_a_camera_of_this_box_and_a_client_on_its_network() -> None:
    near = {"near": True}
    cases = (
        (party(CLIENT, "192.168.1.9", **near), party(SERVICE, "192.168.1.5", here=True), True),
        (party(CLIENT, "192.168.1.9", **near), party(SERVICE, "127.0.0.1", here=True), False),
        (party(CLIENT, "192.168.1.9"), party(SERVICE, "192.168.1.5", here=True), False),
        (
            party(CLIENT, "172.17.0.1", "192.168.1.9", **near),
            party(SERVICE, "172.17.0.2", here=True),
            False,
        ),
    )
    for client, service, direct in cases:
        told = meet(book(), client, service)
        assert (told != RELAYED) is direct
        if direct:
            assert told[0].remote_public == pack_public(service.address, service.port)
