"""Events outlive the tracker: an orderly stop, a kill in the middle, and a full disk."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import uuid
from pathlib import Path

import pytest

from gateway.base.errors import HostError
from gateway.model.kinds import EndpointType, EventKind
from gateway.model.structure import EventDefinition, SiteStructure
from gateway.registry import pubsub as kept_events
from gateway.wire import pubsub
from gateway.wire.channel import Error, Ping, Pong
from gateway.wire.codes import ErrorCode
from gateway.wire.installer import ClientOnline, ServiceOnline
from tests.support.raw_peer import Gone, RawPeer
from tests.tracker.conftest import ClientAccount, OpenServer, ServiceAccount

QUEUE = EventDefinition(EventKind.QUEUEING, "Alarm", 86_400, 1000)
CAMERA = SiteStructure(
    "IP Camera",
    "Somebody",
    roles=("Admin",),
    owner_role="Admin",
    events=(QUEUE, EventDefinition(EventKind.REPLACING, "State")),
)
KILLS = 5

# Runs the tracker over an existing registry until it is killed.
CHILD = """
import asyncio, sys
from pathlib import Path
from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.notices import NoticeHub
from gateway.net.tasks import TaskRoom
from gateway.registry.database import Registry
from gateway.site.proxies import ProxyDirectory
from gateway.tracker.server import TrackerServer
from gateway.tracker.settings import TrackerSettings

