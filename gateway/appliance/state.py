"""The state folder: one gateway at a time, and small texts that are made once and kept."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from gateway.base.errors import HostError

LOCK_FILE = "lock"


def kept_text(path: Path, make: Callable[[], str]) -> str:
    """Return the first line of a file of ours, written with `make()` when it is not there.

    Raises HostError when it can be neither read nor written.
    """
    try:
        found = path.read_text(encoding="ascii").strip()
        if found:
            return found
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise HostError(f"{path} cannot be read: {error}. Restore it or remove it.") from error
    text = make()
    fresh = path.with_name(f".{path.name}.new")
    try:
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise HostError(f"{path} cannot be written: {error.strerror}.") from error
    return text


def locked(state: Path) -> int:
    """Return a descriptor that holds the state folder for this process alone.

    Raises HostError when another gateway uses the folder: its changes would not be heard here.
    """
    handle = os.open(state / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise HostError(
            f"Another gateway uses the state in {state}. Stop it or choose another folder."
        ) from error
    return handle
