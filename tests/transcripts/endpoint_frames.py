"""What recordings say and what our sessions send, frame by frame; randomness as recorded."""

from __future__ import annotations

import functools

from gateway.model.structure import SiteStructure
from gateway.wire import catalogue
from gateway.wire.catalogue import Direction, decode
from gateway.wire.framing import FRAME_MAX, FrameBuffer, frame
from gateway.wire.installer import UploadSiteStructure
from gateway.wire.message import Message
from gateway.wire.structure import structure_hash
from tests.support.recordings import Recording, Way, load, names


class ScriptedEntropy:
    """Hands out what it was given, in order, and counts on after that."""

    def __init__(self) -> None:
        self.next_octets: list[bytes] = []
        self.next_uids: list[bytes] = []

    def octets(self, count: int) -> bytes:
        return self.next_octets.pop(0) if self.next_octets else bytes(count)

    def uid(self) -> bytes:
        return self.next_uids.pop(0) if self.next_uids else bytes(16)

    def text(self, alphabet: str, count: int) -> str:
        return alphabet[0] * count


def messages(
    recording: Recording, connection: int, way: Way, direction: Direction
) -> list[Message]:
    """Return what was said on a tracker connection in one direction, as far as it can be read."""
    stream = recording.stream(connection, way)
    if way is Way.TO_SERVER:
        stream = stream[2:]
    frames = FrameBuffer(FRAME_MAX)
    frames.feed(stream)
    found = []
    while (payload := frames.next_payload()) is not None:
        found.append(decode(direction, payload))
    return found


@functools.cache
def structures() -> dict[bytes, SiteStructure]:
    """Return every structure that was ever uploaded, by its hash."""
    found: dict[bytes, SiteStructure] = {}
    for name in names():
        if name == "17":
            continue
        recording = load(name)
        for connection in recording.tracker_connections():
            if connection.speaker == "service":
                for message in messages(
                    recording, connection.id, Way.TO_SERVER, Direction.SERVICE_TO_TRACKER
                ):
                    if isinstance(message, UploadSiteStructure):
                        found[structure_hash(message.structure)] = message.structure
    return found


class Frames:
    """What a session sent: the stream header, then whole frames."""

    def __init__(self) -> None:
        self._frames = FrameBuffer(FRAME_MAX)
        self.found: list[bytes] = []

    def add(self, octets: bytes) -> None:
        if not self.found and octets:
            self.found.append(octets[:2])
            octets = octets[2:]
        self._frames.feed(octets)
        while (payload := self._frames.next_payload()) is not None:
            self.found.append(frame(payload))


def of_events(octets: bytes) -> bool:
    """Tell whether a frame is of module 15."""
    at = 1 if octets[0] < 0x80 else 1 + (octets[0] & 0x7F)
    return len(octets) > 2 and octets[at] == catalogue.EVENTS
