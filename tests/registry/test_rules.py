"""Every rule that the file itself keeps, shown to refuse: checks, keys, triggers."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

import pytest
from sqlite_utils import Database

from gateway.base.entropy import SystemEntropy
from gateway.model.kinds import SiteKind
from gateway.registry import audit, schema_box, schema_model, sites
from gateway.registry.database import Tx
from gateway.registry.migrations import bring_up_to_date
from gateway.registry.settings import RegistrySettings
from tests.registry.furnished import PLAIN, make_owner, make_site

# Furnished: owner 1 with domain 1 (Owner 1, Guest 2, Alison 3), site 1 multi with roles 1-3 and
# service 1, blank single site 2 with service 2, owner 2 with domain 2 (Owner 4, Guest 5) and plain
# single site 3 with service 3, contact 1 of owner 1, client 1, device 1, audit row 1.


@pytest.fixture(scope="module")
def furnished() -> Iterator[sqlite3.Connection]:
    conn = sqlite3.connect(":memory:", isolation_level=None)
    db = Database(conn, execute_plugins=False)
    conn.execute("PRAGMA foreign_keys = ON")
    bring_up_to_date(db)
    tx = Tx(db, 1000, RegistrySettings(), SystemEntropy())
    conn.execute("BEGIN")
    first = make_site(tx)
    conn.execute(
        "INSERT INTO domain_user(domain_id, owner_id, kind, name, created_at)"
        " VALUES (1, 1, 2, 'Alison', 1)"
    )
    sites.add(tx, first.domain.id)
    other = make_owner(tx, "julia")
    make_site(tx, PLAIN, SiteKind.SINGLE_SERVICE, other)
    conn.execute("INSERT INTO contact(owner_id, partner_id, name, created_at) VALUES (1,2,'J',1)")
    conn.execute(
        "INSERT INTO client(client_key, site_id, domain_id, user_id, creator_id, created_at)"
        " VALUES ('abcdefghi', 1, 1, 3, 1, 1)"
    )
    conn.execute(
        "INSERT INTO device(identity, driver, created_at, last_seen_at) VALUES ('mac:1','rtsp',1,1)"
    )
    audit.append(tx, 1, "::1", "made", "box")
    conn.execute("COMMIT")
    assert [row[0] for row in conn.execute("SELECT name FROM domain_user ORDER BY id")] == [
        "Owner", "Guest", "Alison", "Owner", "Guest"
    ]  # fmt: skip
    yield conn
    conn.close()


@pytest.fixture
def conn(furnished: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    furnished.execute("BEGIN")
    yield furnished
    if furnished.in_transaction:
        furnished.execute("ROLLBACK")


def _values(table: str, base: dict[str, str], **changed: str) -> str:
    row = {**base, **changed}
    return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(row.values())})"


OWNER = {"account_name": "'maria'", "full_name": "'Maria'", "pw_record": "'x'", "created_at": "1"}
SITE = {"uid": "randomblob(16)", "domain_id": "1", "site_key": "'nokeyyet'", "description": "'d'",
        "created_at": "1"}  # fmt: skip
SERVICE = {"uid": "randomblob(16)", "site_id": "1", "hostname": "'h'", "created_at": "1"}
USER = {"domain_id": "1", "owner_id": "1", "kind": "2", "name": "'Bob'", "created_at": "1"}
CLIENT = {"client_key": "'newkey'", "site_id": "1", "domain_id": "1", "user_id": "3",
          "creator_id": "1", "created_at": "1"}  # fmt: skip
CONTACT = {"owner_id": "2", "partner_id": "1", "name": "'M'", "created_at": "1"}
EVENT = {"site_id": "1", "kind": "1", "name": "'E'"}
ROLE = {"site_id": "1", "name": "'R'", "idx": "4"}
DEVICE = {"identity": "'mac:2'", "driver": "'rtsp'", "created_at": "1", "last_seen_at": "1"}
TOKEN = {"token_hash": "randomblob(32)", "name": "'ctl'", "scopes": "'read'", "created_at": "1"}
SESSION = {"token_hash": "randomblob(32)", "owner_id": "1", "csrf_key": "x'00'", "persistent": "0",
           "created_at": "1", "expires_at": "2"}  # fmt: skip
ACTION = {"token_hash": "randomblob(32)", "purpose": "'signup'", "created_at": "1",
          "expires_at": "2"}  # fmt: skip
INVITATION = {"inviter_id": "1", "ikey": f"'{'k' * 32}'", "description": "''",
              "make_provider": "0", "created_at": "1", "expires_at": "2"}  # fmt: skip
OUTBOX = {"purpose": "'x'", "to_addr": "'a'", "subject": "'s'", "body_text": "'b'",
          "created_at": "1", "expires_at": "2"}  # fmt: skip
SETUP = {"id": "1", "salt": "randomblob(16)", "code_hash": "randomblob(32)", "created_at": "1"}
UPLINK = {"service_id": "1", "remote_uri": "'softnet-srv://x@y'", "secret_box": "x'00'"}
ASKED = {"asked_for": "'a@b.c'", "source": "''", "at": "1"}
REQUEST = {"email": "'a@b.c'", "message": "''", "source": "''", "created_at": "1"}
AUDIT = {"at": "1", "actor_addr": "''", "action": "'a'", "object": "'o'", "detail": "''",
         "outcome": "'done'", "hash": "randomblob(32)",
         "prev_hash": "(SELECT hash FROM audit ORDER BY id DESC LIMIT 1)"}  # fmt: skip
TABLES = {"owner": OWNER, "site": SITE, "service": SERVICE, "domain_user": USER, "client": CLIENT,
          "contact": CONTACT, "event": EVENT, "role": ROLE, "device": DEVICE, "api_token": TOKEN,
          "web_session": SESSION, "action_token": ACTION, "invitation": INVITATION,
          "outbox": OUTBOX, "setup_code": SETUP, "uplink": UPLINK, "audit": AUDIT,
          "link_request": ASKED, "account_request": REQUEST}  # fmt: skip

LONG = "replace(hex(zeroblob({})), '0', 'x')"
BAD_VALUES = [
    ("owner", {"account_name": "'abc'"}), ("owner", {"account_name": LONG.format(33)}),
    ("owner", {"account_name": "'MARKUS'"}), ("owner", {"full_name": "'abc'"}),
    ("owner", {"full_name": LONG.format(33)}), ("owner", {"authority": "3"}),
    ("owner", {"enabled": "2"}), ("owner", {"email": LONG.format(129)}),
    ("owner", {"authority": "'much'"}), ("owner", {"pw_record": "NULL"}),
    ("site", {"uid": "randomblob(15)"}), ("site", {"uid": "(SELECT uid FROM site)"}),
    ("site", {"domain_id": "99"}), ("site", {"site_key": "'abc'"}),
    ("site", {"site_key": LONG.format(17)}), ("site", {"kind": "3"}),
    ("site", {"site_key": "(SELECT site_key FROM site)"}),
    ("site", {"description": LONG.format(49)}), ("site", {"enabled": "2"}),
    ("site", {"structured": "1"}), ("site", {"guest_support": "1"}), ("site", {"rbac": "1"}),
    ("site", {"implicit_users": "1"}), ("site", {"guest_allowed": "1"}),
    ("site", {"service_type": "''"}), ("site", {"ss_hash": "x'00'"}),
    ("service", {"uid": "randomblob(17)"}), ("service", {"site_id": "99"}),
    ("service", {"uid": "(SELECT uid FROM service)"}),
    ("service", {"hostname": "''"}), ("service", {"hostname": LONG.format(22)}),
    ("service", {"enabled": "2"}), ("service", {"ping_period": "9"}),
    ("service", {"ping_period": "301"}), ("service", {"version": LONG.format(33)}),
    ("service", {"salt": "randomblob(16)"}), ("service", {"salted_pw": "randomblob(20)"}),
    ("service", {"salt": "x'00'", "salted_pw": "randomblob(20)"}),
    ("service", {"salt": "randomblob(16)", "salted_pw": "x'00'"}),
    ("service", {"service_type": "'T'"}), ("service", {"ss_doc": "'{}'"}),
    ("service", {"storage_uid": "x'00'"}),
    ("domain_user", {"kind": "5"}), ("domain_user", {"kind": "1"}), ("domain_user", {"kind": "4"}),
    ("domain_user", {"name": "''"}), ("domain_user", {"name": LONG.format(19)}),
    ("domain_user", {"name": "'alison'"}), ("domain_user", {"name": "'OWNER'"}),
    ("domain_user", {"kind": "3"}), ("domain_user", {"contact_id": "1"}),
    ("domain_user", {"owner_id": "2"}), ("domain_user", {"dedicated": "2"}),
    ("domain_user", {"domain_id": "2", "owner_id": "2", "kind": "3", "contact_id": "1"}),
    ("client", {"client_key": "'abc'"}), ("client", {"client_key": LONG.format(17)}),
    ("client", {"client_key": "'abcdefghi'"}), ("client", {"domain_id": "2"}),
    ("client", {"user_id": "4"}), ("client", {"site_id": "3"}),
    ("client", {"creator_id": "NULL"}), ("client", {"creator_email": "'a@b.c'"}),
    ("client", {"creator_id": "99"}), ("client", {"description": LONG.format(129)}),
    ("client", {"ping_period": "5"}), ("client", {"salt": "randomblob(16)"}),
    ("contact", {"partner_id": "2"}), ("contact", {"name": "''"}),
    ("contact", {"owner_id": "1", "partner_id": "2"}), ("contact", {"user_default_name": "''"}),
    ("event", {"kind": "3"}), ("event", {"name": "''"}), ("event", {"name": "'Motion'"}),
    ("event", {"life_time": "59"}), ("event", {"life_time": "2592001"}),
    ("event", {"queue_size": "0"}), ("event", {"queue_size": "1001"}),
    ("event", {"guest_access": "3"}), ("role", {"name": "''"}), ("role", {"name": "'User'"}),
    ("role", {"idx": "31"}), ("role", {"idx": "0"}),
    ("device", {"identity": "''"}), ("device", {"identity": "'mac:1'"}), ("device", {"port": "-1"}),
    ("device", {"port": "65536"}), ("device", {"state": "'lost'"}),
    ("device", {"state": "'adopted'"}), ("device", {"service_id": "1"}),
    ("device", {"state": "'adopted'", "service_id": "1"}), ("device", {"adopted_at": "1"}),
    ("device", {"driver": "''"}), ("device", {"path": LONG.format(1025)}),
    ("api_token", {"token_hash": "x'00'"}), ("api_token", {"name": "''"}),
    ("api_token", {"scopes": "''"}), ("api_token", {"owner_id": "99"}),
    ("web_session", {"token_hash": "x'00'"}), ("web_session", {"owner_id": "99"}),
    ("web_session", {"persistent": "2"}),
    ("action_token", {"purpose": "'other'"}), ("action_token", {"purpose": "'pwd_reset'"}),
    ("action_token", {"purpose": "'guest_create'"}), ("action_token", {"purpose": "'guest_edit'"}),
    ("action_token", {"purpose": "'guest_browse'"}), ("action_token", {"token_hash": "x'00'"}),
    ("invitation", {"ikey": "'short'"}), ("invitation", {"description": LONG.format(513)}),
    ("invitation", {"make_provider": "2"}), ("outbox", {"state": "'lost'"}),
    ("setup_code", {"id": "2"}), ("setup_code", {"salt": "x'00'"}),
    ("setup_code", {"code_hash": "x'00'"}), ("setup_code", {"tries": "-1"}),
    ("uplink", {"remote_uri": "'http://x'"}), ("uplink", {"service_id": "99"}),
    ("link_request", {"asked_for": LONG.format(129)}), ("link_request", {"source": "NULL"}),
    ("account_request", {"email": LONG.format(129)}), ("account_request", {"message": "NULL"}),
    ("outbox", {"token_id": "99"}), ("outbox", {"invitation_id": "99"}),
    ("owner", {"email_pending": LONG.format(129)}),
    ("audit", {"action": "''"}), ("audit", {"hash": "x'00'"}), ("audit", {"outcome": "''"}),
    ("audit", {"object": LONG.format(129)}), ("audit", {"detail": LONG.format(2049)}),
]  # fmt: skip

TRIGGERED = [
    ("INSERT INTO user_role(user_id, role_id) VALUES (4, 1)", "not in one domain"),
    ("INSERT INTO user_role(user_id, role_id) VALUES (2, 1)", "the user is Guest"),
    ("INSERT INTO site_user(site_id, user_id, domain_id) VALUES (3, 5, 2)", "guest_allowed"),
    ("INSERT INTO site_user(site_id, user_id, domain_id) VALUES (1, 3, 1)", "without roles"),
    ("INSERT INTO site_user(site_id, user_id, domain_id) VALUES (2, 3, 1)", "without roles"),
    ("UPDATE site SET kind = 1 WHERE id = 1", "can become multi-service"),
    ("UPDATE site SET kind = 2 WHERE id = 3", "can become multi-service"),
    ("UPDATE site SET structured = 0, rbac = 0, guest_support = 0 WHERE id = 1", "blank again"),
    (_values("service", SERVICE, site_id="2"), "exactly one service"),
    ("DELETE FROM service WHERE id = 3", "goes only with the site"),
    ("UPDATE service SET uid = randomblob(16) WHERE id = 1", "keeps its uid"),
    ("UPDATE service SET site_id = 2 WHERE id = 1", "keeps its uid and its site"),
    ("UPDATE domain_user SET name = 'Boss' WHERE id = 1", "keep their names"),
    ("UPDATE domain_user SET name = 'Visitor' WHERE id = 2", "keep their names"),
    ("UPDATE domain_user SET kind = 2 WHERE id = 1", "no user changes its kind"),
    ("DELETE FROM domain_user WHERE id = 1", "go only with the domain"),
    ("DELETE FROM domain_user WHERE id = 2", "go only with the domain"),
    (_values("client", CLIENT, creator_id="NULL", creator_email="'a@b.c'"), "only guest clients"),
    (_values("audit", AUDIT, prev_hash="zeroblob(32)"), "continues the chain"),
    ("UPDATE audit SET detail = 'nothing'", "never change"),
    ("DELETE FROM audit", "never deleted"),
]


@pytest.mark.parametrize("table", TABLES)
def test_the_row_that_the_bad_ones_are_made_of_is_good(conn, table):
    conn.execute(_values(table, TABLES[table]))


@pytest.mark.parametrize(("table", "bad"), BAD_VALUES)
def test_a_value_out_of_its_rule_is_refused(conn, table, bad):
    with pytest.raises(sqlite3.IntegrityError):
        conn.execute(_values(table, TABLES[table], **bad))


@pytest.mark.parametrize(("sql", "message"), TRIGGERED)
def test_a_trigger_refuses(conn, sql, message):
    with pytest.raises(sqlite3.IntegrityError, match=message):
        conn.execute(sql)


def test_every_refusing_trigger_is_shown_above():
    text = schema_model.MANAGEMENT_MODEL + schema_box.APPLIANCE
    sentences = re.findall(r"RAISE\(ABORT, '([^']+)'\)", text)
    assert len(sentences) == text.count("RAISE(")
    unseen = [s for s in sentences if not any(message in s for _, message in TRIGGERED)]
    assert unseen == []


def test_the_default_role_is_one_of_the_site(conn):
    conn.execute("UPDATE site SET default_role_id = 99 WHERE id = 1")
    with pytest.raises(sqlite3.IntegrityError):
        conn.execute("COMMIT")


def test_a_plain_site_has_no_default_role_and_a_role_based_one_no_implicit_users(conn):
    with pytest.raises(sqlite3.IntegrityError):
        conn.execute("UPDATE site SET default_role_id = 1 WHERE id = 3")
    with pytest.raises(sqlite3.IntegrityError):
        conn.execute("UPDATE site SET implicit_users = 1 WHERE id = 1")


def test_a_role_that_goes_is_the_default_no_more(conn):
    conn.execute("UPDATE site SET default_role_id = 2 WHERE id = 1")
    conn.execute("DELETE FROM role WHERE id = 2")
    assert conn.execute("SELECT default_role_id FROM site WHERE id = 1").fetchone() == (None,)


def test_two_devices_never_share_a_service(conn):
    for row in ("'mac:2'", "'mac:3'"):
        sql = _values("device", DEVICE, identity=row, state="'adopted'", service_id="1",
                      adopted_at="1")  # fmt: skip
        if row == "'mac:2'":
            conn.execute(sql)
            continue
        with pytest.raises(sqlite3.IntegrityError):
            conn.execute(sql)


def test_a_service_that_goes_frees_its_device(conn):
    conn.execute("UPDATE device SET state='adopted', service_id=1, adopted_at=1")
    conn.execute("DELETE FROM site WHERE id = 1")
    found = conn.execute("SELECT state, service_id, adopted_at FROM device").fetchall()
    assert found == [("pending", None, None)]


@pytest.mark.parametrize(
    ("sql", "left"),
    [
        ("DELETE FROM owner WHERE id = 1", {"domain": 1, "site": 1, "client": 0, "contact": 0}),
        ("DELETE FROM domain WHERE id = 1", {"site": 1, "service": 1, "domain_user": 2, "role": 0}),
        ("DELETE FROM site WHERE id = 1", {"client": 0, "event": 0, "domain_user": 5}),
        ("DELETE FROM domain_user WHERE id = 3", {"client": 0, "site": 3}),
        ("DELETE FROM owner WHERE id = 2", {"contact": 1, "domain": 1}),
    ],
)
def test_what_goes_with_what(conn, sql, left):
    conn.execute(sql)
    counts = {name: conn.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in left}
    assert counts == left


def test_ids_are_never_given_again(conn):
    for table in ("domain_user", "role", "service", "client", "site"):
        sql = "SELECT sql FROM sqlite_master WHERE name = ?"
        assert "AUTOINCREMENT" in conn.execute(sql, (table,)).fetchone()[0]
