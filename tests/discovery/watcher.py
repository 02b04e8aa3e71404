"""Runs discovery by itself and prints its events as JSON lines, for tests inside a namespace."""

from __future__ import annotations

import asyncio
import json
import signal

from gateway.base.clock import SystemClock
from gateway.base.notices import NoticeHub
from gateway.discovery.announce import GatewayRecord
from gateway.discovery.service import DiscoveryService
from gateway.discovery.settings import DiscoverySettings
from gateway.discovery.sightings import DiscoveryEvent
from gateway.driverkit.loader import DriverLoader
from gateway.net.tasks import TaskRoom


def show(event: DiscoveryEvent) -> None:
    record = event.record
    print(
        json.dumps(
            {
                "event": type(event).__name__,
                "identity": record.identity,
                "driver": record.driver,
                "name": record.name,
                "addresses": record.addresses,
                "port": record.port,
                "present": record.present,
            }
        ),
        flush=True,
    )


async def main() -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with TaskRoom("watcher") as room:
        service = DiscoveryService(
            DiscoverySettings(gone_after_seconds=1.0, refresh_seconds=5.0),
            DriverLoader.installed().manifests,
            notices=NoticeHub(),
            clock=SystemClock(),
            room=room,
        )
        service.subscribe(show)
        await service.start()
        await service.announce(
            GatewayRecord(gateway_id="00c0ffee", version="1.0", state="claimed", port=8080)
        )
        print(json.dumps({"event": "started", "trouble": service.trouble}), flush=True)
        await stopped.wait()
        await service.stop()


if __name__ == "__main__":
    asyncio.run(main())
