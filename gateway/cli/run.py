"""`softnet-gateway run`: the daemon, from settings to its last farewell."""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.appliance.notify import journal_handler
from gateway.base.clock import SystemClock
from gateway.base.errors import HostError
from gateway.cli import config
from gateway.telemetry import logs

DEMO_CAMERAS_MAX = 64
"""Each is a program of its own on this machine."""


def main(arguments: Sequence[str]) -> int:
    """Run the gateway until it is told to end; return the exit code.

    Raises SettingsError for settings at fault and HostError where the state cannot be kept.
    """
    options = _options(arguments)
    loaded = config.load(options)
    state = prepared_state(options.state)
    logs.set_up(loaded.settings.log, clock=SystemClock(), journal=journal_handler())
    # Everything heavy comes with this import; a fault in the settings is told without it.
    run: Callable[..., int] = importlib.import_module("gateway.app").run
    return run(loaded.settings, state=state, demo=options.demo)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="softnet-gateway run", description=__doc__)
    config.add_source_options(parser)
    parser.add_argument(
        "--state",
        type=Path,
        default=_default_state(),
        metavar="FOLDER",
        help="folder of the registry, keys and codes (default: %(default)s)",
    )
    parser.add_argument(
        "--demo",
        type=int,
        default=0,
        choices=range(DEMO_CAMERAS_MAX + 1),
        metavar="N",
        help="also start N virtual cameras on this machine",
    )
    return parser.parse_args(arguments)


def _default_state() -> Path:
    # systemd names the state folder of a service; several are separated by colons.
    named = os.environ.get("SOFTNET_GATEWAY_STATE") or os.environ.get("STATE_DIRECTORY", "")
    return Path(named.partition(":")[0] or "var")


def prepared_state(folder: Path) -> Path:
    """Return the state folder, made where it is missing and closed to other users.

    Raises HostError where it cannot be made or written.
    """
    # What is made from here on is for our user alone: keys, passwords, the registry.
    os.umask(0o077)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(f"The state folder {folder} cannot be made: {error.strerror}.") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise HostError(f"The state folder {folder} cannot be written; give it to this user.")
    return folder.resolve()
