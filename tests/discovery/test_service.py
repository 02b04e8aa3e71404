"""Discovery on loopback: our virtual camera, hostile announcements, and our own record."""

from __future__ import annotations

import asyncio
import random
import secrets
import socket
import sys
import time
from collections.abc import Callable
from contextlib import asynccontextmanager

import pytest
from zeroconf import ServiceStateChange
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from gateway.base.clock import SystemClock
from gateway.base.errors import InvalidInput
from gateway.base.notices import NoticeHub
from gateway.base.setting import check
from gateway.discovery import interfaces, mdns
from gateway.discovery.announce import SERVICE_TYPE, GatewayRecord, service_info
from gateway.discovery.matching import LocalNetwork
from gateway.discovery.service import DeviceSighted, DiscoveryService
from gateway.discovery.settings import DiscoverySettings
from gateway.discovery.sightings import DeviceGone, DeviceMoved, DeviceSeen, DiscoveryEvent
from gateway.driverkit.loader import DriverLoader
from gateway.net.tasks import TaskRoom
from tests.drivers.cameras import own_address, virtual_camera

LOOPBACK = DiscoverySettings(
    interfaces=("lo",), allow_loopback=True, ipv6=False, gone_after_seconds=1.0
)


class Watch:
    """Events of one identity, to be waited for; other tests announce on loopback as well."""

    def __init__(self, service: DiscoveryService) -> None:
        self.service = service
        self.events: list[DiscoveryEvent] = []
        self.changed = asyncio.Event()
        service.subscribe(self._take)

    def _take(self, event: DiscoveryEvent) -> None:
        self.events.append(event)
        self.changed.set()

    async def until(
        self, wanted: Callable[[DiscoveryEvent], bool], seconds: float = 10
    ) -> DiscoveryEvent:
        async with asyncio.timeout(seconds):
            at = 0
            while True:
                while at < len(self.events):
                    if wanted(self.events[at]):
                        return self.events[at]
                    at += 1
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def discovery(settings: DiscoverySettings = LOOPBACK, notices: NoticeHub | None = None):
    async with TaskRoom("test") as room:
        service = DiscoveryService(
            settings,
            DriverLoader.installed().manifests,
            notices=notices or NoticeHub(),
            clock=SystemClock(),
            room=room,
        )
        watch = Watch(service)
        await service.start()
        try:
            yield service, watch
        finally:
            await service.stop()


@asynccontextmanager
async def announced(*infos: AsyncServiceInfo):
    zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"])
    try:
        for task in [await zeroconf.async_register_service(info) for info in infos]:
            await task
        yield zeroconf
    finally:
        await zeroconf.async_close()


def info(name: str, address: str, properties: dict, host: str = "") -> AsyncServiceInfo:
    return AsyncServiceInfo(
        "_rtsp._tcp.local.",
        f"{name}._rtsp._tcp.local.",
        addresses=[socket.inet_aton(each) for each in address.split()],
        port=5540,
        properties=properties,
        server=f"{host or name}.local.",
    )


@pytest.mark.timeout_s(60)
async def test_a_camera_appears_moves_and_goes(tmp_path):
    told: list[DeviceSighted] = []
    notices = NoticeHub()
    notices.subscribe(DeviceSighted, told.append)
    serial = "SIM-" + secrets.token_hex(5).upper()
    here, there = own_address(), own_address()
    arguments = ("--announce", "--serial", serial, "--name", f"Door {serial[-4:]}")
    async with discovery(notices=notices) as (service, watch):
        mine = f"serial:{serial.lower()}"

        def is_at(address: str) -> Callable[[DiscoveryEvent], bool]:
            return lambda event: event.record.identity == mine and event.record.address == address

        async with virtual_camera(tmp_path, *arguments, "--address", here) as camera:
            seen = await watch.until(is_at(here), 5)
            assert isinstance(seen, DeviceSeen)
            record = service.by_identity(mine)
            assert record is not None
            assert (record.driver, record.maker, record.model) == (
                "simulated", "Softnet", "Virtual Camera",
            )  # fmt: skip
            assert record.port == camera["rtsp_port"]
        gone = await watch.until(lambda e: e.record.identity == mine and isinstance(e, DeviceGone))
        assert not gone.record.present
        async with virtual_camera(tmp_path, *arguments, "--address", there):
            back = await watch.until(is_at(there))
            assert isinstance(back, DeviceSeen)
    assert {each.change for each in told if each.identity == mine} >= {"seen", "gone"}


