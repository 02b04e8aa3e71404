"""A life of every conversation machine: what its peer says, and what its owner does meanwhile.

Between two groups the peer waits for the owner; within a group it does not. Together the lives hold
every message that exists.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.base.secret import Secret
from gateway.model.kinds import (
    EventKind,
    TransportKind,
)
from gateway.model.structure import EventDefinition, SiteStructure
from gateway.protocol.machine import Conversation
from gateway.wire import catalogue
from gateway.wire import rendezvous as rzv
from gateway.wire.catalogue import Direction
from gateway.wire.digest import salted_password
from gateway.wire.message import Message
from tests.protocol.endpoint_bench import CAMERA
from tests.transcripts.endpoint_frames import ScriptedEntropy

TCP, UDP = TransportKind.TCP, TransportKind.UDP
UID, KEY, HASH = b"u" * 16, b"k" * 20, b"h" * 20
EMPTY = b"\x30\x00"
ADDRESS = b"\x7f\x00\x00\x05"
SALT = b"s" * 16
STORED = salted_password(SALT, "pass")
SECRET = Secret("f29f16b1-e52c-439c-9b82-7520b3bed9f5")
WHEN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
SITE = SiteStructure(
    CAMERA.service_type, CAMERA.contract_author, CAMERA.guest_support, CAMERA.roles,
    CAMERA.owner_role, (
        EventDefinition(EventKind.REPLACING, "Status"),
        EventDefinition(EventKind.QUEUEING, "Alarm", 60, 10),
        EventDefinition(EventKind.PRIVATE, "Note", 60),
    ),
)  # fmt: skip
Machine = Conversation[Any]
Said = tuple[Message | None, bytes]
"""A message and its octets; no message for what has another form."""


@dataclass(frozen=True)
class Life:
    """How a started machine comes about, what it hears, and what its owner does at each report."""

    name: str
    make: Callable[[], Machine]
    groups: Sequence[Sequence[Said]]
    act: Callable[[Machine, object], None]

    def __str__(self) -> str:
        return self.name


def numbered() -> ScriptedEntropy:
    """Return entropy whose uids count."""
    entropy = ScriptedEntropy()
    entropy.next_uids = [bytes([number]) * 16 for number in range(1, 100)]
    return entropy


def _in(direction: Direction, *messages: Message) -> list[Said]:
    return [(message, catalogue.encode(direction, message)) for message in messages]


def t2s(*messages: Message) -> list[Said]:
    return _in(Direction.TRACKER_TO_SERVICE, *messages)


def t2c(*messages: Message) -> list[Said]:
    return _in(Direction.TRACKER_TO_CLIENT, *messages)


def s2t(*messages: Message) -> list[Said]:
    return _in(Direction.SERVICE_TO_TRACKER, *messages)


def c2t(*messages: Message) -> list[Said]:
    return _in(Direction.CLIENT_TO_TRACKER, *messages)


def tcp(*messages: Message) -> list[Said]:
    return [(message, rzv.encode_control(rzv.TCP_TYPES, message)) for message in messages]


def udp(*messages: Message) -> list[Said]:
    return [(message, rzv.encode_control(rzv.UDP_TYPES, message)) for message in messages]


def started(machine: Machine) -> Machine:
    machine.start(0.0)
    return machine


def nothing(_machine: Machine, _report: object) -> None:
    pass
