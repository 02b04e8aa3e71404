"""Our endpoints in the place of the recorded ones at the proxy: the same octets (02 6, 7, 10)."""

from __future__ import annotations

import pytest

from gateway.protocol.connector import (
    Challenged,
    Connector,
    DirectEnded,
    DirectOffered,
    RelayOffered,
)
from gateway.protocol.connector_direct import Commit, WriteKey, race_of
from gateway.protocol.connector_udp import ChannelReady, Transmit, UdpConnector
from gateway.wire.rendezvous import ProxyRole, data_header
from tests.support.recordings import Recording, Step, Way, load

CLIENT, SERVICE = ProxyRole.CLIENT, ProxyRole.SERVICE


def control(recording: Recording, role: ProxyRole) -> int:
    return next(
        number
        for number, found in recording.connections.items()
        if "rendezvous control" in found.kind and found.speaker == role.name.lower()
    )


def drain(machine) -> list[object]:
    found = []
    while (report := machine.next_event()) is not None:
        found.append(report)
    return found


def answer(steps: tuple[Step, ...]) -> tuple[bytes, bytes]:
    """Return what the tracker answered: it is in the recorded AUTH_HASH."""
    octets = next(step.octets for step in steps if step.name == "AUTH_HASH")
    return octets[-42:-22], octets[-20:]


@pytest.mark.parametrize("role", ProxyRole)
@pytest.mark.parametrize("name", ["07", "07b", "07c", "07d"])
def test_a_tcp_connector_speaks_as_recorded(name: str, role: ProxyRole) -> None:
    recording = load(name)
    number = control(recording, role)
    steps = recording.of(number)
    hello = next(step for step in steps if step.way is Way.TO_SERVER)
    direct = hello.name.endswith("P2P")
    uid = hello.octets[6:22] if direct else hello.octets[-16:]
    connector = Connector(
        role, uid, direct=direct, local_endpoint=hello.octets[-6:] if direct else None
    )
    said, reports = b"", []
    for step in steps:
        if step.way is Way.OPENED:
            connector.start(step.at)
        elif step.way is Way.TO_ENDPOINT:
            connector.feed(step.octets, step.at)
        elif step.way is Way.TO_SERVER and step.name == "P2P_FAILED":
            assert connector.deadline == pytest.approx(step.at, abs=0.02)
            connector.tick(step.at)
        reports += (new := drain(connector))
        if any(isinstance(report, Challenged) for report in new):
            connector.vouch(*answer(steps))
        said += connector.outgoing()
    assert said == recording.stream(number, Way.TO_SERVER)
    assert connector.finished is False
    kinds = [type(report) for report in reports]
    assert kinds[0] is Challenged
    assert (
        kinds[1:]
        == {
            "07": [DirectOffered],
            "07b": [RelayOffered],
            "07c": [DirectOffered, DirectEnded, RelayOffered],
            "07d": [RelayOffered],
        }[name]
    )
    if name != "07":
        check_relayed(recording, role, uid, reports[-1])


def check_relayed(recording: Recording, role: ProxyRole, uid: bytes, offer: object) -> None:
    assert isinstance(offer, RelayOffered)
    entries = [one for one in recording.raw["connections"] if one["kind"] == "proxied TCP data"]
    assert {int(one["server"].split(":")[1]) for one in entries} == {offer.port}
    streams = [recording.stream(one["id"], Way.TO_SERVER) for one in entries]
    assert data_header(role, uid) in [stream[:17] for stream in streams]
    answers = [recording.stream(one["id"], Way.TO_ENDPOINT) for one in entries]
    assert data_header(role.other, uid) in [stream[:17] for stream in answers]


@pytest.mark.parametrize("role", ProxyRole)
def test_the_keys_of_a_direct_connection_are_as_recorded(role: ProxyRole) -> None:
    recording = load("07")
    offers = {}
    for side in ProxyRole:
        connector = Connector(side, bytes(16), direct=True, local_endpoint=bytes(6))
        connector.start(0.0)
        for step in recording.of(control(recording, side)):
            if step.way is Way.TO_ENDPOINT:
                connector.feed(step.octets, step.at)
                connector.vouch(bytes(20), bytes(20))
        offers[side] = next(one for one in drain(connector) if isinstance(one, DirectOffered))
    # The client opened the recorded connection.
    keys = {
        CLIENT: recording.stream(103, Way.TO_SERVER)[:4],
        SERVICE: recording.stream(103, Way.TO_ENDPOINT)[:4],
    }
    race = race_of(role, offers[role])
    assert race.secret_key == keys[role]
    moves = race.opened(1, 0.0)
    assert moves == ([WriteKey(1)] if role is CLIENT else [])
    assert race.received(1, keys[role.other]) == [Commit(1, write=role is SERVICE)]