@pytest.mark.timeout_s(60)
async def test_a_camera_that_loses_power_and_gets_another_address_is_the_same(tmp_path):
    serial = "SIM-" + secrets.token_hex(5).upper()
    mine = f"serial:{serial.lower()}"
    here, there = own_address(), own_address()
    async with discovery() as (_, watch):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "drivers.simulated.camera", "--announce",
            "--serial", serial, "--name", serial, "--address", here,
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        await watch.until(lambda e: e.record.identity == mine and e.record.address == here, 15)
        process.kill()
        await process.wait()
        arguments = ("--announce", "--serial", serial, "--name", serial, "--address", there)
        async with virtual_camera(tmp_path, *arguments):
            moved = await watch.until(
                lambda e: (
                    isinstance(e, DeviceMoved)
                    and e.record.identity == mine
                    and e.record.address == there
                )
            )
            assert isinstance(moved, DeviceMoved)
            assert moved.previous.address == here
            # The old address leaves the cache a moment later.
            await watch.until(
                lambda e: e.record.identity == mine and e.record.addresses == (there,)
            )


async def test_hostile_announcements_do_no_harm():
    tag = secrets.token_hex(4)
    evil = info(
        f"evil{tag}",
        "192.0.2.66 224.0.0.251 0.0.0.0 127.13.77.1",
        {b"path": b"/a\r\nb", b"id": b"../../" + tag.encode(), b"mac": b"00:00:00:00:00:00"},
    )
    fair = info(
        f"Fair\u202e {tag}", "127.13.77.2", {"path": "/x", "mac": "02" + tag + "99"}, f"f{tag}"
    )
    async with discovery() as (service, watch), announced(evil, fair):
        seen = await watch.until(lambda e: e.record.identity == f"mac:02{tag}99")
        assert seen.record.name == f"Fair {tag}"
        # The other one had its chance: it came first and is nobody's camera.
        assert not [each for each in service.sightings if "evil" in each.name]


async def test_two_devices_with_one_identity_are_flagged():
    tag = secrets.token_hex(4)
    mac = "02" + tag + "77"
    first = info(f"one{tag}", "127.13.77.3", {"path": "/x", "mac": mac})
    second = info(f"two{tag}", "127.13.77.4", {"path": "/x", "mac": mac})
    async with discovery() as (_, watch), announced(first):
        await watch.until(lambda e: e.record.identity == f"mac:{mac}")
        async with announced(second):
            doubled = await watch.until(
                lambda e: e.record.identity == f"mac:{mac}" and e.record.conflict
            )
            assert doubled.record.address == "127.13.77.3"


async def test_a_device_without_identity_is_listed_without_one():
    tag = secrets.token_hex(4)
    async with (
        discovery() as (_, watch),
        announced(info(f"pi{tag}", "127.13.77.5", {"path": "/stream"})),
    ):
        seen = await watch.until(lambda e: tag in e.record.name)
        assert (seen.record.identity, seen.record.driver) == ("", "rtsp")
        assert seen.record.key == f"name:_rtsp._tcp:pi{tag}"


async def test_the_gateway_announces_itself():
    tag = secrets.token_hex(2)
    record = GatewayRecord(gateway_id=f"0000{tag}", version="1.0", state="unclaimed", port=8080)
    found: asyncio.Queue[str] = asyncio.Queue()

    def note(zeroconf, service_type, name, state_change):
        if state_change is not ServiceStateChange.Removed and tag in name:
            found.put_nowait(name)

    listener = AsyncZeroconf(interfaces=["127.0.0.1"])
    browser = AsyncServiceBrowser(listener.zeroconf, SERVICE_TYPE, handlers=[note])
    try:
        async with discovery() as (service, _):
            await service.announce(record)
            name = await found.get()
            assert name == f"softnet-gw-{tag}.{SERVICE_TYPE}"
            answer = AsyncServiceInfo(SERVICE_TYPE, name)
            assert await answer.async_request(listener.zeroconf, 3000)
            assert answer.port == 8080
            assert answer.decoded_properties == {
                "id": f"0000{tag}", "ver": "1.0", "state": "unclaimed", "path": "/",
            }  # fmt: skip
            await service.announce(
                GatewayRecord(gateway_id=f"0000{tag}", version="1.0", state="claimed", port=8080)
            )
            await found.get()
            answer = AsyncServiceInfo(SERVICE_TYPE, name)
            assert await answer.async_request(listener.zeroconf, 3000)
            assert (answer.decoded_properties or {})["state"] == "claimed"
    finally:
        await browser.async_cancel()
        await listener.async_close()


