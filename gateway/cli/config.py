"""`softnet-gateway config`: look settings over, render the files, show what is in force."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.base.errors import HostError
from gateway.settings import loader, render

SYSTEM_FILE = Path("/etc/softnet-gateway/gateway.toml")


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where settings come from; shared with `run`."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file to read")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="one setting, over file and environment; may be repeated",
    )


def load(options: argparse.Namespace) -> loader.Loaded:
    """Return the settings that the options, the environment and the file give.

    Without --config it is SOFTNET_GATEWAY_CONFIG, else the system's file where there is one.
    Raises SettingsError with the place of a fault.
    """
    file: Path | None = options.config
    if file is None and (named := os.environ.get("SOFTNET_GATEWAY_CONFIG")):
        file = Path(named)
    if file is None and SYSTEM_FILE.is_file():
        file = SYSTEM_FILE
    return loader.load(file, os.environ, options.overrides)


def main(arguments: Sequence[str]) -> int:
    """Run `config`; return the exit code. Raises SettingsError for settings at fault."""
    parser = argparse.ArgumentParser(prog="softnet-gateway config", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="check|show|render")
    check = verbs.add_parser("check", help="say whether the settings can be used")
    check.add_argument("file", nargs="?", type=Path, help="settings file, instead of --config")
    show = verbs.add_parser("show", help="print what is in force; secrets are masked")
    for verb in (check, show):
        add_source_options(verb)
    rendering = verbs.add_parser("render", help="print all settings with defaults and help")
    rendering.add_argument("--schema", action="store_true", help="print the JSON schema instead")
    rendering.add_argument(
        "--write", type=Path, metavar="FOLDER", help="write gateway.toml and gateway.schema.json"
    )
    options = parser.parse_args(arguments)
    if options.verb == "check":
        options.config = options.file or options.config
        loaded = load(options)
        count = len(loaded.origins)
        print(f"The settings are in order; {count} of them given, the others default.")
    elif options.verb == "show":
        loaded = load(options)
        sys.stdout.write(render.toml_in_force(loaded.settings, loaded.origins))
    elif options.write is not None:
        _write(options.write)
    else:
        sys.stdout.write(render.json_schema() if options.schema else render.toml_file())
    return 0


def _write(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "gateway.toml").write_text(render.toml_file(), encoding="utf-8")
        (folder / "gateway.schema.json").write_text(render.json_schema(), encoding="utf-8")
    except OSError as error:
        raise HostError(f"{error.filename} cannot be written: {error.strerror}.") from None
