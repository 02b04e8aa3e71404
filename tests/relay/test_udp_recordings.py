"""The proxy's part of the recordings 08, 08b and 08c, octet for octet.

Injected: the challenges and endpoint uids that the recorded proxy drew. Over real sockets the two
endpoints have other UDP ports than recorded (a test must not claim fixed ones), so the port in
`remotePublic` is replaced in what is expected; without sockets the recorded addresses are given,
and every octet is equal. One order across connections differs on purpose: the client is always told
to punch before the service (02 trap T8), which 08c shows the reference proxy not to do.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from gateway.base.secret import Secret
from gateway.protocol.pairing import Tell
from gateway.protocol.pairing_udp import DirectFamilies, Relay, UdpRendezvous
from gateway.protocol.pairing_udp_control import (
    RelayWanted,
    Signalled,
    Source,
    UdpControlConversation,
    UdpPartyReady,
)
from gateway.wire.datagrams import read_endpoint_info
from tests.relay.meeting import SECRET, dial, receive, relay_server, send
from tests.relay.meeting_udp import datagram, silent
from tests.support.recordings import Recording, Step, Way, load

NAMES = ["08", "08b", "08c"]
PROXY = "127.0.0.5:7779"
PUBLIC = slice(6, 12)
"""Where CREATE_P2P_CONNECTION_IN_DUAL_MODE has remotePublic; the port is its last two octets."""


class Recorded:
    """Entropy that gives what the recorded proxy drew."""

    def __init__(self, recording: Recording) -> None:
        challenges = [step.octets for step in recording.steps if is_challenge(recording, step)]
        assert len(challenges) == 2
        self._keys = [octets[6:26] for octets in challenges]
        self._uids = [octets[-16:] for octets in challenges]

    def octets(self, count: int) -> bytes:
        assert count == 20
        return self._keys.pop(0)

    def uid(self) -> bytes:
        return self._uids.pop(0)

    def text(self, alphabet: str, count: int) -> str:
        raise AssertionError


def is_control(recording: Recording, connection: int) -> bool:
    found = recording.connections.get(connection)
    return found is not None and found.kind == "proxy UDP rendezvous control"


def is_challenge(recording: Recording, step: Step) -> bool:
    return step.name == "AUTH_KEY" and is_control(recording, step.connection)


def proxy_steps(recording: Recording) -> list[tuple[Step, dict[str, Any]]]:
    """Return the steps at the proxy with their raw form, each challenge behind its opening."""
    ordered: list[tuple[Step, dict[str, Any]]] = []
    for step, raw in zip(recording.steps, recording.raw["messages"], strict=True):
        if step.way is Way.DATAGRAM:
            if PROXY in (raw["src"], raw["dst"]):
                ordered.append((step, raw))
        elif is_challenge(recording, step):
            opening = next(
                index
                for index, (earlier, _) in enumerate(ordered)
                if earlier.connection == step.connection and earlier.way is Way.TO_SERVER
            )
            ordered.insert(opening + 1, (step, raw))
        elif is_control(recording, step.connection):
            ordered.append((step, raw))
    return ordered


@pytest.mark.parametrize("name", NAMES)
async def test_the_server_speaks_as_recorded(name: str) -> None:
    recording = load(name)
    async with relay_server(entropy=Recorded(recording), udp=True, direct=True) as running:
        proxy = running.server.udp.addresses[0]
        controls: dict[int, socket.socket] = {}
        ends: dict[str, socket.socket] = {}
        checked = relayed = 0

        def end(recorded: str) -> socket.socket:
            if recorded not in ends:
                sock = ends[recorded] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                sock.bind(("127.0.0.1", 0))
                sock.setblocking(False)
            return ends[recorded]

        for step, raw in proxy_steps(recording):
            if step.way is Way.DATAGRAM and raw["dst"] == PROXY:
                end(raw["src"]).sendto(step.octets, proxy)
            elif step.way is Way.DATAGRAM:
                assert await datagram(end(raw["dst"])) == (step.octets, proxy)
                relayed += 1
            elif step.way is Way.OPENED:
                controls[step.connection] = await dial(proxy, ("127.0.0.1", 0))
            elif step.way is Way.TO_SERVER:
                await send(controls[step.connection], step.octets)
            elif step.way is Way.TO_ENDPOINT:
                expected = bytearray(step.octets)
                if step.name.startswith("CREATE_P2P"):
                    port = int.from_bytes(expected[PUBLIC][4:], "big")
                    actual = end(f"127.0.0.1:{port}").getsockname()[1]
                    expected[10:12] = actual.to_bytes(2, "big")
                assert await receive(controls[step.connection], len(expected)) == bytes(expected)
                checked += 1
            elif step.way is Way.ENDPOINT_ENDED:
                controls[step.connection].shutdown(socket.SHUT_WR)
            elif step.way is Way.SERVER_ENDED:
                assert await receive(controls[step.connection], 1) == b""
        assert checked == {"08": 6, "08b": 6, "08c": 5}[name]
        assert relayed == {"08": 0, "08b": 10, "08c": 0}[name]
        assert await silent(*ends.values(), seconds=0.05)
        for sock in ends.values():
            sock.close()


@pytest.mark.parametrize("name", NAMES)
def test_the_conversations_speak_as_recorded(name: str) -> None:
    """Without sockets the observed addresses are those of the recording: every octet is equal."""
    recording = load(name)
    entropy = Recorded(recording)
    meetings = UdpRendezvous(direct=DirectFamilies.IPV4)
    talks: dict[int, UdpControlConversation] = {}
    parties = {}
    seen: dict[bytes, Source] = {}
    said: dict[int, bytes] = {}

    def carry_out(orders) -> None:
        for order in orders:
            if isinstance(order, Relay):
                carry_out(meetings.relayed(order.client.connection_uid, accepted=True))
            else:
                assert isinstance(order, Tell)
                talks[order.handle].tell(order.message)

    for step, raw in proxy_steps(recording):
        carry_out(meetings.tick(step.at))
        if step.way is Way.OPENED:
            talk = UdpControlConversation(step.connection, secret=Secret(SECRET), entropy=entropy)
            talk.start(step.at)
            talks[step.connection], said[step.connection] = talk, b""
        elif step.way is Way.TO_SERVER:
            talks[step.connection].feed(step.octets, step.at)
        elif step.way is Way.DATAGRAM and step.name == "ENDPOINT_INFO":
            info = read_endpoint_info(step.octets, ipv4=True)
            assert info is not None
            host, _, port = raw["src"].partition(":")
            source = Source(ipaddress.ip_address(host), int(port), info.local_endpoint)
            seen[info.endpoint_uid] = source
            for number, talk in talks.items():
                if recording.stream(number, Way.TO_ENDPOINT)[28:44] == info.endpoint_uid:
                    talk.sighted(source, 0.0)
        for number, talk in talks.items():
            while (event := talk.next_event()) is not None:
                if isinstance(event, UdpPartyReady):
                    parties[number] = event.party
                    carry_out(meetings.arrive(event.party, step.at))
                elif isinstance(event, RelayWanted):
                    carry_out(meetings.relay_wanted(parties[number], step.at))
                elif isinstance(event, Signalled):
                    carry_out(meetings.signalled(parties[number], event.message, step.at))
        for number, talk in talks.items():
            said[number] += talk.outgoing()
    # The order to the service was due 50 ms after the client's; the recorded one came earlier.
    carry_out(meetings.tick(1e9))
    for number, talk in talks.items():
        said[number] += talk.outgoing()
    assert len(seen) == len(said) == 2
    for number, octets in said.items():
        recorded = recording.stream(number, Way.TO_ENDPOINT)
        assert octets == recorded
