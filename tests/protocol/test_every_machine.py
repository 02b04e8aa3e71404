"""Every conversation machine under every segmentation of what it hears, and under garbage.

A new machine or message fails here until it has a life in one of the `lives_of_*` modules.
"""

from __future__ import annotations

import importlib
import itertools
import pkgutil
import random

import pytest

import gateway.protocol
from gateway.base.errors import GatewayError, HostError, RemoteError
from gateway.protocol.balancer import BalancerServer
from gateway.protocol.machine import Conversation
from gateway.protocol.siteside import TrackerConnection
from gateway.wire import rendezvous
from gateway.wire.catalogue import TABLES, Direction
from gateway.wire.channel import Error
from gateway.wire.framing import FRAME_MAX, FrameBuffer
from gateway.wire.message import Message
from gateway.wire.rendezvous import ProxyError
from tests.protocol.life import Life, Machine
from tests.protocol.lives_of_endpoints import CLIENT_LIVES, SERVICE_LIVES
from tests.protocol.lives_of_servers import (
    BALANCER_LIVES,
    CONNECTOR_LIVES,
    PROXY_LIVES,
    TRACKER_LIVES,
)

AT_PROXY = (*CONNECTOR_LIVES, *PROXY_LIVES)
LIVES = (*SERVICE_LIVES, *CLIENT_LIVES, *TRACKER_LIVES, *BALANCER_LIVES, *AT_PROXY)

Outcome = tuple[list[str], list[bytes], str]
"""Reports, frames, and how it ended."""


def machines() -> set[type[Machine]]:
    """Return every machine class of the room that nothing is derived from."""
    for found in pkgutil.iter_modules(gateway.protocol.__path__):
        importlib.import_module(f"gateway.protocol.{found.name}")
    kinds: set[type[Machine]] = set()
    waiting: list[type[Machine]] = [Conversation]
    while waiting:
        kind = waiting.pop()
        below = [one for one in kind.__subclasses__() if one.__module__.startswith("gateway.")]
        waiting += below
        if not below and kind.__module__.startswith("gateway.protocol."):
            kinds.add(kind)
    return kinds


def feed(machine: Machine, life: Life, octets: bytes, told: list[str]) -> None:
    machine.feed(octets, 1.0)
    while (report := machine.next_event()) is not None:
        told.append(repr(report))
        life.act(machine, report)


def lived(life: Life, cut: list[list[bytes]]) -> Outcome:
    """Let a machine hear a life in these pieces; return its reports, frames and end.

    The owner may come to a report later or sooner, so that its frames and those that the machine
    sends by itself have no order between them.
    """
    machine, told, said = life.make(), list[str](), b""
    for group in cut:
        for piece in group:
            feed(machine, life, piece, told)
            said += machine.outgoing()
    if isinstance(machine, BalancerServer):
        return told, [said], repr(machine.finished)
    buffer, frames = FrameBuffer(FRAME_MAX, 1), list[bytes]()
    buffer.feed(said)  # the header of a stream to a tracker looks like a frame of one octet
    while (payload := buffer.next_payload()) is not None:
        frames.append(payload)
    assert not buffer.pending
    return told, sorted(frames), repr(machine.finished)


def groups_of(life: Life) -> list[list[bytes]]:
    return [[octets for _, octets in group] for group in life.groups]


def split(octets: bytes, *places: int) -> list[bytes]:
    """Cut octets at some places; an empty piece would be the end of the stream."""
    edges = [0, *places, len(octets)]
    pieces = [octets[start:end] for start, end in itertools.pairwise(edges)]
    return [piece for piece in pieces if piece] or [octets]


def test_every_machine_has_a_life() -> None:
    assert {type(life.make()) for life in LIVES} == machines()


def test_every_message_is_in_a_life() -> None:
    """Of both components where there are two, so that no entry of a table can be forgotten."""
    heard: dict[Direction, set[bytes]] = {direction: set() for direction in Direction}
    speakers = {
        Direction.TRACKER_TO_SERVICE: SERVICE_LIVES,
        Direction.TRACKER_TO_CLIENT: CLIENT_LIVES,
        Direction.SERVICE_TO_TRACKER: TRACKER_LIVES[:2],
        Direction.CLIENT_TO_TRACKER: TRACKER_LIVES[2:],
    }
    for direction, those in speakers.items():
        for life in those:
            for message, octets in (one for group in life.groups for one in group):
                if message is not None:
                    start = 1 if octets[0] < 0x80 else 1 + (octets[0] & 0x7F)
                    heard[direction].add(octets[start : start + 2])
    for direction, table in TABLES.items():
        missing = {bytes(number) for number in table} - heard[direction]
        assert not missing, f"{direction}: {sorted(one.hex() for one in missing)}"
    at_proxy: set[type[Message]] = {
        type(message)
        for life in AT_PROXY
        for group in life.groups
        for message, _ in group
        if message is not None
    }
    assert at_proxy == {*rendezvous.TCP_TYPES.values(), *rendezvous.UDP_TYPES.values()}


