"""The proxy's part of the recordings 07 to 07d, octet for octet, over real sockets."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.base.secret import Secret
from gateway.protocol.pairing import (
    ControlConversation,
    PartyAuthenticated,
    RelayPolicy,
    Rendezvous,
    Tell,
)
from gateway.protocol.pairing import DirectFailed as Failed
from tests.relay.meeting import SECRET, dial, own_address, receive, relay_server, send
from tests.support.recordings import Recording, Step, Way, load

DATA_PORT = 37790  # what the recorded proxy told
NAMES = ["07", "07b", "07c", "07d"]


class Recorded:
    """Entropy that gives what the recorded proxy drew."""

    def __init__(self, recording: Recording) -> None:
        self._drawn = {20: [], 4: []}
        for step in recording.steps:
            if step.name == "AUTH_KEY" and is_control(recording, step.connection):
                self._drawn[20].append(step.octets[-20:])
            if step.name.startswith("CREATE_P2P") and speaker(recording, step) == "service":
                # The service's key comes first, then the client's.
                self._drawn[4] += [step.octets[-10:-6], step.octets[-4:]]

    def octets(self, count: int) -> bytes:
        return self._drawn[count].pop(0)

    def uid(self) -> bytes:
        raise AssertionError

    def text(self, alphabet: str, count: int) -> str:
        raise AssertionError


def is_control(recording: Recording, connection: int) -> bool:
    found = recording.connections.get(connection)
    return found is not None and found.kind == "proxy TCP rendezvous control"


def speaker(recording: Recording, step: Step) -> str:
    return recording.connections[step.connection].speaker


def proxy_steps(recording: Recording) -> list[Step]:
    """Return the steps at the proxy; each challenge directly behind its opening.

    Two openings on their way at once may be answered in either order, and the order of the draws
    depends on it; that is the one thing that is put straight.
    """
    kinds = ("proxy TCP rendezvous control", "proxied TCP data")
    steps = [
        step
        for step in recording.steps
        if step.connection in recording.connections
        and recording.connections[step.connection].kind in kinds
    ]
    ordered: list[Step] = []
    for step in steps:
        if step.name == "AUTH_KEY":
            opening = next(
                index
                for index, earlier in enumerate(ordered)
                if earlier.connection == step.connection and earlier.way is Way.TO_SERVER
            )
            ordered.insert(opening + 1, step)
        else:
            ordered.append(step)
    return ordered


@pytest.mark.parametrize("name", NAMES)
async def test_the_server_speaks_as_recorded(name: str) -> None:
    recording = load(name)
    direct = name in ("07", "07c")
    async with relay_server(
        own_address(), entropy=Recorded(recording), data_port=DATA_PORT, direct=direct
    ) as running:
        sockets: dict[int, socket.socket] = {}
        checked = 0
        for step in proxy_steps(recording):
            sock = sockets.get(step.connection)
            if step.way is Way.OPENED:
                control = is_control(recording, step.connection)
                address = running.control if control else running.data
                sockets[step.connection] = await dial(address, ("127.0.0.1", 0))
                continue
            assert sock is not None
            if step.way is Way.TO_SERVER:
                await send(sock, step.octets)
            elif step.way is Way.TO_ENDPOINT:
                expected = step.octets
                if step.name.startswith("CREATE_P2P"):
                    # The only octets that depend on the machine: the other side's source port.
                    other = next(
                        found for number, found in sockets.items() if number != step.connection
                    )
                    expected = (
                        expected[:10] + other.getsockname()[1].to_bytes(2, "big") + (expected[12:])
                    )
                    assert expected[6:10] == socket.inet_aton("127.0.0.1")
                assert await receive(sock, len(expected)) == expected
                checked += 1
            elif step.way is Way.ENDPOINT_ENDED:
                sock.shutdown(socket.SHUT_WR)
            elif step.way is Way.SERVER_ENDED:
                assert await receive(sock, 1) == b""
        assert checked >= 4
        async with asyncio.timeout(5):  # the relay process tells a moment later
            while running.server.relayed:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("name", NAMES)
def test_the_conversations_speak_as_recorded(name: str) -> None:
    """Without sockets the observed addresses are those of the recording: every octet is equal."""
    recording = load(name)
    entropy = Recorded(recording)
    policy = RelayPolicy.DIRECT if name in ("07", "07c") else RelayPolicy.RELAY_ONLY
    meetings = Rendezvous(entropy=entropy, data_port=DATA_PORT, policy=policy)
    talks: dict[int, ControlConversation] = {}
    parties = {}
    said: dict[int, bytes] = {}
    for entry in recording.raw["connections"]:
        if is_control(recording, entry["id"]):
            host, port = entry["client"].split(":")
            talk = ControlConversation(
                entry["id"], host, int(port), secret=Secret(SECRET), entropy=entropy
            )
            talk.start(0.0)
            talks[entry["id"]] = talk
            said[entry["id"]] = b""
    for step in proxy_steps(recording):
        if step.connection not in talks or step.way is not Way.TO_SERVER:
            continue
        talks[step.connection].feed(step.octets, step.at)
        event = talks[step.connection].next_event()
        orders = []
        if isinstance(event, PartyAuthenticated):
            parties[step.connection] = event.party
            orders = meetings.arrive(event.party, step.at)
        elif isinstance(event, Failed):
            orders = meetings.direct_failed(parties[step.connection], step.at)
        for order in orders:
            assert isinstance(order, Tell)
            talks[order.handle].tell(order.message)
        for number, talk in talks.items():
            said[number] += talk.outgoing()
    for number, octets in said.items():
        assert octets == recording.stream(number, Way.TO_ENDPOINT)
