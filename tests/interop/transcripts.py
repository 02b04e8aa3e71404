"""What each recording proves, by playing it: to our servers, to our endpoints, through our codec.

A cell says how much was compared, or why there is nothing to compare, or what is different. All
numbers are counted while comparing. The comparisons are those of the tests named in `PROVED_BY`.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.base.errors import RemoteError
from gateway.base.secret import Secret
from gateway.model.kinds import EventKind
from gateway.protocol.pairing import (
    ControlConversation,
    DirectFailed,
    PartyAuthenticated,
    RelayPolicy,
    Rendezvous,
)
from gateway.wire import catalogue, rendezvous
from gateway.wire.balancer import BalancerAnswer, BalancerRequest
from gateway.wire.digest import fnv1a
from gateway.wire.framing import PROXY_ENDPOINT_MAX, FrameBuffer
from gateway.wire.groups import ServicesUpdated, hostname_hash, single_group_hash
from gateway.wire.membership import UserList, user_hash
from gateway.wire.pubsub import subscription_hash
from gateway.wire.rendezvous import ProxyRole
from gateway.wire.structure import structure_hash, structure_hash_input
from gateway.wire.uri import parse_client_uri, parse_service_uri, server_name
from tests.protocol import test_connector_recordings as proxied
from tests.relay import test_recordings as proxy_tcp
from tests.relay import test_udp_recordings as proxy_udp
from tests.relay.meeting import SECRET
from tests.support import recordings
from tests.support.recordings import Recording, Way
from tests.support.replay import Replay
from tests.support.spoken import Spoken, direction_of, frames, known_structures, told
from tests.transcripts import test_endpoint_proxy as controls
from tests.transcripts import test_endpoint_sessions as sessions
from tests.transcripts import test_server_replay as servers

NOTHING = "nothing recorded"
ROLES = tuple(ProxyRole)
OWN_REASONS = {
    ("08b", "proxy"): "the recorded endpoints were patched not to punch; ours punch, beside it",
    ("08c", "service"): "the recorded client died of an early punch and the reference's service "
    "did nothing; ours asks for the relay after 4 s (02 trap T8)",
    ("08c", "client"): "the recorded client died of an early punch; ours lives and reports "
    "success (02 trap T8)",
}
"""Reasons of differences that tests outside this folder assert; each is asked for by its test."""


@dataclass(frozen=True)
class Cell:
    """One comparison: what was compared and what differs on purpose; `failure` says what broke."""

    compared: str
    notes: tuple[str, ...] = ()
    failure: str = ""

    @property
    def empty(self) -> bool:
        return not self.failure and self.compared == NOTHING

    def __str__(self) -> str:
        if self.failure:
            return f"**fails**: {self.failure}"
        return self.compared if self.empty else f"pass: {self.compared}"


def guarded(compare: Callable[[], Cell]) -> Cell:
    """Run a comparison; what it asserts becomes a failure with its first line."""
    try:
        return compare()
    except (AssertionError, RemoteError, ValueError, KeyError, StopIteration) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        return Cell("", failure=first.replace("|", "\\|")[:200])


def count(number: int, what: str) -> str:
    """Return '1 frame' or '2 frames'."""
    one, _, many = what.partition("|")
    return f"{number} {one if number == 1 else many or one + chr(115)}"


# -- our tracker and balancer ----------------------------------------------------------------------


def server(name: str) -> Cell:
    """Feed the recorded endpoints' octets to our balancer and tracker."""
    recording = recordings.load(name)
    servers.test_the_balancer_says_what_the_reference_said(name)
    servers.compare(name, replay := Replay(recording).run(), servers.DIFFERENT)
    answers = len(recording.balancer_exchanges())
    said = sum(
        len(told(one, recording.stream(one.id, Way.TO_ENDPOINT)))
        for one in replay.recording.tracker_connections()
    )
    notes = []
    for (other, connection), known in servers.DIFFERENT.items():
        if other == name:
            reference = recording.stream(connection, Way.TO_ENDPOINT)
            assert replay.sent(connection) != reference, "a listed difference is gone"
            notes.append(f"connection {connection}: {known.why}")
    if not said and not answers:
        return Cell(NOTHING)
    return Cell(f"{count(said, 'frame')}, {count(answers, 'balancer answer')}", tuple(notes))


