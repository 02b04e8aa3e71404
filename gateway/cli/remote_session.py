"""The connection of `softnet-remote` to its site, and what it tells people about it."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any, Self

from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.errors import GatewayError
from gateway.base.secret import Secret
from gateway.cli.remote import EXIT_FAULT, EXIT_NOT_ADMITTED, EXIT_PARKED, EXIT_REFUSED
from gateway.endpoint.client import ClientEndpoint
from gateway.endpoint.events import (
    Connectivity,
    ConnectivityChanged,
    ConnectivityStatus,
    EndpointEvent,
    StatusChanged,
)
from gateway.model.kinds import ClientStatus
from gateway.net.tasks import TaskRoom
from gateway.protocol.endpoint_group import RemoteService

PARKED = {
    ClientStatus.ACCESS_DENIED: "your user has no rights on this site. Ask the owner for a role.",
    ClientStatus.SITE_DISABLED: "the owner has disabled this site.",
    ClientStatus.OWNER_DISABLED: "the owner's account is disabled at this server.",
    ClientStatus.SERVICE_TYPE_CONFLICT: (
        "this site is of another service type. Give the right --service-type and --contract-author."
    ),
    ClientStatus.SITE_BLANK: "no camera has connected to this site yet.",
}


class Stopped(GatewayError):
    """The command cannot go on; `exit_code` says which way."""

    def __init__(self, message: str, exit_code: int = EXIT_FAULT) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Remote:
    """One connected client; `async with` closes everything."""

    def __init__(self, given: argparse.Namespace, password: Secret | None) -> None:
        self._given = given
        self._changed = asyncio.Event()
        self.room = TaskRoom("softnet-remote")
        self.endpoint = ClientEndpoint(
            given.uri,
            password,
            service_type=given.service_type,
            contract_author=given.contract_author,
            description="softnet-remote",
            room=self.room,
            clock=SystemClock(),
            entropy=SystemEntropy(),
        )
        self.endpoint.subscribe(self._heard)

    async def __aenter__(self) -> Self:
        self.endpoint.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.endpoint.close()
        await self.room.close()

    def _heard(self, _event: EndpointEvent) -> None:
        self._changed.set()

    def wake(self) -> None:
        """Let whoever waits for a change look again."""
        self._changed.set()

    async def change(self) -> None:
        """Wait until anything happened since the last time."""
        await self._changed.wait()
        self._changed.clear()

    def check(self) -> None:
        """Raise Stopped when the server refuses the account for good."""
        connectivity = self.endpoint.connectivity
        if connectivity.status is ConnectivityStatus.DOWN:
            raise Stopped(connectivity.message, EXIT_NOT_ADMITTED)

    async def online(self) -> None:
        """Wait until the client is online; raises Stopped with the reason why it does not come."""
        endpoint = self.endpoint

        def arrived() -> bool:
            self.check()
            if endpoint.status in PARKED:
                raise Stopped(f"Not admitted: {PARKED[endpoint.status]}", EXIT_PARKED)
            return endpoint.status is ClientStatus.ONLINE

        if not await self._within(arrived):
            message = endpoint.connectivity.message or "The server does not answer."
            raise Stopped(f"{message} Gave up after {self._given.wait:g} s.")

    async def service_online(self, name: str | None) -> RemoteService:
        """Return the camera that was asked for, when it is online; raises Stopped."""

        def arrived() -> bool:
            self.check()
            return choose(self.endpoint.services, name).online

        if not await self._within(arrived):
            shown = choose(self.endpoint.services, name).hostname
            raise Stopped(f"The camera {shown} is not online.", EXIT_REFUSED)
        return choose(self.endpoint.services, name)

    async def _within(self, arrived: Callable[[], bool]) -> bool:
        try:
            async with asyncio.timeout(self._given.wait):
                while not arrived():
                    await self.change()
        except TimeoutError:
            return False
        return True


def matches(service: RemoteService, name: str) -> bool:
    """Tell whether a camera is called `name`, or has that number."""
    return name.casefold() == service.hostname.casefold() or name == str(service.id)


def choose(services: tuple[RemoteService, ...], name: str | None) -> RemoteService:
    """Return the camera called `name`, or the only one; raises Stopped."""
    found = [service for service in services if name is None or matches(service, name)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(service.hostname for service in services) or "none"
    if name is not None and not found:
        raise Stopped(f"There is no camera called {name}. Known: {known}.", EXIT_REFUSED)
    raise Stopped(f"Say which camera with --service. Known: {known}.", EXIT_REFUSED)


class Reporter:
    """Says what happens: sentences on standard error, or JSON lines on standard output."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._last = ""

    def say(self, sentence: str, **facts: Any) -> None:
        """Report one happening; `facts` are its JSON form."""
        if self._as_json:
            print(json.dumps(facts), flush=True)
        else:
            print(f"softnet-remote: {sentence}", file=sys.stderr, flush=True)

    def heard(self, endpoint: ClientEndpoint, event: EndpointEvent) -> None:
        """Report a change of the connection once, not every attempt of a long outage."""
        if isinstance(event, StatusChanged) and event.status:
            status = ClientStatus(event.status)
            if status is ClientStatus.ONLINE:
                user = endpoint.user
                roles = f" ({', '.join(user.roles)})" if user.roles else ""
                sentence = f"online as {user.name}{roles}"
            else:
                sentence = f"parked: {PARKED[status]}"
            self._once(sentence, event="status", status=status.name.lower())
        elif isinstance(event, ConnectivityChanged):
            self._connectivity(event.connectivity)

    def _connectivity(self, connectivity: Connectivity) -> None:
        if connectivity.error and connectivity.status is not ConnectivityStatus.DOWN:
            self._once(
                f"not connected, trying again: {connectivity.message}",
                event="connectivity",
                status=connectivity.status.value,
                error=int(connectivity.error),
                message=connectivity.message,
            )

    def _once(self, sentence: str, **facts: Any) -> None:
        if sentence != self._last:
            self._last = sentence
            self.say(sentence, **facts)


def stopped(error: Stopped) -> int:
    """Tell why a command ends; return its exit code."""
    print(f"softnet-remote: {error}", file=sys.stderr, flush=True)
    return error.exit_code
