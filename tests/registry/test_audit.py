"""The audit chain: only added to, and every change of a row is found."""

from __future__ import annotations

import sqlite3

import pytest

from gateway.base.errors import Conflict, NotFound
from gateway.registry import audit, domains, members, owners, sites
from gateway.registry.audit import Actor
from gateway.registry.changes import AuditAppended
from tests.registry.furnished import Opened, OpenRegistry, make_owner, make_site


async def _fill(room: Opened, count: int = 5) -> None:
    for number in range(count):
        kind = "client.add" if number % 2 else "client.delete"
        await room.write(audit.append, 1, "::1", kind, f"client {number}", f"detail {number}")


async def test_rows_are_read_newest_first_and_by_page(open_registry: OpenRegistry):
    async with open_registry() as room:
        await _fill(room)
        assert room.heard[-1] == (AuditAppended(5),)
        found = await room.read(audit.list_all, limit=2)
        assert [entry.id for entry in found] == [5, 4]
        found = await room.read(audit.list_all, limit=2, before_id=4)
        assert [entry.id for entry in found] == [3, 2]
        assert [e.id for e in await room.read(audit.list_all, action="client.add")] == [4, 2]
        (entry,) = await room.read(audit.list_all, object="client 3")
        assert (entry.actor_id, entry.address, entry.detail, entry.outcome) == (
            1, "::1", "detail 3", "done"
        )  # fmt: skip
        assert await room.read(audit.get, entry.id) == entry
        assert await room.read(audit.get, 99) is None
        assert len(await room.read(audit.list_all, limit=0)) == 1


async def test_a_row_stands_or_falls_with_what_it_tells_of(open_registry: OpenRegistry):
    async with open_registry() as room:

        def act(tx):
            audit.append(tx, 1, "", "domain.add", "domain 1")
            raise NotFound("Nothing came of it.")

        with pytest.raises(NotFound):
            await room.registry.write(act)
        assert await room.read(audit.list_all) == ()
        await _fill(room, 2)
        assert (await room.read(audit.verify)).rows == 2


async def test_neither_change_nor_deletion_nor_a_stray_row(open_registry: OpenRegistry):
    async with open_registry() as room:
        await _fill(room, 2)
        for sql in (
            "UPDATE audit SET detail = 'x' WHERE id = 1",
            "DELETE FROM audit WHERE id = 2",
            "INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE id = 1",
        ):
            with pytest.raises(Conflict):
                await room.registry.write(lambda tx, sql=sql: tx.run(sql))
        assert (await room.read(audit.verify)).broken_at is None


@pytest.mark.parametrize(
    ("sql", "broken_at"),
    [
        ("UPDATE audit SET detail = 'nothing' WHERE id = 3", 3),
        ("UPDATE audit SET at = at + 1 WHERE id = 1", 1),
        ("UPDATE audit SET actor_id = NULL WHERE id = 5", 5),
        ("DELETE FROM audit WHERE id = 2", 3),
        ("DELETE FROM audit WHERE id = 1", 2),
        ("UPDATE audit SET id = 9 WHERE id = 5", 9),
    ],
)
async def test_tampering_with_the_file_is_found(open_registry, tmp_path, sql, broken_at):
    async with open_registry() as room:
        await _fill(room)
    with sqlite3.connect(tmp_path / "registry.sqlite") as conn:
        for trigger in ("audit_never_changes", "audit_never_shrinks"):
            conn.execute(f"DROP TRIGGER {trigger}")
        conn.execute(sql)
    conn.close()
    async with open_registry() as room:
        report = await room.read(audit.verify)
        assert report.broken_at == broken_at


@pytest.mark.parametrize(
    ("sql", "missing", "finding"),
    [
        ("DELETE FROM audit WHERE id = 2", (2, 2), "Row 2 was removed."),
        ("DELETE FROM audit WHERE id IN (2, 3)", (2, 3), "Rows 2 to 3 were removed."),
        ("DELETE FROM audit WHERE id >= 4", (4, 5), "Rows 4 to 5 were removed from the end."),
        ("DELETE FROM audit", (1, 5), "Rows 1 to 5 were removed from the end."),
        ("UPDATE audit SET action = 'x' WHERE id = 4", None, "Row 4 was changed."),
    ],
)
async def test_a_removed_line_shows_also_after_more_was_added(
    open_registry, tmp_path, sql, missing, finding
):
    async with open_registry() as room:
        await _fill(room)
        assert (await room.read(audit.verify)).whole
    with sqlite3.connect(tmp_path / "registry.sqlite") as conn:
        for trigger in ("audit_never_changes", "audit_never_shrinks"):
            conn.execute(f"DROP TRIGGER {trigger}")
        conn.execute(sql)
    conn.close()
    async with open_registry() as room:
        report = await room.read(audit.verify)
        assert (report.whole, report.missing, report.finding) == (False, missing, finding)
        await _fill(room, 1)
        report = await room.read(audit.verify)
        assert (report.whole, report.missing) == (False, missing)


