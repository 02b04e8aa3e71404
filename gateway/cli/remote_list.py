"""`softnet-remote list`: the cameras of the site and who is online."""

from __future__ import annotations

import argparse
import json

from gateway.base.secret import Secret
from gateway.cli.remote_session import Remote, Stopped, stopped


async def run(given: argparse.Namespace, password: Secret | None) -> int:
    """Print the cameras; return the exit code."""
    try:
        async with Remote(given, password) as remote:
            await remote.online()
            services = remote.endpoint.services
            user = remote.endpoint.user
    except Stopped as error:
        return stopped(error)
    if given.json:
        shown = [
            {
                "id": service.id,
                "name": service.hostname,
                "version": service.version,
                "online": service.online,
            }
            for service in services
        ]
        who = {"name": user.name, "roles": list(user.roles), "guest": user.kind.guest}
        print(json.dumps({"user": who, "services": shown}))
        return 0
    if not services:
        print("No cameras.")
        return 0
    width = max(len("CAMERA"), *(len(service.hostname) for service in services))
    print(f"{'ID':>6}  {'CAMERA':<{width}}  {'STATE':<7}  VERSION")
    for service in services:
        state = "online" if service.online else "offline"
        name = service.hostname
        print(f"{service.id:>6}  {name:<{width}}  {state:<7}  {service.version}".rstrip())
    return 0
