"""The file, the writer thread, the readers and the feed."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from gateway.base.entropy import SystemEntropy
from gateway.base.errors import Conflict, Denied, HostError, InvalidInput, NotFound
from gateway.registry import domains, settings
from gateway.registry.changes import DomainChanged, SettingChanged
from gateway.registry.database import Registry
from gateway.registry.settings import RegistrySettings
from tests.registry.furnished import Opened, OpenRegistry, TurnedClock, make_owner


async def _count(room: Opened) -> int:
    return len(await room.read(settings.all_values))


async def test_pragmas_are_those_of_a_file_that_survives_a_power_cut(open_registry: OpenRegistry):
    async with open_registry() as room:
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "query_only")

        def ask(reader):
            return [reader.one(f"PRAGMA {name}")[0] for name in pragmas]

        assert await room.registry.write(ask) == ["wal", 2, 1, 5000, 0]
        assert (await room.registry.read(ask))[2:] == [1, 5000, 1]


async def test_the_file_and_its_companions_are_for_their_owner_only(open_registry, tmp_path):
    (tmp_path / "registry.sqlite").touch(0o644)
    async with open_registry() as room:
        await room.write(settings.put, "a", "1")
        found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert found == {
        "registry.sqlite": 0o600, "registry.sqlite-wal": 0o600, "registry.sqlite-shm": 0o600
    }  # fmt: skip


async def test_what_a_write_returned_is_read_by_others(open_registry: OpenRegistry):
    async with open_registry() as room:
        owner_id = await room.registry.write(make_owner)
        domain = await room.write(domains.add, owner_id, "Home")
        assert await room.read(domains.get, domain.id) == domain


async def test_a_failing_write_leaves_nothing_and_says_nothing(open_registry: OpenRegistry):
    async with open_registry() as room:

        def half(tx):
            settings.put(tx, "first", "1")
            raise NotFound("The second half is not there.")

        with pytest.raises(NotFound, match="second half"):
            await room.registry.write(half)
        assert await _count(room) == 0
        assert room.heard == []
        await room.write(settings.put, "next", "1")
        assert [type(change) for change in room.heard[0]] == [SettingChanged]


async def test_a_write_that_fails_only_at_its_commit_is_undone(open_registry: OpenRegistry):
    async with open_registry() as room:

        def dangling(tx):
            settings.put(tx, "a", "1")
            tx.run("PRAGMA defer_foreign_keys = ON")
            tx.insert("recent_use", owner_id=99, what="domain", ref_id=1, used_at=1)

        with pytest.raises(Conflict, match="FOREIGN KEY"):
            await room.registry.write(dangling)
        assert await _count(room) == 0
        assert room.heard == []


@pytest.mark.parametrize("stray", [StopIteration(), KeyError("x"), SystemExit(1)])
async def test_whatever_a_write_raises_reaches_its_caller(open_registry, stray):
    async with open_registry() as room:

        def fail(tx):
            raise stray

        with pytest.raises((RuntimeError, KeyError, SystemExit)):
            await room.registry.write(fail)
        await room.write(settings.put, "still", "works")
        assert await _count(room) == 1


async def test_subscribers_hear_each_transaction_once_in_commit_order(open_registry):
    async with open_registry() as room:

        def twice(tx, name):
            settings.put(tx, name, "1")
            settings.put(tx, name, "2")
            tx.changed(DomainChanged(7))

        await asyncio.gather(*(room.write(twice, f"n{n}") for n in range(50)))
        assert room.heard == [(SettingChanged(f"n{n}"), DomainChanged(7)) for n in range(50)]


async def test_subscribers_hear_on_the_loop_and_before_the_writer_returns(open_registry):
    async with open_registry() as room:
        threads: list[object] = []
        room.registry.subscribe(lambda _: threads.append(threading.current_thread()))
        await room.write(settings.put, "a", "1")
        assert threads == [threading.main_thread()]


async def test_a_failing_subscriber_stops_neither_others_nor_the_write(open_registry, caplog):
    async with open_registry() as room:
        later: list[object] = []

        def fail(changes):
            raise ValueError("page is gone")

        room.registry.subscribe(fail)
        room.registry.subscribe(later.append)
        with caplog.at_level(logging.ERROR):
            await room.write(settings.put, "a", "1")
        assert len(later) == 1
        assert "a subscriber of the registry failed" in caplog.text


async def test_an_ended_subscription_hears_nothing(open_registry):
    async with open_registry() as room:
        heard: list[object] = []
        end = room.registry.subscribe(heard.append)
        await room.write(settings.put, "a", "1")
        end()
        end()
        await room.write(settings.put, "a", "2")
        assert len(heard) == 1


async def test_a_cancelled_caller_neither_undoes_nor_hides_its_write(open_registry):
    async with open_registry() as room:
        inside, go = threading.Event(), threading.Event()

        def slow(tx):
            inside.set()
            assert go.wait(10)
            settings.put(tx, "kept", "1")

        task = asyncio.ensure_future(room.registry.write(slow))
        await asyncio.to_thread(inside.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()
        await room.write(settings.put, "next", "1")
        assert [batch[0] for batch in room.heard] == [
            SettingChanged("kept"),
            SettingChanged("next"),
        ]
        assert await room.read(settings.get, "kept") == "1"


async def test_many_writers_lose_nothing(open_registry: OpenRegistry):
    async with open_registry(RegistrySettings(queued_writes=3)) as room:

        def increment(tx):
            value = int(settings.get(tx, "n") or 0)
            settings.put(tx, "n", str(value + 1))

        await asyncio.gather(*(room.registry.write(increment) for _ in range(300)))
        assert await room.read(settings.get, "n") == "300"


async def test_a_reader_sees_one_moment_while_others_write(open_registry: OpenRegistry):
    async with open_registry() as room:
        await room.write(settings.put, "n", "1")
        begun, written = threading.Event(), threading.Event()

        def look_twice(reader):
            first = settings.get(reader, "n")
            begun.set()
            assert written.wait(10)
            return first, settings.get(reader, "n")

        looking = asyncio.ensure_future(room.registry.read(look_twice))
        await asyncio.to_thread(begun.wait, 10)
        await room.write(settings.put, "n", "2")
        written.set()
        assert await looking == ("1", "1")
        assert await room.read(settings.get, "n") == "2"


async def test_readers_cannot_write(open_registry: OpenRegistry):
    async with open_registry() as room:
        with pytest.raises(HostError):
            await room.registry.read(lambda reader: reader.rows("DELETE FROM setting"))


async def test_closing_finishes_what_was_queued_and_refuses_the_rest(open_registry, tmp_path):
    async with open_registry() as room:
        queued = [asyncio.ensure_future(room.write(settings.put, f"n{n}", "1")) for n in range(20)]
        await asyncio.sleep(0)
        await asyncio.gather(room.registry.close(), room.registry.close())
        assert all(task.done() and task.exception() is None for task in queued)
        with pytest.raises(HostError, match="stopping"):
            await room.write(settings.put, "late", "1")
        with pytest.raises(HostError, match="stopping"):
            await room.read(settings.all_values)
        await room.registry.close()
    async with open_registry() as again:
        assert await _count(again) == 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["registry.sqlite"]


async def _open(path: Path, **named: object) -> Registry:
    return await Registry.open(path, clock=TurnedClock(), entropy=SystemEntropy(), **named)


async def test_a_damaged_file_is_refused_with_what_to_do(open_registry, tmp_path):
    path = tmp_path / "registry.sqlite"
    async with open_registry() as room:
        for n in range(200):
            await room.write(settings.put, f"n{n}", "x" * 500)
    octets = bytearray(path.read_bytes())
    for offset in range(8192, len(octets), 4096):
        octets[offset : offset + 256] = os.urandom(256)
    path.write_bytes(octets)
    with pytest.raises(HostError, match=r"damaged .*restore a backup"):
        await _open(path)


async def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "registry.sqlite"
    path.write_bytes(b"not a database at all, not even nearly" * 100)
    with pytest.raises(HostError, match=r"damaged .*restore a backup"):
        await _open(path)


async def test_a_place_that_cannot_be_used_is_named(tmp_path):
    with pytest.raises(HostError, match="Check its folder and owner"):
        await _open(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match=r"file/registry\.sqlite"):
        await _open(tmp_path / "file" / "registry.sqlite")


async def test_a_missing_folder_is_made(tmp_path):
    registry = await _open(tmp_path / "a" / "b" / "registry.sqlite")
    await registry.close()
    assert (tmp_path / "a" / "b" / "registry.sqlite").exists()


async def test_settings_out_of_bounds_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="key_length"):
        await _open(tmp_path / "r", settings=RegistrySettings(key_length=3))


async def test_a_full_disk_is_explained_and_changes_nothing(open_registry: OpenRegistry):
    async with open_registry() as room:

        def fill(tx):
            tx.db.execute("PRAGMA max_page_count = 1")
            for n in range(200):
                settings.put(tx, f"n{n}", "x" * 4000)

        with pytest.raises(HostError, match=r"full\. Free some space; nothing was changed"):
            await room.registry.write(fill)
        assert await _count(room) == 0


async def test_another_program_that_holds_the_file_is_named(open_registry, tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.registry.database.BUSY_MILLISECONDS", 50)
    async with open_registry() as room:
        other = sqlite3.connect(tmp_path / "registry.sqlite", isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(HostError, match="Another program holds"):
                await room.write(settings.put, "a", "1")
        finally:
            other.close()
        await room.write(settings.put, "a", "1")


async def test_a_write_holds_the_file_from_its_first_statement(open_registry, tmp_path):
    async with open_registry() as room:

        def intrude(tx):
            settings.get(tx, "a")
            other = sqlite3.connect(tmp_path / "registry.sqlite", isolation_level=None, timeout=0)
            try:
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    other.execute("BEGIN IMMEDIATE")
            finally:
                other.close()

        await room.registry.write(intrude)


async def test_password_hashing_is_one_at_a_time_and_bounded(open_registry: OpenRegistry):
    async with open_registry(RegistrySettings(queued_hashes=3)) as room:
        running = most = 0
        go = threading.Event()

        def hash_slowly() -> int:
            nonlocal running, most
            running += 1
            most = max(most, running)
            assert go.wait(10)
            running -= 1
            return 1

        waiting = [asyncio.ensure_future(room.registry.hash(hash_slowly)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Denied, match="Try again in a few seconds") as refused:
            await room.registry.hash(hash_slowly)
        assert refused.value.code == "busy"
        go.set()
        assert await asyncio.gather(*waiting) == [1, 1, 1]
        assert most == 1


def test_a_loop_that_ends_without_closing_does_not_hang_the_writer(tmp_path):
    async def leave() -> Registry:
        registry = await _open(tmp_path / "r.sqlite")
        await registry.write(lambda tx: settings.put(tx, "a", "1"))
        return registry

    registry = asyncio.run(leave())
    registry._jobs.put(None)
    registry._writer.join(10)
    assert not registry._writer.is_alive()
