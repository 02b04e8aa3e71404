"""What of an endpoint's events outlives its program: files of checked records (03 3.5 and 5.5).

A file begins with a mark, then records follow: length and CRC-32 of the body, four octets each,
and the body. The first body says whose file it is. A file is only ever appended to, or written anew
under another name and renamed; whatever moment the power fails in, it can be read afterwards.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from gateway.asn1.errors import DecodeError
from gateway.asn1.reader import SequenceReader
from gateway.asn1.writer import SequenceWriter
from gateway.base.entropy import Entropy
from gateway.base.errors import HostError
from gateway.base.setting import check, setting
from gateway.model.kinds import EventKind
from gateway.protocol.endpoint_outbox import Kept, Raised, check_capacity

_MARK = b"softnet-state 1\n"
_HEAD = struct.Struct(">II")
BODY_MAX = 32_767
"""Octets of one record, as in the reference (03 section 3.5)."""
FILE_MAX = 64 * 1024 * 1024
"""Octets that are read of a file; ours are far smaller, so a larger one is damaged."""
SLACK = 64 * 1024
"""Octets that may be of records that count no more before a file is written anew."""
_PART = 1024 * 1024
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


class _Damaged(Exception):
    pass


class RecordFile:
    """Records of one owner in one file that this process has for itself.

    Every failure is a HostError, and the file is given up. One that was written to is removed then:
    what follows would be missing in it.
    """

    def __init__(self, path: Path, *, durable: bool) -> None:
        self._path = path
        self._durable = durable
        self._handle = -1
        self._size = 0
        self.problem = ""

    def load(self) -> list[bytes]:
        """Return all bodies, none when the file is new or damaged; `problem` says what was wrong.

        A last record that was not written to its end is left out: nobody was told of it.
        """
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._handle = handle
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle).st_ino != self._path.stat().st_ino:
                raise BlockingIOError("it was replaced in this moment")
            octets = b""
            while len(octets) <= FILE_MAX and (part := os.read(handle, _PART)):
                octets += part
        except BlockingIOError as error:
            self.close()
            raise HostError(f"{self._path} is used by another program.") from error
        except OSError as error:
            self.close()
            raise HostError(f"{self._path} cannot be read: {error.strerror}.") from error
        try:
            return _bodies(octets)
        except _Damaged:
            self.set_aside(f"{self._path} was damaged.")
            return []

    def set_aside(self, why: str) -> None:
        """Keep the file under another name; ours begins anew."""
        aside = self._path.with_name(self._path.name + ".old")
        try:
            self._path.replace(aside)
        except OSError as error:
            self._fail(error, remove=False)
        self.problem = f"{why} It is kept as {aside.name}, and a new one was begun."

    def rewrite(self, bodies: Iterable[bytes], *, first: bool = False) -> None:
        """Replace the whole file at once; a failure leaves it as it was when it is the first."""
        octets = _MARK + b"".join(map(_record, bodies))
        fresh = self._path.with_name(f".{self._path.name}.new")
        old = self._handle
        try:
            with contextlib.suppress(FileNotFoundError):
                fresh.unlink()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._handle = os.open(fresh, flags, 0o600)
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write(self._handle, octets)
            if self._durable:
                os.fsync(self._handle)
            fresh.replace(self._path)
            if self._durable:
                folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink()
            self._fail(error, remove=not first)
        finally:
            if 0 <= old != self._handle:
                os.close(old)
        self._size = len(octets)

    def append(self, bodies: Sequence[bytes]) -> None:
        """Add records; with `durable` they are on the disk when this returns."""
        octets = b"".join(map(_record, bodies))
        try:
            _write(self._handle, octets)
            if self._durable:
                os.fdatasync(self._handle)
        except OSError as error:
            self._fail(error)
        self._size += len(octets)

    @property
    def is_open(self) -> bool:
        """Tell whether the file is in use."""
        return self._handle >= 0

    @property
    def size(self) -> int:
        """Return the octets of the file."""
        return self._size

    def close(self) -> None:
        """Close the file; it stays."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def settle(self) -> None:
        """Wait for the disk, whatever the settings are."""
        try:
            os.fsync(self._handle)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError, *, remove: bool = True) -> NoReturn:
        self.close()
        if remove:
            with contextlib.suppress(OSError):
                self._path.unlink()
        raise HostError(f"{self._path} cannot be written: {error.strerror}.") from error


def _record(body: bytes) -> bytes:
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def _write(handle: int, octets: bytes) -> None:
    while octets:
        octets = octets[os.write(handle, octets) :]


def _bodies(octets: bytes) -> list[bytes]:
    if len(octets) > FILE_MAX:
        raise _Damaged
    if not octets.startswith(_MARK):
        if _MARK.startswith(octets) or not octets.strip(b"\0"):
            return []
        raise _Damaged
    found: list[bytes] = []
    at = len(_MARK)
    while at < len(octets):
        end = start = at + _HEAD.size
        if start <= len(octets):
            length, checksum = _HEAD.unpack_from(octets, at)
            end += length
            body = octets[start:end]
            if 0 < length <= BODY_MAX and len(body) == length and zlib.crc32(body) == checksum:
                found.append(body)
                at = end
                continue
        # File systems may lengthen a file before they fill it; more than that is no interrupted
        # write, because something readable follows.
        if len(octets[at:].rstrip(b"\0")) > end - at:
            raise _Damaged
        return found
    return found


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