# -- our endpoints ---------------------------------------------------------------------------------


def _questions(recording: Recording) -> set[bytes]:
    """Return what our endpoints ask the balancer with the URIs of the recorded programs."""
    found = set()
    for program in recording.raw["endpoints"]:
        uri = next(word for word in program["arguments"] if word.startswith("softnet-"))
        if uri.startswith("softnet-srv"):
            service = parse_service_uri(uri)
            request = BalancerRequest(server_name(service.server), service.uid)
        else:
            client = parse_client_uri(uri)
            named = server_name(client.server)
            request = BalancerRequest(named, category=client.category, key=client.key)
        found.add(request.encode())
    return found


def endpoints(name: str) -> Cell:
    """Feed the recorded server's octets to our endpoints, which do what the programs did."""
    recording = recordings.load(name)
    if not recording.raw["endpoints"]:
        return Cell(
            NOTHING, ("no endpoint program: octets written by hand, which no endpoint would send",)
        )
    asked = _questions(recording)
    exchanges = recording.balancer_exchanges()
    foreign = 0
    for question, answer in exchanges:
        if question not in asked:
            foreign += 1
            assert BalancerRequest.decode(question).encode() == question
        if answer:
            BalancerAnswer.decode(answer, question, 4)
    with tempfile.TemporaryDirectory() as folder:
        _, outcome = sessions._replayed(name, None, Path(folder))
    notes = []
    for connection, different in outcome.items():
        reason = sessions.DIFFERENT.get((name, connection))
        assert bool(different) is (reason is not None), f"connection {connection}: {different}"
        if reason is not None:
            notes.append(f"connection {connection}: {reason}")
    if name in sessions.APART:
        notes.append("threads of the recorded program raced: each thread's order by itself")
    if foreign:
        notes.append(f"{count(foreign, 'balancer question')} by hand, taken apart and put together")
    sent = sum(
        len(frames(recording.stream(found.id, Way.TO_SERVER)[2:]))
        for found in recording.tracker_connections()
    )
    questions = count(len(exchanges) - foreign, "balancer question")
    return Cell(f"{count(sent, 'frame')}, {questions}", tuple(notes))


# -- the proxy, both sides -------------------------------------------------------------------------


def _controls(recording: Recording) -> list[int]:
    return [
        found.id for found in recording.connections.values() if "rendezvous control" in found.kind
    ]


def proxy(name: str) -> Cell:
    """Feed the recorded endpoints' octets to our rendezvous."""
    recording = recordings.load(name)
    talks = _controls(recording)
    if not talks:
        return Cell(NOTHING)
    if name in proxy_udp.NAMES:
        proxy_udp.test_the_conversations_speak_as_recorded(name)
    else:
        tcp_meeting(recording)
    said = sum(step.way is Way.TO_ENDPOINT and step.connection in talks for step in recording.steps)
    notes = ()
    if name == "08c":
        notes = ("the order to the service comes behind the client's (02 trap T8)",)
    return Cell(f"{count(said, 'frame')} on {count(len(talks), 'connection')}", notes)


