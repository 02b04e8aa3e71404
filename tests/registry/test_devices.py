"""Devices: sighted, adopted, renamed, set free, forgotten."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.errors import Conflict, InvalidInput, NotFound, QuotaExceeded
from gateway.model.devices import DeviceState, Sighting
from gateway.registry import devices, services
from gateway.registry.changes import DeviceChanged, DeviceDeleted, SiteChanged
from gateway.registry.settings import RegistrySettings
from tests.registry.furnished import Opened, OpenRegistry, make_site

SEEN = Sighting("mac:0011", "rtsp", name="Cam", maker="Acme", model="M1", address="10.0.0.5",
                port=554, path="/main", properties={"txt": "1"})  # fmt: skip
change = dataclasses.replace


async def _see(room: Opened, sighting: Sighting = SEEN) -> int:
    return (await room.write(devices.upsert_sighting, sighting)).id


async def test_a_new_device_waits(open_registry: OpenRegistry):
    async with open_registry() as room:
        device_id = await _see(room)
        device = await room.read(devices.get, device_id)
        assert device.seen == SEEN
        assert (device.state, device.service_id, device.site_id) == (
            DeviceState.PENDING,
            None,
            None,
        )
        assert room.heard == [(DeviceChanged(device_id),)]
        assert await room.read(devices.by_identity, "mac:0011") == device
        assert await room.read(devices.by_identity, "other") is None


async def test_a_moved_device_is_the_same_device(open_registry: OpenRegistry):
    async with open_registry() as room:
        device_id = await _see(room)
        moved = Sighting("mac:0011", "rtsp", address="10.0.0.9", properties={"new": "2"})
        assert await room.changes_of(devices.upsert_sighting, moved) == {DeviceChanged(device_id)}
        device = await room.read(devices.get, device_id)
        assert device.seen == change(SEEN, address="10.0.0.9",
                                     properties={"new": "2", "txt": "1"})  # fmt: skip


async def test_the_same_sighting_again_is_no_change(open_registry: OpenRegistry):
    async with open_registry() as room:
        device_id = await _see(room)
        first = (await room.read(devices.get, device_id)).last_seen_at
        room.clock.seconds += 10
        assert await room.changes_of(devices.upsert_sighting, SEEN) == set()
        assert (await room.read(devices.get, device_id)).last_seen_at == first
        room.clock.seconds += devices.SEEN_EVERY
        assert await room.changes_of(devices.upsert_sighting, SEEN) == set()
        assert (await room.read(devices.get, device_id)).last_seen_at == room.clock.seconds


async def test_adoption_binds_one_device_to_one_service(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        device_id = await _see(room)
        other_id = await _see(room, change(SEEN, identity="mac:0022"))
        assert await room.changes_of(devices.adopt, device_id, built.service.id) == {
            DeviceChanged(device_id)
        }
        assert await room.changes_of(devices.adopt, device_id, built.service.id) == set()
        device = await room.read(devices.by_service, built.service.id)
        assert (device.id, device.state, device.site_id) == (
            device_id, DeviceState.ADOPTED, built.site.id
        )  # fmt: skip
        second = await room.write(services.add, built.site.id)
        with pytest.raises(Conflict, match="adopted already"):
            await room.write(devices.adopt, device_id, second.id)
        with pytest.raises(Conflict, match="Another device"):
            await room.write(devices.adopt, other_id, built.service.id)
        with pytest.raises(NotFound):
            await room.write(devices.adopt, other_id, 99)
        states = {state: len(await room.read(devices.list_all, state)) for state in DeviceState}
        assert states == {"pending": 1, "adopted": 1, "ignored": 0}
        assert len(await room.read(devices.list_all)) == 2


async def test_an_adopted_device_keeps_its_name_and_driver(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        device_id = await _see(room)
        await room.write(devices.adopt, device_id, built.service.id)
        changes = await room.changes_of(devices.rename, device_id, "Front door")
        assert changes == {DeviceChanged(device_id), SiteChanged(built.site.id)}
        await _see(room, change(SEEN, name="Other", driver="onvif", firmware="2"))
        device = await room.read(devices.get, device_id)
        assert (device.name, device.seen.driver, device.seen.firmware) == (
            "Front door",
            "rtsp",
            "2",
        )
        assert (await room.read(services.get, built.service.id)).hostname == "Front door"
        with pytest.raises(InvalidInput):
            await room.write(devices.rename, device_id, "Vordertür")


async def test_setting_free_waving_aside_forgetting(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        device_id = await _see(room)
        with pytest.raises(InvalidInput, match="Choose the service"):
            await room.write(devices.set_state, device_id, DeviceState.ADOPTED)
        await room.write(devices.adopt, device_id, built.service.id)
        changed = {DeviceChanged(device_id)}
        for state in (DeviceState.IGNORED, DeviceState.PENDING):
            assert await room.changes_of(devices.set_state, device_id, state) == changed
            assert await room.changes_of(devices.set_state, device_id, state) == set()
            assert (await room.read(devices.get, device_id)).service_id is None
        await room.read(services.get, built.service.id)
        assert await room.changes_of(devices.forget, device_id) == {DeviceDeleted(device_id)}
        with pytest.raises(NotFound):
            await room.write(devices.forget, device_id)


async def test_a_deleted_service_frees_its_device(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        device_id = await _see(room)
        await room.write(devices.adopt, device_id, built.service.id)
        changes = await room.changes_of(services.delete, built.service.id)
        assert DeviceChanged(device_id) in changes
        device = await room.read(devices.get, device_id)
        assert (device.state, device.adopted_at) == (DeviceState.PENDING, None)


async def test_a_flood_of_devices_is_bounded(open_registry: OpenRegistry):
    async with open_registry(RegistrySettings(pending_devices=10)) as room:
        for number in range(10):
            await _see(room, change(SEEN, identity=f"mac:{number}"))
        with pytest.raises(QuotaExceeded, match="10 devices wait"):
            await _see(room, change(SEEN, identity="mac:more"))
        await _see(room, change(SEEN, identity="mac:3", address="10.0.0.77"))


@pytest.mark.parametrize("identity", ["", " ", "a\nb", " a", "x" * 257])
async def test_identities_are_clean(open_registry: OpenRegistry, identity):
    async with open_registry() as room:
        with pytest.raises(InvalidInput, match="identity"):
            await _see(room, change(SEEN, identity=identity))


TEXTS = st.text(max_size=400)


@given(
    st.builds(
        Sighting,
        st.just("mac:1"),
        st.just("rtsp"),
        *[TEXTS] * 7,
        st.integers(-10, 70_000),
        TEXTS,
        st.dictionaries(TEXTS, TEXTS, max_size=80),
    )
)
def test_whatever_the_network_says_fits_its_columns(sighting):
    known = devices._combined(Sighting("mac:1", "rtsp"), sighting)
    for text in devices._TEXTS:
        value = getattr(known, text)
        assert len(value) <= (2048 if text == "path" else 256)
        assert value.isprintable() or any(char.isspace() for char in value)
    assert 0 <= known.port <= 65_535
    assert len(devices._columns(known)["properties"]) <= 64 * 272
    assert devices._combined(known, sighting) == known
