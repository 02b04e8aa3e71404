"""Recordings played over real sockets against the whole server with a real registry file."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.notices import NoticeHub
from gateway.base.secret import Secret
from gateway.model.kinds import Authority
from gateway.model.snapshot import SiteSnapshot
from gateway.net.tasks import TaskRoom
from gateway.registry import members, owners, passwords, structure
from gateway.registry.database import Registry, Tx
from gateway.site.proxies import ProxyDirectory, ProxyEntry
from gateway.tracker.server import TrackerServer
from gateway.tracker.settings import TrackerSettings
from gateway.wire.channel import OpenOk, SaltAndKey1
from tests.support import recordings
from tests.support.recorded_events import ScriptedEntropy
from tests.support.recorded_state import initial
from tests.support.recordings import Recording, Step, Way
from tests.support.spoken import Spoken, known_structures, told

DOMAIN = 1


def furnish(tx: Tx, spoken: Spoken, site: SiteSnapshot) -> None:
    """Write a recording's accounts into the registry under their recorded ids."""
    owner = owners.add(
        tx, "owner", "The Owner", passwords.PasswordRecord("x"), Authority.ADMINISTRATOR
    )
    tx.insert("domain", id=DOMAIN, owner_id=owner.id, name="Home", created_at=tx.now)
    for user in site.users.values():
        tx.insert(
            "domain_user", id=user.user_id, domain_id=DOMAIN, owner_id=owner.id,
            kind=int(user.kind), name=user.name, dedicated=int(user.kind in (2, 3)),
            created_at=tx.now,
        )  # fmt: skip
    tx.insert(
        "site", id=site.id, uid=site.uid, domain_id=DOMAIN, site_key="sitekey",
        kind=int(site.kind), description="", created_at=tx.now,
    )  # fmt: skip
    credentials = {account.id: account for account in spoken.recording.services}
    for service in site.services:
        account = credentials.get(service.id)
        declared = known_structures().get(service.ss_hash or b"")
        tx.insert(
            "service", id=service.id, uid=service.uid, site_id=site.id, hostname=service.hostname,
            version=service.version, storage_uid=service.storage_uid, created_at=tx.now,
            service_type=service.service_type, contract_author=service.contract_author,
            ss_hash=service.ss_hash, ss_doc=structure.to_json(declared) if declared else None,
            salt=account.salt if account else None,
            salted_pw=account.salted_password if account else None,
        )  # fmt: skip
    for client in spoken.recording.clients:
        if client.site_id == site.id:
            tx.insert(
                "client", id=client.id, client_key=client.key, site_id=site.id, domain_id=DOMAIN,
                user_id=client.user_id, creator_id=owner.id, salt=client.salt,
                salted_pw=client.salted_password, created_at=tx.now,
            )  # fmt: skip
    first_role = site.roles[0][0]
    tx.run("INSERT INTO sqlite_sequence(name, seq) VALUES ('role', ?)", first_role - 1)
    builder = next(service for service in site.services if service.ss_hash == site.ss_hash)
    structure.build(tx, site.id, builder.id)
    for member in site.members:
        members.set_roles(tx, site.id, member.user_id, member.role_ids)


class Wire:
    """The endpoint's end of one recorded connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.received = b""

    async def until(self, count: int) -> None:
        """Read until the server has said as much as the reference had at this point."""
        while len(self.received) < count:
            data = await self.reader.read(65536)
            if not data:
                return
            self.received += data


async def play(recording: Recording, address: tuple[str, int]) -> dict[int, bytes]:
    """Play the endpoints' side in recorded order; return what the server said."""
    wires: dict[int, Wire] = {}
    due: dict[int, int] = {}

    async def act(step: Step) -> None:
        number = step.connection
        if step.way is Way.OPENED:
            wires[number] = Wire(*await asyncio.open_connection(*address))
            due[number] = 0
        elif step.way is Way.TO_ENDPOINT:
            due[number] += len(step.octets)
        elif step.way is Way.TO_SERVER:
            await wires[number].until(due[number])
            wires[number].writer.write(step.octets)
        elif step.way in (Way.ENDPOINT_ENDED, Way.CUT) and not wires[number].writer.is_closing():
            await wires[number].until(due[number])
            wires[number].writer.close()
            await wires[number].writer.wait_closed()

    for step in recording.steps:
        if recording.connections[step.connection].to_tracker:
            # What one endpoint is told because of another must be there before the story goes on.
            for number, wire in wires.items():
                if not wire.writer.is_closing() and step.connection != number:
                    await wire.until(due[number])
            await act(step)
    return {number: wire.received for number, wire in wires.items()}


@pytest.mark.parametrize("name", ["02", "03", "03e", "04", "04b", "05", "05b", "06", "11"])
async def test_the_whole_server_says_what_the_reference_said(name: str, tmp_path: Path) -> None:
    spoken = Spoken.of(recordings.load(name))
    recording = spoken.recording
    facts = next(s for s in recording.raw["accounts"]["sites"] if s["site_id"] == 1001)
    snapshot = initial(spoken, facts)
    entropy = ScriptedEntropy()
    for _, message in spoken.to_endpoint:
        if isinstance(message, SaltAndKey1):
            entropy.keys.append(message.key1)
        elif isinstance(message, OpenOk):
            entropy.uids.append(message.channel_id)
    clock = SystemClock()
    registry = await Registry.open(
        tmp_path / "registry.sqlite", clock=clock, entropy=SystemEntropy()
    )
    host = f"127.15.{random.randint(0, 255)}.{random.randint(1, 254)}"
    settings = TrackerSettings(bind_addresses=(host,), balancer_port=0, tracker_port=0)
    try:
        await registry.write(lambda tx: furnish(tx, spoken, snapshot))
        async with TaskRoom("test") as room:
            tracker = TrackerServer(
                settings,
                registry=registry,
                proxies=ProxyDirectory((ProxyEntry(1, Secret("s")),)),
                notices=NoticeHub(),
                clock=clock,
                entropy=entropy,
                room=room,
            )
            await tracker.start()
            try:
                said = await play(recording, tracker.tracker_addresses[0])
            finally:
                await tracker.stop()
    finally:
        await registry.close()
    for connection in recording.tracker_connections():
        reference = told(connection, recording.stream(connection.id, Way.TO_ENDPOINT))
        assert told(connection, said[connection.id]) == reference, connection
