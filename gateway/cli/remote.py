"""`softnet-remote`: the remote control program for people; options, password, exit codes."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import importlib
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from gateway import __version__
from gateway.base.errors import GatewayError, InvalidInput
from gateway.base.secret import Secret
from gateway.wire.uri import parse_client_uri

EXIT_FAULT = 1
EXIT_USAGE = 2
EXIT_NOT_ADMITTED = 3
"""The server refuses the account: wrong password, unknown key, the account used twice."""
EXIT_PARKED = 4
"""Connected, but not eligible: no rights, site disabled, another service type."""
EXIT_REFUSED = 5
"""The camera is offline, or refuses the connection."""
EXIT_INTERRUPTED = 130

PASSWORD_MAX = 256
"""Characters of an endpoint password (01 section 15.1)."""
PASSWORD_VARIABLE = "SOFTNET_PASSWORD"  # noqa: S105  (the name of a variable)

_EPILOG = f"""\
The password comes from --password-file, else from the environment variable {PASSWORD_VARIABLE},
else it is asked for. It is never taken from the command line, where others could see it.

exit codes: 0 all well, 1 a fault, 2 wrong usage, 3 the server does not admit the account,
4 connected but not eligible, 5 the camera is offline or refuses."""

Command = Callable[[argparse.Namespace, Secret | None], Awaitable[int]]


def _parser() -> argparse.ArgumentParser:
    # No abbreviations: `--password secret` must not become `--password-file secret`.
    common = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    common.add_argument("uri", metavar="URI", help="client URI, like softnet-m://key@server")
    common.add_argument("--password-file", metavar="FILE", type=Path, help="password of the client")
    common.add_argument(
        "--service-type", default="IP Camera", metavar="NAME", help="default: %(default)s"
    )
    common.add_argument(
        "--contract-author",
        default="Softnet Camera Gateway",
        metavar="NAME",
        help="default: %(default)s",
    )
    common.add_argument("--json", action="store_true", help="print JSON, one object a line")
    common.add_argument(
        "--wait",
        type=_seconds,
        default=20.0,
        metavar="SECONDS",
        help="give up when there is no answer for so long; default: %(default)g",
    )
    parser = argparse.ArgumentParser(
        prog="softnet-remote",
        allow_abbrev=False,
        description="Reach the cameras of a Softnet site.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"softnet-remote {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    commands.add_parser(
        "list", parents=[common], allow_abbrev=False, help="show the cameras and who is online"
    )

    forward = commands.add_parser(
        "forward",
        parents=[common],
        allow_abbrev=False,
        help="open a local port for each camera and stay",
    )
    forward.add_argument(
        "--service",
        action="append",
        default=[],
        metavar="NAME",
        help="only this camera; repeatable",
    )
    forward.add_argument(
        "--port", type=_port, metavar="BASE", help="local port of the first camera"
    )
    forward.add_argument(
        "--bind", default="127.0.0.1", metavar="ADDRESS", help="local address; default: %(default)s"
    )
    forward.add_argument(
        "--virtual-port", type=int, default=554, metavar="N", help="default: %(default)s (RTSP)"
    )
    forward.add_argument(
        "--once", action="store_true", help="stop when the first connection has ended"
    )

    snapshot = commands.add_parser(
        "snapshot", parents=[common], allow_abbrev=False, help="save one picture"
    )
    snapshot.add_argument("--service", metavar="NAME", help="needed when there are several cameras")
    snapshot.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="where to; - is standard output"
    )
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 3600:
        raise argparse.ArgumentTypeError("1 to 3600 seconds")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError("1 to 65535")
    return value


def read_password(uri: str, file: Path | None) -> Secret | None:
    """Return the client's password, None for a URI that has none.

    Raises InvalidInput when there is none to be had.
    """
    if parse_client_uri(uri).category.stateless:
        return None
    if file is not None:
        try:
            text = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"The password file {file} cannot be read: {error}.") from error
        text = text.rstrip("\r\n")
    elif PASSWORD_VARIABLE in os.environ:
        text = os.environ[PASSWORD_VARIABLE]
    elif sys.stdin.isatty():
        text = getpass.getpass("Password: ")
    else:
        raise InvalidInput(
            f"A password is needed: give --password-file FILE or set {PASSWORD_VARIABLE}."
        )
    if not 1 <= len(text) <= PASSWORD_MAX:
        raise InvalidInput(f"The password must have 1 to {PASSWORD_MAX} characters.")
    return Secret(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    given = _parser().parse_args(arguments)
    try:
        password = read_password(given.uri, given.password_file)
        # Each command loads only what it needs, after the quick mistakes were told.
        module = importlib.import_module(f"gateway.cli.remote_{given.command}")
        command: Command = module.run
        return asyncio.run(_awaited(command, given, password))
    except InvalidInput as error:
        print(f"softnet-remote: {error}", file=sys.stderr)
        return EXIT_USAGE
    except GatewayError as error:
        print(f"softnet-remote: {error}", file=sys.stderr)
        return EXIT_FAULT
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_FAULT
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


async def _awaited(command: Command, given: argparse.Namespace, password: Secret | None) -> int:
    return await command(given, password)


if __name__ == "__main__":
    sys.exit(main())
