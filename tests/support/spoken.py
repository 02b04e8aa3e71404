"""What was said in a recording, decoded, and what all recordings together tell."""

from __future__ import annotations

import dataclasses
import functools

from gateway.base.errors import RemoteError
from gateway.model.structure import SiteStructure
from gateway.wire import catalogue
from gateway.wire.catalogue import Direction
from gateway.wire.installer import UploadSiteStructure
from gateway.wire.message import Message
from gateway.wire.structure import structure_hash
from tests.support import recordings
from tests.support.recordings import Account, RecordedConnection, Recording, Step, Way

Said = tuple[Step, Message]
STATELESS_SITE = 1001
"""The site of the clients without account in the recordings."""


def direction_of(connection: RecordedConnection, way: Way) -> Direction:
    """Return the table of messages for one direction of a connection to the tracker."""
    service = connection.speaker == "service"
    if way is Way.TO_SERVER:
        return Direction.SERVICE_TO_TRACKER if service else Direction.CLIENT_TO_TRACKER
    return Direction.TRACKER_TO_SERVICE if service else Direction.TRACKER_TO_CLIENT


def frames(octets: bytes) -> list[tuple[bytes, bytes]]:
    """Return each whole frame of a stream and its payload; what is no frame ends the list."""
    found: list[tuple[bytes, bytes]] = []
    at = 0
    while at < len(octets):
        size = octets[at] & 0x7F if octets[at] >= 0x80 else 0
        head = at + 1 + size
        length = int.from_bytes(octets[at + 1 : head], "big") if size else octets[at]
        if size > 4 or head + length > len(octets):
            break
        found.append((octets[at : head + length], octets[head : head + length]))
        at = head + length
    return found


@dataclasses.dataclass(frozen=True)
class Spoken:
    """A recording with everything that passed between endpoints and the tracker decoded.

    What cannot be decoded, malformed on purpose, is left out.
    """

    recording: Recording
    to_server: tuple[Said, ...]
    to_endpoint: tuple[Said, ...]

    @classmethod
    def of(cls, recording: Recording) -> Spoken:
        if not recording.services and not recording.clients:
            services, clients = all_accounts()
            recording = dataclasses.replace(recording, services=services, clients=clients)
        return cls(
            recording,
            tuple(_messages(recording, Way.TO_SERVER)),
            tuple(_messages(recording, Way.TO_ENDPOINT)),
        )

    def site_of(self, connection: int) -> int:
        """Return the site that a connection's endpoint belongs to."""
        text = self.recording.connections[connection].account
        for account in self.recording.services:
            if text.startswith(f"service {account.id} "):
                return account.site_id
        for account in self.recording.clients:
            if text.startswith(f"client {account.id} "):
                return account.site_id
        return STATELESS_SITE

    def client_of(self, connection: int) -> int:
        """Return the id of a stateful client, 0 for everybody else."""
        text = self.recording.connections[connection].account
        return next((a.id for a in self.recording.clients if f"client {a.id} " in text), 0)


def _messages(recording: Recording, way: Way) -> list[Said]:
    found: list[Said] = []
    for step in recording.steps:
        connection = recording.connections.get(step.connection)
        if step.way is not way or connection is None or not connection.to_tracker:
            continue
        if step.name.startswith("HELLO"):
            continue
        for _, payload in frames(step.octets):
            try:
                found.append((step, catalogue.decode(direction_of(connection, way), payload)))
            except RemoteError:
                continue
    return found


@functools.cache
def known_structures() -> dict[bytes, SiteStructure]:
    """Return every structure that a service uploads in any recording, by its hash."""
    return {
        structure_hash(message.structure): message.structure
        for name in recordings.names()
        for _, message in _messages(recordings.load(name), Way.TO_SERVER)
        if isinstance(message, UploadSiteStructure)
    }


@functools.cache
def all_accounts() -> tuple[tuple[Account, ...], tuple[Account, ...]]:
    """Return every service and client of any recording, for those that name none."""
    loaded = [recordings.load(name) for name in recordings.names()]
    services = {a.id: a for recording in loaded for a in recording.services}
    clients = {a.id: a for recording in loaded for a in recording.clients}
    return tuple(services.values()), tuple(clients.values())


def told(connection: RecordedConnection, octets: bytes) -> list[str]:
    """Return what a tracker said on a connection as lines that can be compared and read."""
    lines: list[str] = []
    for frame, payload in frames(octets):
        try:
            message = catalogue.decode(direction_of(connection, Way.TO_ENDPOINT), payload)
        except RemoteError:
            lines.append(frame.hex())
        else:
            lines.append(f"{type(message).__name__} {frame.hex()}")
    return lines
