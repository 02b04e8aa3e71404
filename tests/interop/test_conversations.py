"""The live conversations of connections.json, played: who meets at a proxy says what was said.

The proxy of these conversations was a test server that could lie about addresses, so that the
reference endpoints could not reach each other; our proxy is told the same lies.
"""

from __future__ import annotations

from typing import Any

import pytest

from gateway.base.errors import GatewayError
from gateway.base.secret import Secret
from gateway.protocol.connector import (
    Challenged,
    Connector,
    DirectEnded,
    DirectOffered,
    RelayOffered,
)
from gateway.protocol.connector_udp import ChannelReady, Transmit, UdpConnector
from gateway.protocol.pairing_udp import DirectFamilies, Relay, UdpRendezvous
from gateway.protocol.pairing_udp_control import (
    RelayWanted,
    Signalled,
    Source,
    UdpControlConversation,
    UdpPartyReady,
)
from gateway.wire.datagrams import LOCAL_HOLE_PUNCH, hole_punch, read_endpoint_info
from gateway.wire.rendezvous import ProxyRole, unpack_public
from tests.relay.meeting import SECRET
from tests.support.recordings import vectors

CLIENT, SERVICE = ProxyRole.CLIENT, ProxyRole.SERVICE
Conversation = dict[str, Any]
ALL: list[Conversation] = vectors("connections")["transcripts"]
P2P, RELAYED, EARLY = [one for one in ALL if one["title"].startswith("UDP")]
OVER_UDP = (P2P, RELAYED, EARLY)
OVER_TCP = [one for one in ALL if one["title"].startswith(("TCP", "IPv6"))]


def named(found: Conversation) -> str:
    return found["title"].split(":")[0].split(";")[0]


def test_every_conversation_is_played() -> None:
    assert [*OVER_TCP, *OVER_UDP] == ALL


class Half:
    """One party's side of a conversation at the proxy."""

    def __init__(self, found: Conversation, role: ProxyRole) -> None:
        name = role.name.lower()
        self.steps: list[tuple[float, str, bytes]] = []
        for step in found["steps"]:
            sides, where = step.get("dir", ""), ""
            if sides.startswith(f"{name}->proxy"):
                where = "said"
            elif sides.startswith(f"proxy->{name}"):
                where = "heard"
            if where:
                self.steps.append((step["t"], where, bytes.fromhex(step["hex"])))
        self.said = b"".join(octets for _, where, octets in self.steps if where == "said")
        self.hello = self.steps[0][2]
        answer = next(o for _, where, o in self.steps[1:] if where == "said" and len(o) == 48)
        self.answer = answer[-42:-22], answer[-20:]

    def heard(self, number: int) -> bytes:
        """Return the first message of a number that the proxy said."""
        return next(
            (octets for _, where, octets in self.steps if where == "heard" and octets[1] == number),
            b"",
        )


# -- UDP -------------------------------------------------------------------------------------------


def infos(found: Conversation) -> dict[bytes, bytes]:
    """Return each endpoint's datagram to the proxy by the uid in it."""
    steps = [s for s in found["steps"] if s.get("dir") == "UDP endpoint info"]
    octets = [bytes.fromhex(step["hex"]) for step in steps]
    return {one[1:17]: one for one in octets}


def played(found: Conversation, role: ProxyRole) -> tuple[bytes, bytes, list[object], UdpConnector]:
    """Let our connector hear the recorded proxy; the punches come when they must have come.

    Returns what ours said, what was recorded, the reports, and the machine at the end.
    """
    half, datagrams = Half(found, role), infos(found)
    own = half.heard(11)[-16:]
    peer = next(uid for uid in datagrams if uid != own)
    machine = UdpConnector(
        role, half.hello[-16:], local_address="127.0.0.1", local_endpoint=datagrams[own][17:]
    )
    said, reports = b"", list[object]()
    start = half.steps[0][0]

    def settle() -> None:
        nonlocal said
        while (report := machine.next_event()) is not None:
            reports.append(report)
            if isinstance(report, Challenged):
                machine.vouch(*half.answer)
        said += machine.outgoing()

    def wait(until: float) -> None:
        while machine.deadline is not None and machine.deadline <= until:
            machine.tick(machine.deadline)
            settle()

    machine.start(start)
    settle()
    for at, where, octets in half.steps:
        wait(at)
        if where == "heard":
            machine.feed(octets, at)
        elif octets in (b"\x01\x16", b"\x01\x17"):  # a punch that the recording does not show
            port = int.from_bytes(half.heard(13)[10:12], "big")
            machine.datagram(hole_punch(LOCAL_HOLE_PUNCH, peer), ("127.0.0.1", port), at)
        settle()
    wait(start + 60)
    first = next(report for report in reports if isinstance(report, Transmit))
    assert first == Transmit(datagrams[own])
    return said, half.said, reports, machine


@pytest.mark.parametrize("role", ProxyRole)
def test_our_endpoints_meet_over_udp_as_recorded(role: ProxyRole) -> None:
    said, recorded, reports, machine = played(P2P, role)
    assert said == recorded
    (ready,) = [one for one in reports if isinstance(one, ChannelReady)]
    port = int.from_bytes(Half(P2P, role).heard(13)[10:12], "big")
    assert ready.remote == ("127.0.0.1", port)
    assert machine.finished is True


