"""What of an endpoint's events outlives its program (03 sections 3.5 and 5.5).

The first record of each file says whose it is; one of somebody else is never written over.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.asn1.errors import DecodeError
from gateway.asn1.reader import SequenceReader
from gateway.asn1.writer import SequenceWriter
from gateway.base.entropy import Entropy
from gateway.base.errors import HostError
from gateway.base.setting import check, setting
from gateway.endpoint.records import SLACK, RecordFile
from gateway.model.kinds import EventKind
from gateway.protocol.endpoint_outbox import Kept, Raised, check_capacity

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class StateSettings:
    """How a file of events is kept."""

    capacity: int = setting(
        1024 * 1024, minimum=8192, maximum=16 * 1024 * 1024, unit="octets",
        help="events that wait beyond this are rejected",
    )  # fmt: skip
    durable: bool = setting(
        True,
        help="wait for the disk at each event; otherwise a power cut may lose what waited",
    )


# -- events that a service raised

_ADD, _DROP, _CLOSED = 1, 2, 3


class FileQueue:
    """Keeps what a service raised in a file, bound to the service (03 section 3.5).

    The storage uid is kept with it. It is replaced when the machine was restarted without an
    orderly end and the settings did not make records wait for the disk: some may be missing then.
    """

    def __init__(self, path: Path, settings: StateSettings | None = None) -> None:
        self._settings = settings or StateSettings()
        check(self._settings)
        self._path = path
        self._file = RecordFile(path, durable=self._settings.durable)
        self._live: dict[bytes, tuple[bytes, int]] = {}
        self._used = 0
        self._head = b""

    def open(self, service_uid: bytes, entropy: Entropy) -> Kept:
        """Return what waits; what cannot be read or belongs to another service is set aside."""
        bodies = self._file.load()
        storage_uid, raised = entropy.uid(), []
        if bodies:
            try:
                owner, uid, whole = _queue_head(bodies[0])
                closed = bodies[-1] == _bare(_CLOSED)
                raised = _queue_content(bodies[1:])
            except (DecodeError, ValueError):
                self._file.set_aside(f"{self._path} was damaged.")
            else:
                if owner != service_uid:
                    self._file.set_aside(f"{self._path} is the file of another service.")
                    raised = []
                elif whole or closed:
                    storage_uid = uid
        boot = "" if self._settings.durable else _boot()
        head = SequenceWriter().octets(service_uid).octets(storage_uid)
        self._head = head.boolean(self._settings.durable).utf8(boot).encode()
        for one in raised:
            self._live[one.instance_uid] = (_added(one), one.cost)
            self._used += one.cost
        self._rewrite(first=True)
        return Kept(storage_uid, tuple(raised), self._file.problem)

    def put(self, raised: Raised, replaced: Sequence[bytes]) -> None:
        """Append an instance and what it replaces. Raises QuotaExceeded, HostError."""
        freed = sum(self._live[uid][1] for uid in replaced if uid in self._live)
        check_capacity(self._used - freed + raised.cost, self._settings.capacity)
        body = _added(raised)
        self._file.append([body, *map(_dropped, replaced)])
        self._forget(replaced)
        self._live[raised.instance_uid] = (body, raised.cost)
        self._used += raised.cost
        self._compact()

    def drop(self, instance_uids: Sequence[bytes]) -> None:
        """Append that instances are done. Raises HostError."""
        self._file.append([_dropped(uid) for uid in instance_uids])
        self._forget(instance_uids)
        self._compact()

    def close(self) -> None:
        """Mark the file as complete and close it; safe to call again."""
        if not self._file.is_open:
            return
        with contextlib.suppress(HostError):
            self._file.append([_bare(_CLOSED)])
            self._file.settle()
        self._file.close()

    def _forget(self, uids: Iterable[bytes]) -> None:
        for uid in uids:
            _, cost = self._live.pop(uid, (b"", 0))
            self._used -= cost

    def _compact(self) -> None:
        if self._file.size > 2 * self._used + SLACK:
            self._rewrite()

    def _rewrite(self, *, first: bool = False) -> None:
        self._file.rewrite([self._head, *(body for body, _ in self._live.values())], first=first)


def _boot() -> str:
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


def _queue_head(body: bytes) -> tuple[bytes, bytes, bool]:
    """Return owner, storage uid and whether nothing can be missing after a power cut."""
    reader = SequenceReader.root(body)
    owner, uid = reader.octets(0, 16), reader.octets(16, 16)
    durable, boot = reader.boolean(), reader.utf8(0, 64)
    return owner, uid, durable or (boot != "" and boot == _boot())


def _bare(kind: int) -> bytes:
    return SequenceWriter().int32(kind).encode()


def _dropped(uid: bytes) -> bytes:
    return SequenceWriter().int32(_DROP).octets(uid).encode()


def _added(raised: Raised) -> bytes:
    writer = SequenceWriter().int32(_ADD).octets(raised.instance_uid).int32(raised.kind)
    writer.ia5(raised.name).boolean(raised.null).int64(raised.client_id)
    if raised.arguments is not None:
        writer.octets(raised.arguments, 1)
    return writer.encode()


def _queue_content(bodies: Iterable[bytes]) -> list[Raised]:
    found: dict[bytes, Raised] = {}
    for body in bodies:
        reader = SequenceReader.root(body)
        what = reader.int32(_ADD, _CLOSED)
        if what == _DROP:
            found.pop(reader.octets(16, 16), None)
        elif what == _ADD:
            uid, kind = reader.octets(16, 16), EventKind(reader.int32())
            name, null, client_id = reader.ia5(1, 256), reader.boolean(), reader.int64()
            arguments = reader.octets() if reader.has(1) else None
            found[uid] = Raised(kind, name, uid, arguments, null, client_id)
    return list(found.values())


# -- how far a client has come


class FilePositions:
    """Keeps the last handled instance of each event in a file, bound to server and client key.

    Losing the newest records costs no event: an instance may only be handled a second time.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self._path = path
        self._file = RecordFile(path, durable=durable)
        self._live: dict[str, int] = {}
        self._head = b""

    def open(self, account: str) -> tuple[Mapping[str, int], str]:
        """Return what is remembered; what cannot be read or is another account's is set aside."""
        bodies = self._file.load()
        if bodies:
            try:
                owner = SequenceReader.root(bodies[0]).utf8(0, 1024)
                found = dict(map(_position, bodies[1:]))
            except DecodeError:
                self._file.set_aside(f"{self._path} was damaged.")
            else:
                if owner == account:
                    self._live = found
                else:
                    self._file.set_aside(f"{self._path} is the file of another client.")
        self._head = SequenceWriter().utf8(account).encode()
        self._rewrite(first=True)
        return dict(self._live), self._file.problem

    def put(self, name: str, instance_id: int) -> None:
        """Append a position. Raises HostError."""
        self._live[name] = instance_id
        self._file.append([_placed(name, instance_id)])
        if self._file.size > 2 * sum(map(len, self._live)) + SLACK:
            self._rewrite()

    def close(self) -> None:
        """Close the file; it stays."""
        self._file.close()

    def _rewrite(self, *, first: bool = False) -> None:
        records = (_placed(*item) for item in self._live.items())
        self._file.rewrite([self._head, *records], first=first)


def _placed(name: str, instance_id: int) -> bytes:
    return SequenceWriter().ia5(name).int64(instance_id).encode()


def _position(body: bytes) -> tuple[str, int]:
    reader = SequenceReader.root(body)
    return reader.ia5(1, 256), reader.int64()
