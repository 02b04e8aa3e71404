"""Our balancer and tracker say, octet for octet, what the reference said in every recording.

The endpoints' octets of a recording are fed in recorded order; what our server says is compared on
each connection. Where we differ on purpose, the difference and its reason stand in `DIFFERENT`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import pytest

from gateway.protocol.balancer import BalancerAsked, BalancerServer
from gateway.wire.codes import ErrorCode
from tests.support import recordings
from tests.support.recordings import Way
from tests.support.replay import Replay
from tests.support.spoken import told

SERVER_ADDRESS = ipaddress.ip_address("127.0.0.1")


@dataclass(frozen=True)
class Different:
    """What the reference says on a connection, what we say in its place, and why.

    An empty text is nothing.
    """

    reference: str
    ours: str
    why: str


DIFFERENT: dict[tuple[str, int], Different] = {
    ("14", 4): Different(
        "UserUpdated 1a0703301602020bba1606416c69736f6e30080202138a02021389",
        "UserUpdated 1a0703301602020bba1606416c69736f6e3008020213890202138a",
        "the reference repeats role ids in the order management gave them; ours ascend, as in the "
        "list that its hash is made of (01 section 12.2)",
    ),
    ("15", 4): Different(
        "ServiceCallRequest 330e01302f0410c7d6e60195f040ccb030dcdd164661e11607476574496e666f"
        "020105020100020101040930070c0568656c6c6f",
        "",
        "user kind 5 costs the reference's service its session (03, trap R1)",
    ),
    ("15", 8): Different(
        "",
        "CallRefused 190e0330150410c7d6e60195f040ccb030dcdd164661e1020170",
        "the stateless guest is refused in the service's place (03, trap R1)",
    ),
    ("17", 6): Different(
        "040000005c",
        "040001005c",
        "the reference's endpoints expect type 1 for a version error (01 section 3.5)",
    ),
}


def compare(name: str, replay: Replay, different: dict[tuple[str, int], Different]) -> None:
    recording = replay.recording
    for connection in recording.tracker_connections():
        reference = told(connection, recording.stream(connection.id, Way.TO_ENDPOINT))
        ours = told(connection, replay.sent(connection.id))
        known = different.get((name, connection.id))
        if known is not None:
            assert known.ours in ours or not known.ours, known.why
            if known.reference:
                at = reference.index(known.reference)
                reference[at : at + 1] = [known.ours] if known.ours else []
            else:
                reference.insert(ours.index(known.ours), known.ours)
        assert ours == reference, f"connection {connection.id} of {name}"


@pytest.mark.parametrize("name", recordings.names())
def test_the_tracker_says_what_the_reference_said(name: str) -> None:
    compare(name, Replay(recordings.load(name)).run(), DIFFERENT)


@pytest.mark.parametrize("name", recordings.names())
def test_segmentation_changes_nothing(name: str) -> None:
    compare(name, Replay(recordings.load(name), octet_by_octet=True).run(), DIFFERENT)


def test_stateless_guests_pass_where_the_setting_says_so() -> None:
    replay = Replay(recordings.load("15"), stateless_guests_pass=True).run()
    compare("15", replay, {})


def test_every_difference_is_still_one() -> None:
    for name, connection in DIFFERENT:
        recording = recordings.load(name)
        replay = Replay(recording).run()
        assert replay.sent(connection) != recording.stream(connection, Way.TO_ENDPOINT)


@pytest.mark.parametrize("name", recordings.names())
def test_the_balancer_says_what_the_reference_said(name: str) -> None:
    recording = recordings.load(name)
    uids = {
        account.uid for other in recordings.names() for account in recordings.load(other).services
    }
    keys = {
        account.key: account.site_id
        for other in recordings.names()
        for account in recordings.load(other).clients
    }
    sites = {
        site["site_key"]: site["site_id"]
        for other in recordings.names()
        for site in recordings.load(other).raw["accounts"]["sites"]
    }
    for question, answer in recording.balancer_exchanges():
        # The recorded server had a name; one of 10b's questions calls it by another.
        machine = BalancerServer("softnet.example")
        machine.start(0.0)
        machine.feed(question, 0.1)
        machine.feed(b"", 0.2)
        asked = machine.next_event()
        if isinstance(asked, BalancerAsked):
            request = asked.request
            found = sites if request.category and request.category.stateless else keys
            if request.service_uid is not None:
                known = request.service_uid in uids
                code = ErrorCode.SERVICE_NOT_REGISTERED
            else:
                known = request.key in found
                code = ErrorCode.CLIENT_NOT_REGISTERED
            single = known and found.get(request.key or "") == 1002
            if known and request.category and (request.category.site_kind == 1) is not single:
                known, code = False, ErrorCode.INVALID_CLIENT_CATEGORY
            if known:
                machine.found(SERVER_ADDRESS)
            else:
                machine.refuse(code)
        assert machine.outgoing() == answer
        assert machine.finished
