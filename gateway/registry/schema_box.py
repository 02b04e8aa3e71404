"""The tables of a box beside the management model, as the second migration step creates them.

Devices found and adopted, tokens of programs, the setup code of an unclaimed box, the audit chain.
Credentials of cameras are not here: the vault of the cameras room seals them.
"""

from __future__ import annotations

APPLIANCE = """
CREATE TABLE device (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  identity      TEXT NOT NULL UNIQUE CHECK (length(identity) BETWEEN 1 AND 256),
  driver        TEXT NOT NULL CHECK (length(driver) BETWEEN 1 AND 64),
  name          TEXT NOT NULL DEFAULT '' CHECK (length(name) <= 256),
  maker         TEXT NOT NULL DEFAULT '' CHECK (length(maker) <= 256),
  model         TEXT NOT NULL DEFAULT '' CHECK (length(model) <= 256),
  firmware      TEXT NOT NULL DEFAULT '' CHECK (length(firmware) <= 256),
  serial        TEXT NOT NULL DEFAULT '' CHECK (length(serial) <= 256),
  mac           TEXT NOT NULL DEFAULT '' CHECK (length(mac) <= 32),
  address       TEXT NOT NULL DEFAULT '' CHECK (length(address) <= 256),
  port          INTEGER NOT NULL DEFAULT 0 CHECK (port BETWEEN 0 AND 65535),
  path          TEXT NOT NULL DEFAULT '' CHECK (length(path) <= 2048),
  properties    TEXT NOT NULL DEFAULT '{}'
                CHECK (length(properties) <= 16384),
  state         TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending','adopted','ignored')),
  service_id    INTEGER UNIQUE REFERENCES service(id),
  created_at    INTEGER NOT NULL,
  last_seen_at  INTEGER NOT NULL,
  adopted_at    INTEGER,
  CHECK ((state = 'adopted') = (service_id IS NOT NULL)),
  CHECK ((state = 'adopted') = (adopted_at IS NOT NULL))
) STRICT;

CREATE TABLE api_token (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  token_hash    BLOB NOT NULL UNIQUE CHECK (length(token_hash) = 32),
  name          TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
  owner_id      INTEGER REFERENCES owner(id) ON DELETE CASCADE,
  scopes        TEXT NOT NULL CHECK (length(scopes) BETWEEN 1 AND 256),
  created_at    INTEGER NOT NULL,
  expires_at    INTEGER,
  last_used_at  INTEGER
) STRICT;
CREATE INDEX api_token_owner ON api_token(owner_id);

CREATE TABLE setup_code (
  id            INTEGER PRIMARY KEY CHECK (id = 1),
  salt          BLOB NOT NULL CHECK (length(salt) = 16),
  code_hash     BLOB NOT NULL CHECK (length(code_hash) = 32),
  tries         INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
  created_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE audit (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  at            INTEGER NOT NULL,
  actor_id      INTEGER,
  actor_addr    TEXT NOT NULL CHECK (length(actor_addr) <= 256),
  action        TEXT NOT NULL CHECK (length(action) BETWEEN 1 AND 64),
  object        TEXT NOT NULL CHECK (length(object) <= 256),
  detail        TEXT NOT NULL CHECK (length(detail) <= 4096),
  outcome       TEXT NOT NULL CHECK (length(outcome) BETWEEN 1 AND 32),
  prev_hash     BLOB NOT NULL CHECK (length(prev_hash) = 32),
  hash          BLOB NOT NULL UNIQUE CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX audit_object ON audit(object);

CREATE TRIGGER service_gone_frees_device BEFORE DELETE ON service BEGIN
  UPDATE device SET state = 'pending', service_id = NULL, adopted_at = NULL
   WHERE service_id = OLD.id;
END;
CREATE TRIGGER audit_is_chained BEFORE INSERT ON audit
WHEN NEW.prev_hash <> COALESCE((SELECT hash FROM audit ORDER BY id DESC LIMIT 1), zeroblob(32))
BEGIN SELECT RAISE(ABORT, 'an audit row continues the chain'); END;
CREATE TRIGGER audit_never_changes BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit rows never change'); END;
CREATE TRIGGER audit_never_shrinks BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'audit rows are never deleted'); END;
"""
