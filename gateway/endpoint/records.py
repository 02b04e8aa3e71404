"""Files of checked records that can be read whatever moment the power failed in.

A file begins with a mark, then records follow: length and CRC-32 of the body, four octets each,
and the body. A file is only ever appended to, or written anew under another name and renamed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from gateway.base.errors import HostError

_MARK = b"softnet-state 1\n"
_HEAD = struct.Struct(">II")
BODY_MAX = 32_767
"""Octets of one record, as in the reference (03 section 3.5)."""
FILE_MAX = 64 * 1024 * 1024
"""Octets that are read of a file; ours are far smaller, so a larger one is damaged."""
SLACK = 64 * 1024
"""Octets that may be of records that count no more before a file is written anew."""
_PART = 1024 * 1024


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
