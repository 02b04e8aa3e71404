"""The recordings of the reference programs as typed values; they are read, never changed.

`load("02")` finds `02-service-reconnect.json` by the part before the first hyphen. Steps come in
recorded order over all connections; `octets` are those of one frame, header or datagram.
"""

from __future__ import annotations

import enum
import functools
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "vectors"


class Way(enum.StrEnum):
    """What a step is; the values are those of the recordings' `dir`."""

    OPENED = "open"
    TO_SERVER = "c2s"
    TO_ENDPOINT = "s2c"
    ENDPOINT_ENDED = "eof-c2s"
    SERVER_ENDED = "eof-s2c"
    ENDPOINT_RESET = "reset-c2s"
    SERVER_RESET = "reset-s2c"
    CUT = "relay-abort"
    CLOSED = "closed"
    DATAGRAM = "datagram"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened; `at` is in seconds since the start of the recording."""

    at: float
    connection: int
    way: Way
    octets: bytes = b""
    name: str = ""


@dataclass(frozen=True, slots=True)
class RecordedConnection:
    """One TCP connection; `speaker` is 'service', 'client', '?' or ''."""

    id: int
    kind: str
    speaker: str
    account: str

    @property
    def to_tracker(self) -> bool:
        return self.kind.startswith("tracker")

    @property
    def to_balancer(self) -> bool:
        return self.kind.startswith("balancer")


@dataclass(frozen=True, slots=True)
class Account:
    """A service (named by `uid`) or a stateful client (by `key`) and its stored password."""

    id: int
    site_id: int
    salt: bytes
    salted_password: bytes
    password: str
    uid: bytes = b""
    hostname: str = ""
    key: str = ""
    user_id: int = 0


@dataclass(frozen=True)
class Recording:
    """A whole scenario; `raw` is the file as it is, for what has no typed form."""

    name: str
    description: str
    connections: dict[int, RecordedConnection]
    steps: tuple[Step, ...]
    services: tuple[Account, ...]
    clients: tuple[Account, ...]
    raw: dict[str, Any]

    def of(self, connection: int) -> tuple[Step, ...]:
        """Return the steps of one connection."""
        return tuple(step for step in self.steps if step.connection == connection)

    def stream(self, connection: int, way: Way) -> bytes:
        """Return the exact byte stream of one connection in one direction."""
        return b"".join(step.octets for step in self.of(connection) if step.way is way)

    def tracker_connections(self) -> tuple[RecordedConnection, ...]:
        """Return the connections to the tracker in the order in which they were opened."""
        return tuple(found for found in self.connections.values() if found.to_tracker)

    def balancer_exchanges(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return question and answer of every connection to the balancer."""
        return tuple(
            (self.stream(found.id, Way.TO_SERVER), self.stream(found.id, Way.TO_ENDPOINT))
            for found in self.connections.values()
            if found.to_balancer
        )


def names() -> tuple[str, ...]:
    """Return the short names of all recordings of traffic, '01' to '18'."""
    files = sorted(path.name for path in (FOLDER / "transcripts").glob("*-*.json"))
    return tuple(file.split("-")[0] for file in files if not file.startswith("00-"))


@functools.cache
def load(name: str) -> Recording:
    """Return the recording whose file name begins with `name` and a hyphen."""
    (path,) = (FOLDER / "transcripts").glob(f"{name}-*.json")
    raw = json.loads(path.read_text("utf-8"))
    connections = {
        entry["id"]: RecordedConnection(
            entry["id"], entry["kind"], entry.get("endpoint_type", ""), entry.get("account", "")
        )
        for entry in raw["connections"]
    }
    steps = tuple(
        Step(
            entry["t"],
            entry["conn"] if isinstance(entry["conn"], int) else 0,
            Way(entry["dir"]),
            bytes.fromhex(entry.get("hex", "")),
            entry.get("message", ""),
        )
        for entry in raw["messages"]
    )
    accounts = raw["accounts"]
    return Recording(
        raw["scenario"],
        raw["description"],
        connections,
        steps,
        tuple(_account(entry, "service_id") for entry in accounts["services"]),
        tuple(_account(entry, "client_id") for entry in accounts["clients"]),
        raw,
    )


def _account(entry: dict[str, Any], id_key: str) -> Account:
    return Account(
        entry[id_key],
        entry["site_id"],
        bytes.fromhex(entry["salt_hex"]),
        bytes.fromhex(entry["salted_password_hex"]),
        entry["password"],
        uid=uuid.UUID(entry["service_uid"]).bytes if "service_uid" in entry else b"",
        hostname=entry.get("hostname", ""),
        key=entry.get("client_key", ""),
        user_id=entry.get("user_id", 0),
    )


def vectors(name: str) -> dict[str, Any]:
    """Return one file of golden vectors, 'asn1' to 'site_structure', as it is."""
    found: dict[str, Any] = json.loads((FOLDER / "vectors" / f"{name}.json").read_text("utf-8"))
    return found
