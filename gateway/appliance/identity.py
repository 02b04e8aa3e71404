"""Who this box is: a short number made once, kept in the state, shown in names and topics.

It is no secret and proves nothing. It tells two boxes of one office apart, and stays the same
through renaming, new addresses and updates.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from gateway.base.entropy import Entropy
from gateway.base.errors import HostError

FILE_NAME = "gateway.id"
LENGTH = 8
# Lower case and digits without those that are mistaken for one another when read aloud.
ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"

_FORM = re.compile(r"[a-z0-9]{4,32}")


def own_id(state: Path, entropy: Entropy) -> str:
    """Return the box's number from its state folder; make it at the first start.

    Raises HostError where the file cannot be read or made, or holds something else.
    """
    path = state / FILE_NAME
    try:
        kept = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return _made(path, entropy)
    except (OSError, UnicodeDecodeError) as error:
        raise HostError(f"{path} cannot be read: {error}.") from None
    if not _FORM.fullmatch(kept):
        raise HostError(f"{path} does not hold a box's number; remove it to have a new one made.")
    return kept


def _made(path: Path, entropy: Entropy) -> str:
    number = entropy.text(ALPHABET, LENGTH)
    fresh = path.with_suffix(".new")
    try:
        # Written, made durable, then renamed: after a power cut it is whole or not there.
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, f"{number}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        fresh.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise HostError(f"{path} cannot be made: {error.strerror}.") from None
    return number