Where = tuple[str, int]


def datagrams(recording: Recording) -> list[tuple[float, Where, Where, bytes]]:
    return [
        (entry["t"], where(entry["src"]), where(entry["dst"]), bytes.fromhex(entry["hex"]))
        for entry in recording.raw["messages"]
        if entry["dir"] == "datagram"
    ]


def where(text: str) -> Where:
    host, _, port = text.rpartition(":")
    return host, int(port)


def replay_udp(
    name: str, role: ProxyRole, until: float = 60.0
) -> tuple[bytes, list[tuple[Where | None, bytes]], list[ChannelReady], UdpConnector, Where]:
    """Let our machine hear what the recorded endpoint heard, when it heard it."""
    recording = load(name)
    number = control(recording, role)
    steps = recording.of(number)
    hello = next(step for step in steps if step.way is Way.TO_SERVER)
    naming = next(step for step in steps if step.name == "AUTH_KEY")
    own = naming.octets[-16:]
    flow = datagrams(recording)
    info = next(one for one in flow if one[3][:17] == b"\x56" + own)
    me = info[1]
    machine = UdpConnector(
        role, hello.octets[-16:], local_address="127.0.0.1", local_endpoint=info[3][17:]
    )
    events = [(step.at, "control", step.octets) for step in steps if step.way is Way.TO_ENDPOINT]
    events += [(at, source, octets) for at, source, to, octets in flow if to == me]
    opened = steps[0].at
    machine.start(opened)
    said, sent, ready = machine.outgoing(), [], []

    def collect() -> None:
        nonlocal said
        for report in drain(machine):
            if isinstance(report, Challenged):
                machine.vouch(*answer(steps))
            elif isinstance(report, Transmit):
                sent.append((report.target, report.datagram))
            else:
                assert isinstance(report, ChannelReady)
                ready.append(report)
        said += machine.outgoing()

    for at, source, octets in [*sorted(events, key=lambda one: one[0]), (until, "end", b"")]:
        while machine.deadline is not None and machine.deadline <= at:
            machine.tick(machine.deadline)
            collect()
        if source == "control":
            machine.feed(octets, at)
        elif source != "end":
            machine.datagram(octets, source, at)
        collect()
    return said, sent, ready, machine, me


@pytest.mark.parametrize("role", ProxyRole)
def test_udp_goes_direct_as_recorded(role: ProxyRole) -> None:
    recording = load("08")
    said, sent, ready, machine, me = replay_udp("08", role)
    assert said == recording.stream(control(recording, role), Way.TO_SERVER)
    proxy = ("127.0.0.5", 7779)
    recorded = [
        (None if to == proxy else to, octets)
        for _, source, to, octets in datagrams(recording)
        if source == me and octets[:1] in (b"\x56", b"\x58", b"\x59")
    ]
    assert sent == recorded
    peer = next(to for to, octets in recorded if octets[0] == 0x58)
    assert [one.remote for one in ready] == [peer]
    assert machine.finished is True


@pytest.mark.parametrize("role", ProxyRole)
def test_udp_is_relayed_as_recorded(role: ProxyRole) -> None:
    recording = load("08b")
    said, sent, ready, machine, me = replay_udp("08b", role)
    assert said == recording.stream(control(recording, role), Way.TO_SERVER)
    recorded = [octets for _, source, _, octets in datagrams(recording) if source == me]
    # The recorded endpoints were patched so that they do not punch; ours does, to both addresses.
    assert [octets for to, octets in sent if to is None] == recorded[:1]
    assert [octets[0] for to, octets in sent if to is not None] == [0x59, 0x58] * 4
    assert [one.remote for one in ready] == [None]
    assert machine.finished is True


def test_a_service_of_ours_saves_the_attempt_that_fails_in_the_recording() -> None:
    """The recorded client had died of an early punch; the reference's service did nothing."""
    recording = load("08c")
    said, _, ready, machine, _ = replay_udp("08c", SERVICE)
    recorded = recording.stream(control(recording, SERVICE), Way.TO_SERVER)
    assert said == recorded + b"\x01\x04"  # asks for the relay at 4 s
    assert ready == []  # the recorded proxy was not asked, and so did not answer
    assert machine.finished not in (True, False)


def test_a_client_of_ours_survives_the_punch_of_which_the_recorded_one_died() -> None:
    recording = load("08c")
    said, _, ready, machine, _ = replay_udp("08c", CLIENT)
    recorded = recording.stream(control(recording, CLIENT), Way.TO_SERVER)
    assert said == recorded + b"\x01\x17"  # completes: 23
    assert len(ready) == 1
    assert ready[0].remote is not None
    assert machine.finished is True