@pytest.mark.parametrize("role", ProxyRole)
def test_our_endpoints_are_relayed_over_udp_as_recorded(role: ProxyRole) -> None:
    said, recorded, reports, machine = played(RELAYED, role)
    assert said == recorded
    assert [one.remote for one in reports if isinstance(one, ChannelReady)] == [None]
    assert machine.finished is True


@pytest.mark.parametrize("role", ProxyRole)
def test_trap_t8_our_endpoints_where_the_recorded_client_died(role: ProxyRole) -> None:
    """Our service asks for the relay where the reference's gave up; our client stays alive."""
    said, recorded, reports, machine = played(EARLY, role)
    assert said == recorded + (b"\x01\x04" if role is SERVICE else b"")
    assert not [one for one in reports if isinstance(one, ChannelReady)]
    assert isinstance(machine.finished, GatewayError)  # nobody answered; in its own time


class Drawn:
    """What the recorded proxy drew, for the two control connections in their order."""

    def __init__(self, halves: list[Half]) -> None:
        challenges = [half.heard(11) for half in halves]
        self._keys = [octets[6:26] for octets in challenges]
        self._uids = [octets[-16:] for octets in challenges]

    def octets(self, count: int) -> bytes:
        assert count == 20
        return self._keys.pop(0)

    def uid(self) -> bytes:
        return self._uids.pop(0)

    def text(self, alphabet: str, count: int) -> str:
        raise AssertionError


@pytest.mark.parametrize("found", OVER_UDP, ids=named)
def test_our_proxy_speaks_over_udp_as_recorded(found: Conversation) -> None:
    halves = {role: Half(found, role) for role in ProxyRole}
    hellos = [step["hex"] for step in found["steps"] if step.get("dir", "").endswith("proxy(udp)")]
    order = sorted(ProxyRole, key=lambda role: hellos.index(halves[role].hello.hex()))
    entropy = Drawn([halves[role] for role in order])
    meetings = UdpRendezvous(direct=DirectFamilies.IPV4)
    talks = {
        role: UdpControlConversation(int(role), secret=Secret(SECRET), entropy=entropy)
        for role in order
    }
    parties, said = {}, dict.fromkeys(ProxyRole, b"")

    def carry_out(orders: Any) -> None:
        for one in orders:
            if isinstance(one, Relay):
                carry_out(meetings.relayed(one.client.connection_uid, accepted=True))
            else:
                talks[ProxyRole(one.handle)].tell(one.message)

    def settle(now: float) -> None:
        for role, talk in talks.items():
            while (event := talk.next_event()) is not None:
                if isinstance(event, UdpPartyReady):
                    parties[role] = event.party
                    carry_out(meetings.arrive(event.party, now))
                elif isinstance(event, RelayWanted):
                    carry_out(meetings.relay_wanted(parties[role], now))
                elif isinstance(event, Signalled):
                    carry_out(meetings.signalled(parties[role], event.message, now))
        for role, talk in talks.items():
            said[role] += talk.outgoing()

    for role in order:
        talks[role].start(halves[role].steps[0][0])
    for step in found["steps"]:
        now, sides = step["t"], step.get("dir", "")
        if sides.endswith("->proxy(udp)"):
            talks[ProxyRole[sides.split("->")[0].upper()]].feed(bytes.fromhex(step["hex"]), now)
        elif sides == "UDP endpoint info":
            info = read_endpoint_info(bytes.fromhex(step["hex"]), ipv4=True)
            assert info is not None
            role = next(r for r in ProxyRole if halves[r].heard(11)[-16:] == info.endpoint_uid)
            told = halves[role.other].heard(13)  # public and private address of this party
            address, port = unpack_public(told[6:12])
            talks[role].sighted(Source(address, port, told[14:20]))
        settle(now)
        carry_out(meetings.tick(now + 0.06))  # 50 ms between client and service (trap T8)
        settle(now)
    for role, octets in said.items():
        recorded = b"".join(o for _, where, o in halves[role].steps if where == "heard")
        assert octets == recorded, role


# -- TCP -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ProxyRole)
@pytest.mark.parametrize("found", OVER_TCP, ids=named)
def test_our_endpoints_meet_over_tcp_as_recorded(found: Conversation, role: ProxyRole) -> None:
    half = Half(found, role)
    local = half.hello[-6:] if half.hello[0] == 0x1D else None
    machine = Connector(role, half.hello[6:22], direct=True, local_endpoint=local)
    said, reports = b"", list[object]()
    for at, where, octets in half.steps:
        if machine.deadline is not None and machine.deadline <= at:
            machine.tick(machine.deadline)
        if where == "heard":
            machine.feed(octets, at)
        elif octets == half.hello:
            machine.start(at)
        while (report := machine.next_event()) is not None:
            reports.append(report)
            if isinstance(report, Challenged):
                machine.vouch(*half.answer)
        said += machine.outgoing()
    assert said == half.said
    assert not machine.finished
    orders = [number for number in (12, 13, 14) if half.heard(number)]
    assert orders
    kinds = {12: DirectOffered, 13: DirectOffered, 14: RelayOffered}
    expected = [kinds[number] for number in orders]
    assert [type(r) for r in reports if not isinstance(r, Challenged | DirectEnded)] == expected