async def test_it_can_be_switched_off_or_find_no_interface():
    async with discovery(DiscoverySettings(enabled=False)) as (service, _):
        assert service.networks == ()
        assert service.trouble == ""
    async with discovery(DiscoverySettings(interfaces=("nosuch0",))) as (service, _):
        assert "interface" in service.trouble


async def test_a_flood_of_names_is_bounded_and_hides_no_camera():
    """Made-up names cost a few dozen looks a second; a real announcement is not kept waiting."""
    tag = secrets.token_hex(4)
    async with TaskRoom("test") as room:
        answers: asyncio.Queue[mdns.Answer] = asyncio.Queue()
        browser = mdns.MdnsBrowser(
            places=["127.0.0.1"],
            service_types=("_rtsp._tcp",),
            refresh_seconds=60,
            room=room,
            clock=SystemClock(),
            answered=answers.put_nowait,
            left=lambda _: None,
        )
        await browser.start()

        def flood(count: int) -> None:
            for number in range(count):
                browser._changed(
                    browser.zeroconf.zeroconf,
                    "_rtsp._tcp.local.",
                    f"flood{number}._rtsp._tcp.local.",
                    ServiceStateChange.Added,
                )

        begun = time.monotonic()
        flood(150)
        async with announced(info(f"real{tag}", "127.13.77.9", {"path": "/x"})):
            async with asyncio.timeout(15):
                while (await answers.get()).name != f"real{tag}":
                    pass
        # With the flood served in turn, sixteen at a time, it would have taken half a minute.
        assert time.monotonic() - begun < 15
        assert len(room) <= mdns.RESOLVES_AT_ONCE + 2
        flood(5000)
        assert len(browser._pending) == mdns.PENDING_MAX
        await browser.close()


def test_networks_are_chosen_by_the_settings():
    networks = (
        LocalNetwork("lo", 1, "127.0.0.1", 8),
        LocalNetwork("lo", 1, "::1", 128),
        LocalNetwork("eth0", 2, "192.168.1.5", 24),
        LocalNetwork("eth0", 2, "192.168.7.5", 24),
        LocalNetwork("eth0", 2, "fe80::5%2", 64),
        LocalNetwork("eth1", 3, "10.0.0.5", 8),
    )

    def chosen(**changes) -> list[str]:
        picked = interfaces.chosen_networks(networks, DiscoverySettings(**changes))
        return [each.address for each in picked]

    assert chosen() == ["192.168.1.5", "192.168.7.5", "fe80::5%2", "10.0.0.5"]
    assert chosen(ipv6=False, interfaces=("ETH0",)) == ["192.168.1.5", "192.168.7.5"]
    assert chosen(interfaces=("10.0.0.5",)) == ["10.0.0.5"]
    assert chosen(interfaces=("lo",)) == []
    assert chosen(interfaces=("lo",), allow_loopback=True) == ["127.0.0.1", "::1"]
    places = interfaces.multicast_places(networks[2:])
    assert places == ["192.168.1.5", "10.0.0.5", 2]
    assert any(each.address == "127.0.0.1" for each in interfaces.local_networks())


def test_the_own_record_names_no_loopback_beside_real_addresses():
    record = GatewayRecord(gateway_id="x", version="1", state="claimed", port=1)
    networks = (
        LocalNetwork("lo", 1, "127.0.0.1", 8),
        LocalNetwork("eth0", 2, "192.168.1.5", 24),
        LocalNetwork("eth0", 2, "fe80::5%2", 64),
    )
    assert service_info(record, networks).parsed_addresses() == ["192.168.1.5", "fe80::5"]
    assert service_info(record, networks[:1]).parsed_addresses() == ["127.0.0.1"]
    assert record.instance == "softnet-gw-x"


def test_settings_have_bounds():
    check(DiscoverySettings())
    with pytest.raises(InvalidInput):
        check(DiscoverySettings(refresh_seconds=random.choice([0.0, 1e9])))
