"""From the first version of the file to the present one, and never from a future one."""

from __future__ import annotations

import hashlib
import sqlite3

import pytest
from sqlite_utils import Database

from gateway.base.errors import HostError
from gateway.registry import audit, clients, members, migrations, snapshots
from gateway.registry.schema_box import APPLIANCE
from gateway.registry.schema_events import EVENTS
from gateway.registry.schema_model import MANAGEMENT_MODEL, RETIRED_KEYS
from gateway.registry.schema_people import PEOPLE
from tests.registry.furnished import OpenRegistry

# What each released step was made of. A step that has been released never changes: add another.
RELEASED = {
    "0001_management_model": (
        MANAGEMENT_MODEL,
        "a79552475c01cb1346b0c27a5ac12f4ec50923a4488e922bf71fb9ac65c11ff3",
    ),
    "0002_appliance": (
        APPLIANCE,
        "af077dcc0a3132d07bedf91df621af63ee3670ec30ced33faad8d498bb96d988",
    ),
    "0003_people": (
        PEOPLE,
        "d6c53f6172298fc38c8bd281256aa789cea448f0f6ca1e676c72a401e23edc1d",
    ),
    "0004_events": (
        EVENTS,
        "6e04400ba7a5327bab0236cf2d970ccc4e34a19c4c6b4358d74bb237c14ed69d",
    ),
    "0005_retired_keys": (
        RETIRED_KEYS,
        "448f9206f086f10426a3a5a81bccbdfec6ce0ab62eef7e6a469017b9f0f44eac",
    ),
}


def _first_version(path) -> None:
    """Write a file as the first step left it, with a site and a client in it."""
    conn = sqlite3.connect(path, isolation_level=None)
    db = Database(conn, execute_plugins=False)
    migrations.STEPS.apply(db, stop_before="0002_appliance")
    conn.executescript("""
        INSERT INTO owner(account_name, full_name, authority, pw_record, created_at)
          VALUES ('markus', 'Markus Schmidt', 2, '$x', 1);
        INSERT INTO domain(owner_id, name, created_at) VALUES (1, 'Home', 1);
        INSERT INTO domain_user(domain_id, owner_id, kind, name, created_at)
          VALUES (1, 1, 1, 'Owner', 1), (1, 1, 4, 'Guest', 1), (1, 1, 2, 'Alison', 1);
        INSERT INTO site(uid, domain_id, site_key, description, created_at)
          VALUES (randomblob(16), 1, 'sitekey', 'Lamp', 1);
        INSERT INTO service(uid, site_id, hostname, created_at)
          VALUES (randomblob(16), 1, 'Service1', 1);
        INSERT INTO client(client_key, site_id, domain_id, user_id, creator_id, created_at)
          VALUES ('clientkey', 1, 1, 3, 1, 1);
    """)
    conn.close()


async def test_a_file_of_the_first_version_is_brought_up_to_date(open_registry, tmp_path):
    _first_version(tmp_path / "registry.sqlite")
    async with open_registry() as room:
        client = await room.read(clients.by_key, "clientkey")
        assert client.user_name == "Alison"
        assert (await room.read(snapshots.load, 1)).services[0].hostname == "Service1"
        assert len(await room.read(members.list_users, 1)) == 3
        await room.write(audit.append, 1, "", "opened", "box")
        assert (await room.read(audit.verify)).rows == 1


async def test_opening_again_applies_nothing(open_registry: OpenRegistry, tmp_path):
    async with open_registry():
        pass
    db = Database(tmp_path / "registry.sqlite")
    try:
        assert migrations.bring_up_to_date(db) == ()
        applied = [done.name for done in migrations.STEPS.applied(db)]
    finally:
        db.close()
    assert tuple(applied) == migrations.step_names()


async def test_a_file_of_a_later_version_is_refused_untouched(open_registry, tmp_path):
    path = tmp_path / "registry.sqlite"
    async with open_registry():
        pass
    conn = sqlite3.connect(path)
    conn.execute(
        "INSERT INTO _sqlite_migrations(migration_set, name, applied_at)"
        " VALUES ('gateway.registry', '0999_from_the_future', '2040')"
    )
    conn.commit()
    conn.close()
    with pytest.raises(HostError, match=r"newer version .*0999_from_the_future.*backup"):
        async with open_registry():
            pass


def test_a_step_that_fails_leaves_the_file_at_the_step_before(tmp_path, monkeypatch):
    db = Database(tmp_path / "registry.sqlite")
    monkeypatch.setattr(migrations, "APPLIANCE", APPLIANCE + "CREATE TABLE audit (id INTEGER);")
    try:
        with pytest.raises(sqlite3.OperationalError):
            migrations.bring_up_to_date(db)
        assert [done.name for done in migrations.STEPS.applied(db)] == ["0001_management_model"]
        assert "device" not in db.table_names()
        monkeypatch.undo()
        assert migrations.bring_up_to_date(db) == tuple(RELEASED)[1:]
    finally:
        db.close()


def test_released_steps_never_change():
    texts = {
        name: hashlib.sha256(text.encode()).hexdigest() for name, (text, _) in RELEASED.items()
    }
    assert texts == {name: digest for name, (_, digest) in RELEASED.items()}
    assert tuple(RELEASED) == migrations.step_names()