@pytest.mark.parametrize("life", LIVES, ids=str)
def test_nothing_that_is_right_is_refused(life: Life) -> None:
    groups = groups_of(life)
    ending = any(
        isinstance(one, Error | ProxyError) or not octets for one, octets in life.groups[-1]
    )
    told, _, end = lived(life, groups[:-1] if ending else groups)
    assert end in ("False", "True")
    assert told or isinstance(life.make(), BalancerServer)


@pytest.mark.parametrize("life", LIVES, ids=str)
def test_whole_and_octet_by_octet_are_the_same(life: Life) -> None:
    expected = lived(life, groups_of(life))
    whole = [[b"".join(group)] for group in groups_of(life)]
    assert lived(life, whole) == expected
    single = [split(octets, *range(1, len(octets))) for (octets,) in whole]
    assert lived(life, single) == expected


@pytest.mark.parametrize("life", LIVES, ids=str)
def test_any_part_of_the_next_message_may_be_attached(life: Life) -> None:
    """Each group is cut in two at every octet: a message comes with any part of what follows."""
    expected = lived(life, groups_of(life))
    whole = [b"".join(group) for group in groups_of(life)]
    for number, octets in enumerate(whole):
        for at in range(1, len(octets)):
            cut = [[one] for one in whole]
            cut[number] = split(octets, at)
            assert lived(life, cut) == expected, (number, at)


@pytest.mark.parametrize("life", LIVES, ids=str)
def test_the_stream_may_end_after_any_octet(life: Life) -> None:
    """The machine ends once, says why, and is dead: no deadline, no octets, no reports."""
    octets = [b"".join(group) for group in groups_of(life)]
    for number, group in enumerate(octets):
        for at in range(len(group)):
            machine, told = life.make(), list[str]()
            for piece in (*octets[:number], *([group[:at]] if at else []), b""):
                feed(machine, life, piece, told)
            machine.outgoing()
            ended = machine.finished
            assert ended is True or isinstance(ended, GatewayError) or _answers(machine), (
                number,
                at,
            )
            told.clear()
            feed(machine, life, group[at:] + b"\x02\x02\x01", told)
            if ended:
                assert (told, machine.outgoing()) == ([], b"")
                assert machine.finished is ended


def _answers(machine: Machine) -> bool:
    """A balancer's question ends with the end of the stream; its answer may come later."""
    return not machine.finished and machine.deadline is not None


@pytest.mark.parametrize("life", LIVES, ids=str)
def test_garbage_ends_in_a_remote_error_only(life: Life) -> None:
    """Damage at any place of any life, and noise after any part of it; the same in every run."""
    dice = random.Random(f"7740 {life.name}")
    octets = [b"".join(group) for group in groups_of(life)]
    refused = 0
    for _ in range(150):
        machine, told = life.make(), list[str]()
        broken = dice.randrange(len(octets))
        for number, group in enumerate(octets):
            piece = bytearray(group)
            if number == broken:
                for _ in range(dice.randint(1, 4)):
                    at = dice.randrange(len(piece) + 1)
                    match dice.randrange(4):
                        case 0 if at < len(piece):
                            piece[at] ^= 1 << dice.randrange(8)
                        case 1:
                            piece[at:at] = dice.randbytes(dice.randint(1, 30))
                        case 2:
                            del piece[at : at + dice.randint(1, 5)]
                        case _:
                            del piece[at:]
            places = sorted(dice.sample(range(1, len(piece)), min(3, max(len(piece) - 1, 0))))
            for part in split(bytes(piece), *places):
                feed(machine, life, part, told)
        for _ in range(20):
            due = machine.deadline
            if machine.finished or due is None:
                break
            machine.tick(due)
            while (report := machine.next_event()) is not None:
                life.act(machine, report)
        end = machine.finished
        # A limit that passes is the machine's own doing; everything else is the peer's.
        assert end in (True, False) or isinstance(end, RemoteError | HostError), repr(end)
        refused += isinstance(end, RemoteError)
        assert len(machine.outgoing()) < 100_000
    assert refused or isinstance(life.make(), BalancerServer | TrackerConnection)
