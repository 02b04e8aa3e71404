"""`softnet-remote forward`: a local port for each camera, for as long as it runs."""

from __future__ import annotations

import argparse
import asyncio
import signal

from gateway.base.errors import GatewayError, HostError
from gateway.base.secret import Secret
from gateway.cli.remote import EXIT_INTERRUPTED, EXIT_REFUSED
from gateway.cli.remote_session import Remote, Reporter, Stopped, matches, stopped
from gateway.endpoint.forward import LocalForward
from gateway.model.kinds import ClientStatus
from gateway.protocol.endpoint_group import RemoteService

BASE = 8554
_TRIES = 200
"""Local ports tried for one camera when no base was asked for."""
_FORMS = {554: "rtsp://{}:{}/main", 80: "http://{}:{}/", 8080: "http://{}:{}/"}


class Forwards:
    """Keeps a local port open for every camera that was asked for."""

    def __init__(self, given: argparse.Namespace, remote: Remote, report: Reporter) -> None:
        self._given = given
        self._remote = remote
        self._report = report
        self._open: dict[int, LocalForward] = {}
        self._next = given.port or BASE
        self.outcome: int | None = None

    async def adjust(self) -> None:
        """Open what is new in the group and close what left it."""
        services = {
            service.id: service
            for service in self._remote.endpoint.services
            if not self._given.service
            or any(matches(service, name) for name in self._given.service)
        }
        for service_id in [one for one in self._open if one not in services]:
            await self._open.pop(service_id).close()
        fresh = [service for number, service in services.items() if number not in self._open]
        for service in fresh:
            self._open[service.id] = self._forward(service)
        self._show(fresh)
        for name in self._given.service:
            if not any(matches(service, name) for service in services.values()):
                known = ", ".join(one.hostname for one in self._remote.endpoint.services)
                raise Stopped(
                    f"There is no camera called {name}. Known: {known or 'none'}.", EXIT_REFUSED
                )

    def _forward(self, service: RemoteService) -> LocalForward:
        def refused(error: GatewayError) -> None:
            self._report.say(
                f"{service.hostname}: {error}",
                event="refused",
                service=service.hostname,
                code=getattr(error, "code", 0),
                message=str(error),
            )
            self._ended(EXIT_REFUSED)

        forward = LocalForward(
            self._remote.endpoint,
            service.id,
            self._given.virtual_port,
            room=self._remote.room,
            refused=refused,
            ended=lambda: self._ended(0),
        )
        # A base that was asked for is kept to; without one the next free port will do.
        for attempt in range(1 if self._given.port else _TRIES):
            try:
                forward.open(self._given.bind, self._next)
                break
            except HostError:
                if self._given.port or attempt == _TRIES - 1 or self._next >= 65535:
                    raise
            finally:
                self._next += 1
        return forward

    def _ended(self, code: int) -> None:
        if self._given.once and self.outcome is None:
            self.outcome = code
            self._remote.wake()

    def _show(self, services: list[RemoteService]) -> None:
        if not services:
            return
        width = max(len(service.hostname) for service in services)
        for service in services:
            host, port = self._open[service.id].address
            host = f"[{host}]" if ":" in host else host
            url = _FORMS.get(self._given.virtual_port, "tcp://{}:{}").format(host, port)
            if self._given.json:
                self._report.say(
                    "",
                    event="forward",
                    service=service.hostname,
                    id=service.id,
                    url=url,
                    port=port,
                    online=service.online,
                )
            else:
                state = "" if service.online else "   (offline)"
                print(f"{service.hostname:<{width}}  {url}{state}", flush=True)


async def run(given: argparse.Namespace, password: Secret | None) -> int:
    """Forward until interrupted, or with --once until the first connection has ended."""
    report = Reporter(as_json=given.json)
    loop = asyncio.get_running_loop()
    interrupted: list[int] = []
    try:
        async with Remote(given, password) as remote:
            remote.endpoint.subscribe(lambda event: report.heard(remote.endpoint, event))

            def interrupt(number: int) -> None:
                interrupted.append(number)
                remote.wake()

            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, interrupt, number)
            forwards = Forwards(given, remote, report)
            while not interrupted and forwards.outcome is None:
                remote.check()
                if remote.endpoint.status is ClientStatus.ONLINE:
                    await forwards.adjust()
                await remote.change()
            if forwards.outcome is not None:
                return forwards.outcome
    except Stopped as error:
        return stopped(error)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    return EXIT_INTERRUPTED if interrupted == [signal.SIGINT] else 0