def tcp_meeting(recording: Recording) -> None:
    """Play the parties of one TCP meeting to our rendezvous; compare all that both are told."""
    direct = any(step.name.startswith("CREATE_P2P") for step in recording.steps)
    entropy = proxy_tcp.Recorded(recording)
    policy = RelayPolicy.DIRECT if direct else RelayPolicy.RELAY_ONLY
    meetings = Rendezvous(entropy=entropy, data_port=proxy_tcp.DATA_PORT, policy=policy)
    talks: dict[int, ControlConversation] = {}
    parties: dict[int, Any] = {}
    said: dict[int, bytes] = {}
    for entry in recording.raw["connections"]:
        if proxy_tcp.is_control(recording, entry["id"]):
            host, port = entry["client"].split(":")
            talk = ControlConversation(
                entry["id"], host, int(port), secret=Secret(SECRET), entropy=entropy
            )
            talk.start(0.0)
            talks[entry["id"]], said[entry["id"]] = talk, b""
    for step in proxy_tcp.proxy_steps(recording):
        if step.connection not in talks or step.way is not Way.TO_SERVER:
            continue
        talks[step.connection].feed(step.octets, step.at)
        event = talks[step.connection].next_event()
        orders: Any = ()
        if isinstance(event, PartyAuthenticated):
            parties[step.connection] = event.party
            orders = meetings.arrive(event.party, step.at)
        elif isinstance(event, DirectFailed):
            orders = meetings.direct_failed(parties[step.connection], step.at)
        for order in orders:
            talks[order.handle].tell(order.message)
        for number, talk in talks.items():
            said[number] += talk.outgoing()
    for number, octets in said.items():
        assert octets == recording.stream(number, Way.TO_ENDPOINT), f"connection {number}"


def at_proxy(name: str) -> Cell:
    """Feed the recorded proxy's octets to our endpoints."""
    recording = recordings.load(name)
    talks = _controls(recording)
    if not talks:
        return Cell(NOTHING)
    notes: list[str] = []
    if name not in proxy_udp.NAMES:
        for split in (False, True):
            for connection in talks:
                controls.test_control_connections(name, connection, split)
        if name in proxy_tcp.NAMES:
            for role in ROLES:
                proxied.test_a_tcp_connector_speaks_as_recorded(name, role)
        if name == "07":
            for role in ROLES:
                proxied.test_the_keys_of_a_direct_connection_are_as_recorded(role)
    elif name == "08":
        for role in ROLES:
            proxied.test_udp_goes_direct_as_recorded(role)
    elif name == "08b":
        for role in ROLES:
            proxied.test_udp_is_relayed_as_recorded(role)
        notes.append(OWN_REASONS["08b", "proxy"])
    elif name == "08c":
        proxied.test_a_service_of_ours_saves_the_attempt_that_fails_in_the_recording()
        proxied.test_a_client_of_ours_survives_the_punch_of_which_the_recorded_one_died()
        notes += [OWN_REASONS["08c", "service"], OWN_REASONS["08c", "client"]]
    else:
        raise AssertionError("conversations with a proxy that no test plays")
    said = sum(step.way is Way.TO_SERVER and step.connection in talks for step in recording.steps)
    return Cell(f"{count(said, 'frame')} on {count(len(talks), 'connection')}", tuple(notes))


# -- the codec -------------------------------------------------------------------------------------


def codec(name: str) -> Cell:
    """Decode every recorded frame of both directions and put it together again."""
    recording = recordings.load(name)
    done, refused = 0, []
    for connection in recording.connections.values():
        for way in (Way.TO_SERVER, Way.TO_ENDPOINT):
            stream = recording.stream(connection.id, way)
            if connection.to_tracker:
                header = 2 if way is Way.TO_SERVER else 0
                direction = direction_of(connection, way)
                for frame, payload in frames(stream[header:]):
                    try:
                        message = catalogue.decode(direction, payload)
                    except RemoteError:
                        refused.append(frame.hex())
                        continue
                    assert catalogue.encode(direction, message) == frame, frame.hex()
                    done += 1
            elif "rendezvous control" in connection.kind:
                udp = "UDP" in connection.kind
                done += control_frames(stream, udp=udp)
    notes = []
    if refused:
        assert name == "17" or set(refused) == {"040000005c"}, refused
        notes.append(f"{count(len(refused), 'frame')} malformed on purpose, refused as such")
    return Cell(count(done, "frame"), tuple(notes)) if done else Cell(NOTHING, tuple(notes))


