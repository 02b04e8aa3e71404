"""`softnet-gateway`: finds the command, and turns faults into a sentence and an exit code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence

from gateway import __version__
from gateway.base.errors import GatewayError

EXIT_FAULT = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

# Loaded only when asked for: `ctl` should not wait for what the daemon needs.
COMMANDS = {
    "run": ("gateway.cli.run", "start the gateway and stay"),
    "ctl": ("gateway.cli.ctl", "manage the running gateway: owners, sites, services, clients"),
    "config": ("gateway.cli.config", "check, render or show the settings"),
}


def usage() -> str:
    """Return the list of commands."""
    lines = ["usage: softnet-gateway COMMAND [OPTIONS]", ""]
    lines += [f"  {name:<8} {words}" for name, (_, words) in COMMANDS.items()]
    lines += ["", "softnet-gateway COMMAND --help tells the rest.", f"Version {__version__}."]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code.

    0 all well, 1 a fault that was told in a sentence, 2 wrong usage,
    78 settings that cannot be used.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if given else EXIT_USAGE
    if given[0] in ("--version", "version"):
        print(f"softnet-gateway {__version__}")
        return 0
    if given[0] not in COMMANDS:
        print(f"softnet-gateway: there is no command {given[0]}\n\n{usage()}", file=sys.stderr)
        return EXIT_USAGE
    module = importlib.import_module(COMMANDS[given[0]][0])
    command: Callable[[Sequence[str]], int] = module.main
    return guarded(lambda: command(given[1:]))


def guarded(command: Callable[[], int]) -> int:
    """Run `command`; a fault of the known family is told in its sentence, not as a traceback."""
    try:
        return command()
    except GatewayError as error:
        print(f"softnet-gateway: {error}", file=sys.stderr)
        return getattr(error, "exit_code", EXIT_FAULT)
    except BrokenPipeError:
        # Somebody read the first lines and closed, as `head` does.
        sys.stderr.close()
        return EXIT_FAULT
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
