"""The sealed store of camera logins and service passwords.

One file; each record is sealed with AES-256-GCM under its own nonce, with its name as associated
data, so that records cannot be swapped. The key lies beside the state (mode 0600) or comes as a
systemd credential. The file is written whole: temporary file, fsync, rename, fsync of the folder.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.base.entropy import Entropy
from gateway.base.errors import HostError, InvalidInput, QuotaExceeded
from gateway.base.secret import Secret

FORMAT = "softnet-camera-gateway vault"
VERSION = 1
KEY_OCTETS = 32
NONCE_OCTETS = 12
NAME_MAX = 300
"""Characters of a record's name: a kind and a device identity of up to 256."""
FIELDS_MAX = 16
FIELD_MAX = 1024
"""Characters of one field; camera passwords have at most 256."""
RECORDS_MAX = 20_000
FILE_MAX = 64 * 1024 * 1024
"""Octets of a vault file that is believed: RECORDS_MAX of the usual size and room to spare."""
CREDENTIAL_NAME = "vault.key"
_CHECK = "check"
_DATA_PREFIX = b"softnet-camera-gateway vault 1\0"


class Vault:
    """Records of named secrets. `put` and `delete` return when the disk has them."""

    def __init__(self, path: Path, key: bytes, entropy: Entropy) -> None:
        self._path = path
        self._cipher = AESGCM(key)
        self._entropy = entropy
        self._sealed: dict[str, bytes] = {}
        self._writing = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path, *, entropy: Entropy, key_path: Path | None = None) -> Self:
        """Open the vault at `path`, or begin an empty one; a missing key is made for a new one.

        The key is systemd's credential `vault.key` where there is one, else the file `key_path`
        (default: `vault.key` beside the vault). Raises HostError with a sentence for people when
        the key does not fit or a file is damaged.
        """
        return await asyncio.to_thread(cls._open, path, entropy, key_path)

    @classmethod
    def _open(cls, path: Path, entropy: Entropy, key_path: Path | None) -> Self:
        try:
            stored = _read(path, FILE_MAX)
            key = _key(key_path or path.with_name(CREDENTIAL_NAME), entropy, new=stored is None)
            vault = cls(path, key, entropy)
            if stored is not None:
                vault._load(stored)
        except OSError as error:
            raise HostError(
                f"The vault {path} cannot be used: {error.strerror}. Check its folder and owner."
            ) from error
        return vault

    def names(self) -> tuple[str, ...]:
        """Return the names of all records."""
        return tuple(sorted(self._sealed))

    def get(self, name: str) -> Mapping[str, Secret] | None:
        """Return the fields of a record, or None. Raises HostError when it cannot be unsealed."""
        sealed = self._sealed.get(name)
        if sealed is None:
            return None
        fields = json.loads(self._unseal(name, sealed))
        return {key: Secret(value) for key, value in fields.items()}

    async def put(self, name: str, fields: Mapping[str, Secret]) -> None:
        """Store a record in place of an older one of this name.

        Raises InvalidInput, QuotaExceeded, HostError (nothing was changed then).
        """
        if not 0 < len(name) <= NAME_MAX:
            raise InvalidInput(f"A record's name has 1 to {NAME_MAX} characters.", "name")
        plain = {key: value.reveal() for key, value in fields.items()}
        if len(plain) > FIELDS_MAX or any(
            len(text) > FIELD_MAX for pair in plain.items() for text in pair
        ):
            raise InvalidInput(f"A secret has at most {FIELD_MAX} characters.", "password")
        async with self._writing:
            if name not in self._sealed and len(self._sealed) >= RECORDS_MAX:
                raise QuotaExceeded(f"The vault is full: it holds {RECORDS_MAX} records.")
            sealed = self._seal(name, json.dumps(plain).encode())
            await self._write({**self._sealed, name: sealed})

    async def delete(self, name: str) -> None:
        """Remove a record; nothing happens when there is none. Raises HostError."""
        async with self._writing:
            if name in self._sealed:
                rest = {key: sealed for key, sealed in self._sealed.items() if key != name}
                await self._write(rest)

    async def _write(self, records: dict[str, bytes]) -> None:
        document = {
            "format": FORMAT,
            "version": VERSION,
            "check": _text(self._seal(_CHECK, FORMAT.encode(), kind=b"check\0")),
            "records": {name: _text(sealed) for name, sealed in sorted(records.items())},
        }
        octets = json.dumps(document, indent=1).encode()
        # Shielded: a cancelled caller must not leave memory and disk with different records.
        await asyncio.shield(asyncio.to_thread(_replace, self._path, octets))
        self._sealed = records

    def _load(self, stored: bytes) -> None:
        damaged = HostError(f"The vault {self._path} is damaged. Restore it from a backup.")
        try:
            document = json.loads(stored)
            if document["format"] != FORMAT:
                raise damaged
            if document["version"] != VERSION:
                raise HostError(
                    f"The vault {self._path} was written by a later version of the gateway. "
                    "Install that version, or restore an older vault."
                )
            check = _octets(document["check"])
            records = {str(name): _octets(text) for name, text in document["records"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise damaged from None
        self._unseal(_CHECK, check, kind=b"check\0")
        self._sealed = records

    def _seal(self, name: str, plain: bytes, kind: bytes = b"record\0") -> bytes:
        nonce = self._entropy.octets(NONCE_OCTETS)
        return nonce + self._cipher.encrypt(nonce, plain, _DATA_PREFIX + kind + name.encode())

    def _unseal(self, name: str, sealed: bytes, kind: bytes = b"record\0") -> bytes:
        data = _DATA_PREFIX + kind + name.encode()
        try:
            return self._cipher.decrypt(sealed[:NONCE_OCTETS], sealed[NONCE_OCTETS:], data)
        except (InvalidTag, ValueError):
            raise HostError(
                f"The vault {self._path} cannot be opened with this key, or was changed. Put the "
                "key back that belongs to it, or restore both from the same backup."
            ) from None


def _key(path: Path, entropy: Entropy, *, new: bool) -> bytes:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    credential = Path(folder) / CREDENTIAL_NAME if folder else None
    if credential is not None and credential.exists():
        path = credential
    stored = _read(path, 4096)
    if stored is None:
        if not new:
            raise HostError(
                f"The key {path} of the vault is missing. Put it back from a backup; without it "
                "the passwords of all cameras have to be typed in again."
            )
        stored = _text(entropy.octets(KEY_OCTETS)).encode() + b"\n"
        _replace(path, stored)
    try:
        key = base64.b64decode(stored.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_OCTETS:
        raise HostError(f"The file {path} holds no key for the vault. Restore it from a backup.")
    return key


def _read(path: Path, limit: int) -> bytes | None:
    try:
        with path.open("rb") as file:
            octets = file.read(limit + 1)
    except FileNotFoundError:
        return None
    if len(octets) > limit:
        raise HostError(f"The file {path} is too large to be what it should be.")
    return octets


def _replace(path: Path, octets: bytes) -> None:
    """Write a whole file so that after a power cut either the old or the new one is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    try:
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise HostError(
            f"The file {path} cannot be written: {error.strerror}. Nothing was changed; free some "
            "space or check the folder's owner."
        ) from error


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def _octets(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