async def main():
    clock, entropy = SystemClock(), SystemEntropy()
    registry = await Registry.open(Path(sys.argv[1]), clock=clock, entropy=entropy)
    tracker = TrackerServer(
        TrackerSettings(bind_addresses=(sys.argv[2],), balancer_port=0, tracker_port=0),
        registry=registry, proxies=ProxyDirectory(()), notices=NoticeHub(), clock=clock,
        entropy=entropy, room=TaskRoom("child"))
    await tracker.start()
    print(tracker.tracker_addresses[0][1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def online(address: tuple[str, int], account: ServiceAccount | ClientAccount) -> RawPeer:
    """Bring an endpoint online; a service that builds the site comes a second time."""
    service = isinstance(account, ServiceAccount)
    while True:
        kind = EndpointType.SERVICE if service else EndpointType.CLIENT
        peer = await RawPeer.connect(address, kind)
        if isinstance(account, ServiceAccount):
            await peer.login_service(account.uid, account.password)
            verdict = await peer.install_service(CAMERA)
        else:
            await peer.login_client(account.category, account.key, account.password)
            verdict = await peer.install_client(CAMERA)
        if isinstance(verdict, ServiceOnline | ClientOnline):
            return peer
        assert verdict == Error(int(ErrorCode.RESTART))
        await peer.close()


class Device:
    """Raises numbered alarms one after another, the same again until it is acknowledged."""

    def __init__(self) -> None:
        self.number = 0
        self.acknowledged = 0
        self._uid = b""

    async def run(self, peer: RawPeer) -> None:
        while True:
            if self.acknowledged == self.number:
                self.number, self._uid = self.number + 1, uuid.uuid4().bytes
            arguments = b"\x30\x06\x04\x04" + self.number.to_bytes(4, "big")
            peer.send(pubsub.RaiseQueueingEvent("Alarm", 1, self._uid, arguments))
            while (await peer.until(pubsub.RaiseAcknowledged)).instance_uid != self._uid:
                pass
            self.acknowledged = self.number


class Viewer:
    """Handles alarms as 03 section 5.4 says: the one it handled last is not handled again."""

    def __init__(self) -> None:
        self.handled: list[int] = []
        self.heard = asyncio.Event()
        self._last = 0

    async def run(self, peer: RawPeer) -> None:
        while True:
            message = await peer.receive()
            if isinstance(message, Pong):
                self.heard.set()
            elif isinstance(message, pubsub.SyncStateful):
                items = (pubsub.Subscription(EventKind.QUEUEING, "Alarm"),)
                known = message.subscription_hash is not None
                peer.send(pubsub.SyncOk() if known else pubsub.Subscriptions(items))
            elif isinstance(message, pubsub.DeliverQueueingEvent):
                if message.instance_id != self._last:
                    assert message.arguments is not None
                    self.handled.append(int.from_bytes(message.arguments[4:], "big"))
                self._last = message.instance_id
                peer.send(
                    pubsub.QueueingEventAcknowledged(message.event_id, message.transaction_uid)
                )


async def together(*endpoints: asyncio.Task[None]) -> None:
    """Let endpoints end as their connections break."""
    for endpoint in endpoints:
        with pytest.raises((Gone, ConnectionError)):
            await endpoint


@pytest.mark.timeout_s(120)
async def test_killed_in_the_middle_it_loses_and_doubles_nothing(
    open_server: OpenServer, tmp_path: Path
) -> None:
    async with open_server() as server:
        site_id = await server.site()
        device_account = await server.service(site_id)
        viewer_account = await server.client(site_id)
        await (await online(server.address, device_account)).close()
    device, viewer = Device(), Viewer()
    for turn in range(KILLS + 1):
        host = f"127.25.{random.randint(0, 255)}.{random.randint(1, 254)}"
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, str(tmp_path / "registry.sqlite"), host,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert child.stdout is not None
        address = (host, int(await child.stdout.readline()))
        peers = await online(address, device_account), await online(address, viewer_account)
        raising = asyncio.create_task(device.run(peers[0]))
        viewing = asyncio.create_task(viewer.run(peers[1]))
        wanted = device.acknowledged + random.randint(3, 60)
        while device.acknowledged < wanted or (turn == KILLS and viewer.handled[-1] < wanted):
            await asyncio.sleep(0.001)
        os.kill(child.pid, signal.SIGKILL)
        await child.wait()
        await together(raising, viewing)
        for peer in peers:
            await peer.close()
    assert viewer.handled == list(range(1, viewer.handled[-1] + 1))
    assert viewer.handled[-1] >= wanted


async def test_an_orderly_stop_keeps_what_was_acknowledged_last(open_server: OpenServer) -> None:
    device, viewer = Device(), Viewer()
    async with open_server() as server:
        site_id = await server.site()
        device_account = await server.service(site_id)
        viewer_account = await server.client(site_id)
        peers = [await online(server.address, device_account)]
        peers.append(await online(server.address, viewer_account))
        tasks = [asyncio.create_task(device.run(peers[0]))]
        tasks.append(asyncio.create_task(viewer.run(peers[1])))
        while len(viewer.handled) < 20:
            await asyncio.sleep(0.001)
        tasks[0].cancel()
        while viewer.handled[-1] < device.acknowledged:
            await asyncio.sleep(0.001)
        handled = viewer.handled[-1].to_bytes(4, "big")
        peers[1].send(Ping())  # what went before it has arrived when the answer is there
        await viewer.heard.wait()
        await server.tracker.stop()
        retained = await server.registry.read(lambda r: kept_events.load(r, site_id))
        ((client_id, name, cursor),) = retained.subscriptions
        assert (client_id, name) == (viewer_account.id, "Alarm")
        last = {instance.arguments: instance.id for _, instance in retained.instances}
        # One raise more may have been under way when the device was stopped.
        assert cursor >= last[b"\x30\x06\x04\x04" + handled]
        await together(tasks[1])
        for peer in peers:
            await peer.close()


async def test_what_cannot_be_stored_is_not_acknowledged(
    open_server: OpenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_server() as server:
        site_id = await server.site()
        account = await server.service(site_id)
        peer = await online(server.address, account)
        raised = pubsub.RaiseReplacingEvent("State", 1, b"u" * 16)

        def full(*_: object) -> None:
            raise HostError("The disk is full.")

        with monkeypatch.context() as broken:
            broken.setattr(kept_events, "keep", full)
            peer.send(raised)
            assert await peer.until(Error) == Error(int(ErrorCode.DBMS_ERROR))
            await peer.close()
        assert not [m for m in peer.received if isinstance(m, pubsub.RaiseAcknowledged)]
        again = await online(server.address, account)
        again.send(raised)
        assert await again.until(pubsub.RaiseAcknowledged)
        retained = await server.registry.read(lambda r: kept_events.load(r, site_id))
        assert [name for name, _ in retained.instances] == ["State"]
        await again.close()


async def test_raises_of_one_moment_share_a_transaction(open_server: OpenServer) -> None:
    async with open_server() as server:
        site_id = await server.site()
        accounts = [await server.service(site_id, f"Cam {n}") for n in range(1, 6)]
        await (await online(server.address, accounts[0])).close()
        peers = [await online(server.address, account) for account in accounts]
        writes: list[int] = []
        keep = kept_events.keep

        def counted(tx, batches):  # type: ignore[no-untyped-def]
            writes.append(sum(len(batch.instances) for _, batch in batches))
            keep(tx, batches)

        kept_events.keep = counted
        try:
            for turn in range(10):
                for number, peer in enumerate(peers):
                    raised = pubsub.RaiseReplacingEvent("State", 1, bytes((turn, number) * 8))
                    peer.send(raised)
                for peer in peers:
                    await peer.until(pubsub.RaiseAcknowledged)
        finally:
            kept_events.keep = keep
        assert sum(writes) == 50
        assert len(writes) <= 30
        for peer in peers:
            await peer.close()