async def test_filters(open_registry: OpenRegistry):
    async with open_registry() as room:
        start = int(room.clock.seconds)
        await room.write(audit.append, 1, "192.0.2.1", "site.add", "site 1", "Büro")
        room.clock.seconds += 60
        await room.write(audit.append, 2, "::1", "site.delete", "site 2", "", "refused")
        await room.write(audit.append, None, "", "session.open", "camera 7", "100% direct")
        for wanted, ids in (
            ({"actor_id": 2}, [2]), ({"outcome": "refused"}, [2]), ({"action": "site.*"}, [2, 1]),
            ({"action": "site.add"}, [1]), ({"action": "*"}, [3, 2, 1]),
            ({"since": start + 60}, [3, 2]), ({"until": start + 60}, [1]),
            ({"text": "BÜRO"}, [1]), ({"text": "%"}, [3]), ({"text": "192.0"}, [1]),
            ({"text": "camera 7"}, [3]), ({"text": "half\ud800"}, []),
            ({"action": "site.*", "actor_id": 1, "text": "b"}, [1]),
        ):  # fmt: skip
            found = await room.read(audit.list_all, **wanted)
            assert [entry.id for entry in found] == ids, wanted
        assert await room.read(audit.actions) == ("session.open", "site.add", "site.delete")


async def test_rows_for_a_spreadsheet_hold_no_formulas(open_registry: OpenRegistry):
    async with open_registry() as room:
        await room.write(audit.append, 1, "@x", "=cmd|' /C calc'!A0", "+1", "-1\n2")
        (entry,) = await room.read(audit.list_all)
        row = audit.csv_row(entry, "2030-01-01", "Markus")
        assert len(row) == len(audit.CSV_HEADER)
        assert row[:8] == ("1", "2030-01-01", "1 Markus", "'@x", "'=cmd|' /C calc'!A0", "'+1",
                           "'-1\n2", "done")  # fmt: skip
        assert row[8] == entry.hash.hex()


async def test_a_write_with_an_actor_tells_every_change(open_registry: OpenRegistry):
    async with open_registry() as room:
        me = Actor(await room.write(make_owner), "192.0.2.1")
        built = await room.registry.write(
            audit.by(me, lambda tx: make_site(tx, owner_id=me.owner_id))
        )
        told = {(e.action, e.object) for e in await room.read(audit.list_all)}
        assert {
            ("domain.changed", f"domain {built.domain.id}"),
            ("site.added", f"site {built.site.id}"),
            ("service.added", f"service {built.service.id}"),
        } <= told  # fmt: skip
        assert {(e.actor_id, e.address) for e in await room.read(audit.list_all)} == {
            (me.owner_id, "192.0.2.1")
        }
        (before,) = await room.read(audit.list_all, limit=1)
        rename = audit.by(
            me, lambda tx: domains.rename(tx, built.domain.id, "Home"),
            "domain.rename", f"domain {built.domain.id}", "name=Home",
        )  # fmt: skip
        assert (await room.registry.write(rename)).name == "Home"
        (entry,) = await room.read(audit.list_all, limit=1)
        assert (entry.id, entry.action, entry.detail) == (
            before.id + 1, "domain.rename", "name=Home"
        )  # fmt: skip


async def test_what_fails_is_not_told_and_what_changes_nothing_neither(open_registry):
    async with open_registry() as room:
        me = Actor(await room.write(make_owner))
        for fn in (lambda tx: sites.get(tx, 99), lambda tx: members.delete_user(tx, 99)):
            with pytest.raises(NotFound):
                await room.registry.write(audit.by(me, fn))
        await room.registry.write(audit.by(me, lambda tx: owners.get(tx, me.owner_id)))
        assert await room.read(audit.list_all) == ()


async def test_an_intact_chain_ends_at_its_last_row(open_registry: OpenRegistry):
    async with open_registry() as room:
        empty = await room.read(audit.verify)
        assert (empty.rows, empty.broken_at, empty.head) == (0, None, audit.GENESIS)
        await _fill(room)
        report = await room.read(audit.verify)
        (last,) = await room.read(audit.list_all, limit=1)
        assert (report.rows, report.broken_at, report.head) == (5, None, last.hash)


async def test_overlong_and_odd_texts_are_cut_not_refused(open_registry: OpenRegistry):
    async with open_registry() as room:
        odd = "nul\0 half\ud800 " + "x" * 10_000
        entry_id = await room.write(audit.append, None, odd, odd, odd, odd, odd)
        entry = await room.read(audit.get, entry_id)
        assert (len(entry.detail), len(entry.object), len(entry.outcome)) == (4096, 256, 32)
        assert entry.detail.endswith("…")
        entry_id = await room.write(audit.append, None, "", "", "", "", "")
        assert (await room.read(audit.get, entry_id)).action == "?"
        assert (await room.read(audit.verify)).broken_at is None
