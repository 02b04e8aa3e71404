"""One record for each device: merged, moved, doubled, gone and back."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.discovery import sightings
from gateway.discovery.matching import Sighting, candidates
from gateway.discovery.sightings import (
    DeviceGone,
    DeviceMoved,
    DeviceSeen,
    SightingBook,
    by_identity,
)
from gateway.driverkit.manifest import DriverManifest, MdnsMatch

AXIS = DriverManifest(
    name="axis", title="Axis", driver="x:Y", mdns=(MdnsMatch("_axis-video._tcp"),), priority=80,
    maker="Axis",
)  # fmt: skip
RTSP = DriverManifest(
    name="rtsp",
    title="RTSP",
    driver="x:Y",
    mdns=(MdnsMatch("_rtsp._tcp"),),
    needs_credentials=False,
)
MAC = "accc8e3c0419"
IDENTITY = f"mac:{MAC}"

VIDEO = Sighting(
    service_type="_axis-video._tcp",
    name="AXIS M5014",
    host="axis-accc8e3c0419.local",
    addresses=("192.168.1.9",),
    port=80,
    properties={"macaddress": MAC},
)
STREAM = Sighting(
    service_type="_rtsp._tcp",
    name="AXIS M5014 H.264",
    host="axis-accc8e3c0419.local",
    addresses=("192.168.1.9",),
    port=554,
    properties={"path": "/axis-media/media.amp"},
)
PRINTER = replace(VIDEO, service_type="_ipp._tcp", name="printer")


def book(**changes: float) -> SightingBook:
    return SightingBook(**{"gone_after": 4.0, "forget_after": 100.0, **changes})


def see(into: SightingBook, seen: Sighting, now: float):
    return into.seen(seen, candidates(seen, (AXIS, RTSP)), now)


def test_two_announcements_of_one_host_are_one_device_whichever_comes_first():
    for order in ((VIDEO, STREAM), (STREAM, VIDEO)):
        seen = book()
        for each in order:
            see(seen, each, 1.0)
        (record,) = seen.records
        assert (record.identity, record.driver, record.port) == (IDENTITY, "axis", 80)
        assert record.service_types == ("_axis-video._tcp", "_rtsp._tcp")
        assert record.properties["path"] == "/axis-media/media.amp"
        assert (record.maker, record.present, record.conflict) == ("Axis", True, False)


def test_a_nameless_record_gives_way_to_the_device_it_belongs_to():
    seen = book()
    (first,) = see(seen, STREAM, 1.0)
    assert isinstance(first, DeviceSeen)
    assert first.record.identity == ""
    events = see(seen, VIDEO, 2.0)
    assert [type(each) for each in events] == [DeviceSeen, DeviceGone]
    assert events[0].record.identity == IDENTITY
    assert events[1].record.key == first.record.key
    assert by_identity(seen.records, "") is None
    assert by_identity(seen.records, IDENTITY) == events[0].record


def test_what_no_driver_knows_or_nobody_can_reach_is_passed_over():
    seen = book()
    assert see(seen, PRINTER, 1.0) == ()
    assert see(seen, replace(VIDEO, addresses=()), 1.0) == ()
    assert seen.records == ()


def test_another_address_is_a_move_of_the_same_device():
    seen = book()
    see(seen, VIDEO, 1.0)
    (event,) = see(seen, replace(VIDEO, addresses=("192.168.1.77",)), 5.0)
    assert isinstance(event, DeviceMoved)
    assert (event.previous.address, event.record.address) == ("192.168.1.9", "192.168.1.77")
    assert event.record.identity == IDENTITY
    assert (event.record.first_seen, event.record.last_seen) == (1.0, 5.0)


def test_the_same_again_is_no_event():
    seen = book()
    see(seen, VIDEO, 1.0)
    assert see(seen, VIDEO, 9.0) == ()
    assert seen.records[0].last_seen == 9.0
    changed = replace(VIDEO, properties={"macaddress": MAC, "model": "M5014"})
    (event,) = see(seen, changed, 10.0)
    assert isinstance(event, DeviceSeen)
    assert (event.record.identity, event.record.model) == (IDENTITY, "M5014")


def test_a_goodbye_counts_after_its_grace_only():
    seen = book()
    see(seen, VIDEO, 1.0)
    assert seen.left(VIDEO.key, 10.0) == ()
    assert seen.deadline == 14.0
    assert seen.tick(13.9) == ()
    (event,) = seen.tick(14.0)
    assert isinstance(event, DeviceGone)
    assert seen.records[0].present is False
    (back,) = see(seen, VIDEO, 20.0)
    assert isinstance(back, DeviceSeen)
    assert (back.record.present, back.record.first_seen) == (True, 1.0)


def test_a_camera_that_is_back_within_its_grace_was_never_gone():
    seen = book()
    see(seen, VIDEO, 1.0)
    seen.left(VIDEO.key, 10.0)
    assert see(seen, VIDEO, 12.0) == ()
    assert seen.tick(99.0) == ()
    assert seen.records[0].present


def test_one_of_two_announcements_gone_is_not_the_device_gone():
    seen = book()
    see(seen, VIDEO, 1.0)
    see(seen, STREAM, 1.0)
    seen.left(STREAM.key, 2.0)
    (event,) = seen.tick(6.0)
    assert isinstance(event, DeviceSeen)
    assert event.record.service_types == ("_axis-video._tcp",)


def test_a_second_claimant_is_flagged_and_does_not_take_over():
    seen = book()
    see(seen, VIDEO, 1.0)
    thief = replace(VIDEO, name="thief", host="evil.local", addresses=("192.168.1.66",))
    (event,) = see(seen, thief, 2.0)
    assert isinstance(event, DeviceSeen)
    assert event.record.conflict
    assert event.record.address == "192.168.1.9"
    seen.left(VIDEO.key, 3.0)
    (moved,) = seen.tick(7.0)
    assert isinstance(moved, DeviceMoved)
    assert (moved.record.address, moved.record.conflict) == ("192.168.1.66", False)


def test_absent_devices_are_forgotten_in_time():
    seen = book(gone_after=0.0)
    see(seen, VIDEO, 1.0)
    assert [type(each) for each in seen.left(VIDEO.key, 2.0)] == [DeviceGone]
    assert len(seen.records) == 1
    seen.tick(102.0)
    assert seen.records == ()
    assert seen.deadline is None


def test_the_book_is_bounded_and_makes_room_by_what_is_gone(monkeypatch):
    monkeypatch.setattr(sightings, "RECORDS_MAX", 8)
    seen = book(gone_after=0.0)

    def device(number: int) -> Sighting:
        properties = {"macaddress": f"accc8e{number:06x}"}
        return replace(VIDEO, name=f"d{number}", host=f"d{number}.local", properties=properties)

    for number in range(20):
        see(seen, device(number), float(number))
    assert len(seen.records) == 8
    seen.left(device(0).key, 30.0)
    see(seen, device(50), 31.0)
    assert len(seen.records) == 8
    assert by_identity(seen.records, "mac:accc8e000000") is None


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["see", "left", "tick"]),
        st.sampled_from([VIDEO, STREAM, PRINTER]),
        st.sampled_from(["192.168.1.9", "192.168.1.10", "10.0.0.1"]),
        st.sampled_from(["a.local", "b.local"]),
    ),
    max_size=30,
)


@given(_STEPS)
def test_events_tell_the_whole_story(steps):
    """Whoever follows the events knows what the book knows."""
    seen = book()
    told: dict[str, bool] = {}
    now = 0.0
    for what, base, address, host in steps:
        now += 1.5
        each = replace(base, addresses=(address,), host=host)
        if what == "see":
            events = see(seen, each, now)
        elif what == "left":
            events = seen.left(each.key, now)
        else:
            events = seen.tick(now)
        for event in events:
            told[event.record.key] = not isinstance(event, DeviceGone)
        present = {record.key for record in seen.records if record.present}
        assert present == {key for key, there in told.items() if there}