def control_frames(stream: bytes, *, udp: bool) -> int:
    """Decode and encode the frames of a control connection to the proxy; return their number."""
    types = rendezvous.UDP_TYPES if udp else rendezvous.TCP_TYPES
    buffer = FrameBuffer(PROXY_ENDPOINT_MAX, 1)
    buffer.feed(stream)
    again, done = b"", 0
    while (payload := buffer.next_payload()) is not None:
        again += rendezvous.encode_control(types, rendezvous.decode_control(types, payload))
        done += 1
    assert again == stream, "a frame of the proxy comes back changed"
    return done


# -- the two files that are no recordings of traffic -----------------------------------------------


def _own_hashes() -> set[tuple[str, str]]:
    """Return input and hash, in hex, of everything in the recordings that our code hashes."""
    found = {
        (structure_hash_input(one).hex(), structure_hash(one).hex())
        for one in known_structures().values()
    }
    for name in recordings.names():
        spoken = Spoken.of(recordings.load(name))
        for _, message in spoken.to_endpoint:
            if isinstance(message, UserList):
                digest = message.list_hash()
            elif isinstance(message, ServicesUpdated):
                digest = message.group_hash()
            else:
                continue
            _, payload = frames(catalogue.encode(_WAYS[type(message)], message))[0]
            if digest is not None:
                found.add((payload[2:].hex(), digest.hex()))
        for account in spoken.recording.services:
            digest = hostname_hash(account.hostname)
            if digest is not None:
                found.add((account.hostname.encode().hex(), digest.hex()))
    return found


_WAYS = {
    UserList: catalogue.Direction.TRACKER_TO_SERVICE,
    ServicesUpdated: catalogue.Direction.TRACKER_TO_CLIENT,
}
_OURS = {
    "service group hash, single": single_group_hash("", ""),
    "user hash": user_hash(3001, "Owner", ("Administrator",)),
    "subscription list hash": subscription_hash(
        [
            (EventKind.REPLACING, "StateChanged"),
            (EventKind.QUEUEING, "Alarm"),
            (EventKind.PRIVATE, "Note"),
        ]
    ),
}
"""Hashes of 00 whose input our code does not show, from the values that the input spells."""


def hash_vectors(path: Path) -> Cell:
    """Check each formula of 00 against its value, and that our code comes to the same."""
    found = json.loads(path.read_text("utf-8"))["vectors"]
    own = _own_hashes()
    for vector in found:
        octets, value = bytes.fromhex(vector["preimage_hex"]), vector["value_hex"]
        formula = fnv1a(octets) if "fnv1a" in vector["algorithm"] else hashlib.sha1(octets).digest()
        assert formula.hex() == value, vector["name"]
        given = [digest for key, digest in _OURS.items() if vector["name"].startswith(key)]
        if given:
            assert given[0] is not None
            assert given[0].hex() == value, vector["name"]
        else:
            assert (vector["preimage_hex"], value) in own, vector["name"]
    return Cell(f"{len(found)} hashes from values")


def index(path: Path) -> Cell:
    """Check the list of recordings against the folder: every file, connection and step."""
    listed: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["files"]
    steps = 0
    for entry in listed:
        recording = recordings.load(entry["file"].split("-")[0])
        assert recording.name == entry["scenario"]
        assert len(recording.connections) == entry["connections"], entry["file"]
        assert len(recording.steps) == entry["messages"], entry["file"]
        steps += len(recording.steps)
    files = {one.name for one in path.parent.glob("*.json")} - {path.name, "00-hash-vectors.json"}
    assert files == {entry["file"] for entry in listed}
    return Cell(f"{count(len(listed), 'recording')}, {count(steps, 'step')}, none missing")
