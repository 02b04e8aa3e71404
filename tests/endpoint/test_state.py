"""Files of events: whole, cut off, damaged, foreign, full, and a disk that fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from gateway.base.entropy import SystemEntropy
from gateway.base.errors import HostError, InvalidInput, QuotaExceeded
from gateway.endpoint import records, state
from gateway.endpoint.state import FilePositions, FileQueue, StateSettings
from gateway.model.kinds import EventKind
from gateway.model.structure import EventDefinition, SiteStructure
from gateway.protocol.endpoint_outbox import Outbox, Raised, WhenFull
from gateway.wire.pubsub import NewStorageUid

OWNER = b"u" * 16
STRUCTURE = SiteStructure(
    "Lamp",
    "me",
    events=(
        EventDefinition(EventKind.REPLACING, "State"),
        EventDefinition(EventKind.QUEUEING, "Alarm", 60, 10),
        EventDefinition(EventKind.PRIVATE, "Note", 60),
    ),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events"


def raised(number: int, arguments: bytes | None = b"\x30\x03\x02\x01\x07") -> Raised:
    return Raised(EventKind.QUEUEING, "Alarm", bytes([number]) * 16, arguments)


def opened(path: Path, owner: bytes = OWNER, **settings: Any) -> tuple[FileQueue, state.Kept]:
    queue = FileQueue(path, StateSettings(**settings))
    return queue, queue.open(owner, SystemEntropy())


def killed(queue: FileQueue) -> None:
    queue._file.close()


def test_what_waits_is_found_again_in_order(path: Path) -> None:
    queue, kept = opened(path)
    ones = [
        raised(1),
        Raised(EventKind.REPLACING, "State", b"s" * 16, None, null=True),
        Raised(EventKind.PRIVATE, "Note", b"n" * 16, None, client_id=1 << 40),
        raised(2, None),
    ]
    for one in ones:
        queue.put(one, ())
    queue.drop([ones[0].instance_uid])
    queue.put(raised(3), [ones[1].instance_uid])
    killed(queue)
    again, found = opened(path)
    assert found.raised == (ones[2], ones[3], raised(3))
    assert (found.storage_uid, found.problem) == (kept.storage_uid, "")
    assert path.stat().st_mode & 0o777 == 0o600
    again.close()


def test_a_last_record_cut_at_any_octet_is_as_if_it_had_not_been_begun(path: Path) -> None:
    queue, kept = opened(path)
    queue.put(raised(1), ())
    whole = path.stat().st_size
    queue.put(raised(2), ())
    killed(queue)
    octets = path.read_bytes()
    for end in range(whole, len(octets)):
        for tail in (b"", b"\0" * 50):  # file systems may lengthen a file before they fill it
            path.write_bytes(octets[:end] + tail)
            found, after = opened(path)
            assert after.raised == (raised(1),), end
            assert (after.storage_uid, after.problem) == (kept.storage_uid, "")
            killed(found)


def test_damage_is_set_aside_and_told(path: Path) -> None:
    queue, kept = opened(path)
    queue.put(raised(1), ())
    middle = path.stat().st_size - 5
    queue.put(raised(2), ())
    killed(queue)
    octets = bytearray(path.read_bytes())
    octets[middle] ^= 1
    path.write_bytes(octets)
    queue, after = opened(path)
    assert after.raised == ()
    assert after.storage_uid != kept.storage_uid
    assert "damaged" in after.problem
    assert path.with_name("events.old").read_bytes() == bytes(octets)
    queue.put(raised(3), ())
    queue.close()
    assert opened(path)[1].raised == (raised(3),)


@pytest.mark.parametrize("octets", [b"", b"soft", b"\0" * 4096])
def test_a_file_that_was_never_written_is_new(path: Path, octets: bytes) -> None:
    path.write_bytes(octets)
    queue, kept = opened(path)
    assert (kept.raised, kept.problem) == ((), "")
    queue.close()


@pytest.mark.parametrize("octets", [b"hello, world, hello", b"\xff" * 100])
def test_a_file_of_something_else_is_set_aside(path: Path, octets: bytes) -> None:
    path.write_bytes(octets)
    queue, kept = opened(path)
    assert "damaged" in kept.problem
    queue.close()


def test_a_file_belongs_to_one_service(path: Path) -> None:
    queue, kept = opened(path)
    queue.put(raised(1), ())
    queue.close()
    other, found = opened(path, b"v" * 16)
    assert found.raised == ()
    assert found.storage_uid != kept.storage_uid
    assert "another service" in found.problem
    other.close()


def test_two_programs_do_not_share_a_file(path: Path) -> None:
    queue, _ = opened(path)
    with pytest.raises(HostError, match="used by another program"):
        opened(path)
    queue.put(raised(1), ())
    queue.close()


def test_the_storage_uid_changes_when_a_power_cut_may_have_taken_something(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, first = opened(path, durable=False)
    queue.put(raised(1), ())
    killed(queue)
    queue, same = opened(path, durable=False)
    assert same.storage_uid == first.storage_uid
    queue.close()
    monkeypatch.setattr(state, "_boot", lambda: "later")
    queue, closed = opened(path, durable=False)
    assert closed.storage_uid == first.storage_uid
    killed(queue)
    monkeypatch.setattr(state, "_boot", lambda: "much later")
    queue, other = opened(path)
    assert other.storage_uid != first.storage_uid
    assert other.raised == (raised(1),)
    killed(queue)
    monkeypatch.setattr(state, "_boot", lambda: "at the end")
    queue, waited = opened(path)  # every record waited for the disk
    assert waited.storage_uid == other.storage_uid
    queue.close()


def test_a_full_storage_rejects_and_changes_nothing(path: Path) -> None:
    queue, _ = opened(path, capacity=8192)
    big = b"\x30\x82\x07\x00" + bytes(0x700)
    for number in range(4):
        queue.put(raised(number, big), ())
    with pytest.raises(QuotaExceeded):
        queue.put(raised(9, big), ())
    queue.put(raised(9, big), [raised(0).instance_uid])
    killed(queue)
    found, kept = opened(path)
    assert [one.instance_uid[0] for one in kept.raised] == [1, 2, 3, 9]
    found.close()
    with pytest.raises(InvalidInput):
        FileQueue(path, StateSettings(capacity=100))


def test_trap_e10_a_full_file_drops_the_oldest_where_it_may(path: Path) -> None:
    settings = StateSettings(capacity=8192)
    outbox = Outbox(
        STRUCTURE, FileQueue(path, settings), OWNER, SystemEntropy(), WhenFull.DROP_OLDEST
    )
    big = b"\x30\x82\x07\x00" + bytes(0x700)
    uids = [outbox.raise_event(EventKind.QUEUEING, "Alarm", big).instance_uid for _ in range(7)]
    assert [one.instance_uid for one in outbox.take_dropped()] == uids[:3]
    outbox._queue._file.close()  # type: ignore[attr-defined]
    queue, kept = opened(path)
    assert [one.instance_uid for one in kept.raised] == uids[3:]
    queue.close()


def test_a_file_does_not_grow_for_ever(path: Path) -> None:
    queue, _ = opened(path, durable=False)
    for number in range(3000):
        queue.put(raised(number % 250), ())
        queue.drop([raised(number % 250).instance_uid])
    assert path.stat().st_size <= records.SLACK + 1000
    queue.close()


def test_a_failing_disk_makes_it_a_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox(STRUCTURE, FileQueue(path), OWNER, SystemEntropy())
    first = outbox.raise_event(EventKind.QUEUEING, "Alarm")
    outbox.begin(outbox.storage_uid)
    outbox.pull(0.0)
    before = outbox.storage_uid

    def full(_handle: int, _octets: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        outbox.raise_event(EventKind.QUEUEING, "Alarm")
    (problem,) = outbox.take_problems()
    assert "No space left" in problem
    assert "in memory only" in problem
    assert not path.exists()
    assert len(outbox) == 2
    assert outbox.storage_uid != before
    assert outbox.pull(1.0) == [NewStorageUid(outbox.storage_uid)]
    assert outbox.acknowledge(first.instance_uid) is not None
    outbox.close()


def test_a_file_that_cannot_be_opened_makes_it_a_memory(tmp_path: Path) -> None:
    outbox = Outbox(STRUCTURE, FileQueue(tmp_path / "no" / "where"), OWNER, SystemEntropy())
    (problem,) = outbox.take_problems()
    assert "cannot be read" in problem
    outbox.raise_event(EventKind.QUEUEING, "Alarm")
    assert len(outbox) == 1


def test_what_the_structure_lacks_is_dropped(path: Path) -> None:
    queue, _ = opened(path)
    queue.put(raised(1), ())
    queue.put(Raised(EventKind.REPLACING, "Alarm", b"x" * 16), ())
    queue.put(Raised(EventKind.QUEUEING, "Gone", b"y" * 16), ())
    queue.close()
    outbox = Outbox(STRUCTURE, FileQueue(path), OWNER, SystemEntropy())
    assert len(outbox) == 1
    outbox.close()
    again, kept = opened(path)
    assert kept.raised == (raised(1),)
    again.close()


def test_positions(tmp_path: Path) -> None:
    path = tmp_path / "positions"

    def found(account: str) -> tuple[dict[str, int], str]:
        positions = FilePositions(path)
        live, problem = positions.open(account)
        positions.close()
        return dict(live), problem

    positions = FilePositions(path)
    assert positions.open("key@server") == ({}, "")
    for number in range(5):
        positions.put("Alarm", number)
    positions.put("State", 1 << 40)
    positions.close()
    assert found("key@server") == ({"Alarm": 4, "State": 1 << 40}, "")
    live, problem = found("other@server")
    assert live == {}
    assert "another client" in problem
    octets = bytearray(path.with_name("positions.old").read_bytes())
    octets[30] ^= 1
    path.write_bytes(octets)
    live, problem = found("key@server")
    assert live == {}
    assert "damaged" in problem
