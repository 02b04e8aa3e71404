"""The server of the lossy run, a program of its own: balancer, tracker, rendezvous and relay.

`python -m tests.e2e.lossy_server FOLDER ADDRESS PUBLIC SITES EACH` makes the accounts when there
are none yet, tells in a JSON line when it is ready, and at each SIGUSR1 what it holds.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import signal
import sys
from pathlib import Path
from typing import Any

from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.notices import NoticeHub
from gateway.model.kinds import SiteKind
from gateway.net.datapath import DataPath
from gateway.net.tasks import TaskRoom
from gateway.registry import clients, members, services, sites
from gateway.registry.database import Registry, Tx
from gateway.relay.server import RendezvousServer
from gateway.relay.settings import RelaySettings
from gateway.site.proxies import ProxyDirectory, ProxyEntry
from gateway.tracker.server import TrackerServer
from gateway.tracker.settings import TrackerSettings
from tests.e2e.lossy_fleet import descriptors, on, tell
from tests.endpoint.softnet import SECRET, _furnish

IDLE, UDP_IDLE = 20.0, 6.0
"""Seconds after which a relayed pair ends of which one side was lost without a word."""


def accounts(tx: Tx, sites_wanted: int, each: int, host: str) -> dict[str, list[Any]]:
    """Make sites with services and clients; [site, URI, password, id] of each of them."""
    owner, domain = _furnish(tx)
    acting = next(user for user in members.list_users(tx, domain) if user.name == "Owner")
    made: dict[str, list[Any]] = {"services": [], "clients": []}
    for number in range(sites_wanted):
        site = sites.add(tx, domain, kind=SiteKind.MULTI_SERVICE).id
        for _ in range(each):
            service = services.add(tx, site, f"Lamp {len(made['services'])}")
            word = services.generate_password(tx, service.id).reveal()
            made["services"].append([number, service.uri(host), word, service.id])
            client = clients.add(tx, site, acting.id, owner)
            word = clients.generate_password(tx, client.id).reveal()
            made["clients"].append([number, client.uri(host), word, client.id])
    return made


async def main(folder: str, address: str, public: str, sites_wanted: str, each: str) -> None:
    """Serve until killed."""
    clock, entropy, hub = SystemClock(), SystemEntropy(), NoticeHub()
    registry = await Registry.open(Path(folder) / "registry.sqlite", clock=clock, entropy=entropy)
    async with TaskRoom("server") as room:
        datapath = DataPath(room, clock)
        await datapath.start()
        settings = RelaySettings(
            bind_addresses=(address,), idle_seconds=IDLE, stall_seconds=IDLE,
            udp_idle_seconds=UDP_IDLE,
        )  # fmt: skip
        relay = RendezvousServer(
            settings, secret=SECRET, datapath=datapath,
            clock=clock, entropy=entropy, room=room, notices=hub,
        )  # fmt: skip
        await relay.start()
        proxies = ProxyDirectory((ProxyEntry(1, SECRET, ipv4=ipaddress.IPv4Address(public)),))
        tracker = TrackerServer(
            TrackerSettings(bind_addresses=(address,), public_ipv4=public),
            registry=registry, proxies=proxies, notices=hub,
            clock=clock, entropy=entropy, room=room,
        )  # fmt: skip
        await tracker.start()
        file = Path(folder) / "accounts.json"
        if not file.exists():
            found = await registry.write(
                lambda tx: accounts(tx, int(sites_wanted), int(each), public)
            )
            file.write_text(json.dumps(found), "utf-8")
        asked = on(signal.SIGUSR1)
        tell(ready=True)
        while True:
            await asked.wait()
            asked.clear()
            tell(
                tasks=sorted(task.get_name() for task in asyncio.all_tasks()),
                descriptors=descriptors(),
                relayed=relay.relayed + (relay.udp.relayed if relay.udp is not None else 0),
            )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
