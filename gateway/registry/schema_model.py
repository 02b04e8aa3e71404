"""The tables of the management model, as the first migration step creates them (04 section 12).

Times are Unix seconds UTC, booleans 0/1, binary values BLOB. The text is never changed after a
release; a later step alters what this one made.
"""

from __future__ import annotations

MANAGEMENT_MODEL = """
CREATE TABLE setting (
  name          TEXT PRIMARY KEY,
  value         TEXT
) WITHOUT ROWID, STRICT;

CREATE TABLE owner (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  account_name  TEXT NOT NULL COLLATE NOCASE UNIQUE CHECK (length(account_name) BETWEEN 4 AND 64),
  full_name     TEXT NOT NULL COLLATE NOCASE CHECK (length(full_name) BETWEEN 4 AND 64),
  authority     INTEGER NOT NULL DEFAULT 0 CHECK (authority IN (0,1,2)),
  enabled       INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0,1)),
  email         TEXT COLLATE NOCASE UNIQUE CHECK (length(email) <= 256),
  pw_record     TEXT NOT NULL,
  failed_count  INTEGER NOT NULL DEFAULT 0,
  failed_since  INTEGER,
  locked_at     INTEGER,
  created_at    INTEGER NOT NULL,
  last_login_at INTEGER
) STRICT;

CREATE TABLE web_session (
  token_hash    BLOB PRIMARY KEY CHECK (length(token_hash) = 32),
  owner_id      INTEGER NOT NULL REFERENCES owner(id) ON DELETE CASCADE,
  csrf_key      BLOB NOT NULL,
  persistent    INTEGER NOT NULL CHECK (persistent IN (0,1)),
  created_at    INTEGER NOT NULL,
  expires_at    INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX web_session_owner ON web_session(owner_id);

CREATE TABLE invitation (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  inviter_id    INTEGER NOT NULL REFERENCES owner(id) ON DELETE CASCADE,
  ikey          TEXT NOT NULL UNIQUE CHECK (length(ikey) = 32),
  email         TEXT COLLATE NOCASE,
  description   TEXT NOT NULL CHECK (length(description) <= 1024),
  make_provider INTEGER NOT NULL CHECK (make_provider IN (0,1)),
  created_at    INTEGER NOT NULL,
  expires_at    INTEGER NOT NULL,
  accepted_at   INTEGER,
  new_owner_id  INTEGER REFERENCES owner(id) ON DELETE SET NULL
) STRICT;

CREATE TABLE outbox (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  purpose       TEXT NOT NULL,
  to_addr       TEXT NOT NULL,
  subject       TEXT NOT NULL,
  body_text     TEXT NOT NULL,
  link          TEXT,
  state         TEXT NOT NULL DEFAULT 'queued'
                CHECK (state IN ('queued','sent','failed','handed_over','expired')),
  attempts      INTEGER NOT NULL DEFAULT 0,
  last_error    TEXT,
  created_at    INTEGER NOT NULL,
  expires_at    INTEGER NOT NULL,
  done_at       INTEGER
) STRICT;

CREATE TABLE contact (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  owner_id      INTEGER NOT NULL REFERENCES owner(id) ON DELETE CASCADE,
  partner_id    INTEGER REFERENCES owner(id) ON DELETE SET NULL,
  name          TEXT NOT NULL COLLATE NOCASE CHECK (length(name) BETWEEN 1 AND 64),
  user_default_name TEXT CHECK (length(user_default_name) BETWEEN 1 AND 36),
  created_at    INTEGER NOT NULL,
  UNIQUE (owner_id, partner_id),
  UNIQUE (id, owner_id),
  CHECK (partner_id IS NULL OR partner_id <> owner_id)
) STRICT;
CREATE INDEX contact_partner ON contact(partner_id);

CREATE TABLE contact_invitation (
  from_owner_id INTEGER NOT NULL REFERENCES owner(id) ON DELETE CASCADE,
  to_owner_id   INTEGER NOT NULL REFERENCES owner(id) ON DELETE CASCADE,
  created_at    INTEGER NOT NULL,
  PRIMARY KEY (from_owner_id, to_owner_id),
  CHECK (from_owner_id <> to_owner_id)
) WITHOUT ROWID, STRICT;
CREATE INDEX contact_invitation_to ON contact_invitation(to_owner_id);

CREATE VIEW contact_state AS
SELECT c.id, c.owner_id, c.partner_id,
       CASE WHEN c.partner_id IS NULL THEN 2
            WHEN NOT EXISTS (SELECT 1 FROM contact r
                              WHERE r.owner_id = c.partner_id AND r.partner_id = c.owner_id) THEN 1
            ELSE 0 END AS status
  FROM contact c;

CREATE TABLE domain (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  owner_id      INTEGER NOT NULL REFERENCES owner(id) ON DELETE CASCADE,
  name          TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 96),
  site_seq      INTEGER NOT NULL DEFAULT 0,
  created_at    INTEGER NOT NULL,
  UNIQUE (id, owner_id)
) STRICT;
CREATE INDEX domain_owner ON domain(owner_id);

CREATE TABLE site (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  uid           BLOB NOT NULL UNIQUE CHECK (length(uid) = 16),
  domain_id     INTEGER NOT NULL REFERENCES domain(id) ON DELETE CASCADE,
  site_key      TEXT NOT NULL UNIQUE CHECK (length(site_key) BETWEEN 4 AND 32),
  kind          INTEGER NOT NULL DEFAULT 1 CHECK (kind IN (1,2)),
  description   TEXT NOT NULL CHECK (length(description) <= 96),
  enabled       INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0,1)),
  service_seq   INTEGER NOT NULL DEFAULT 0,
  structured    INTEGER NOT NULL DEFAULT 0 CHECK (structured IN (0,1)),
  service_type  TEXT CHECK (length(service_type) BETWEEN 1 AND 256),
  contract_author TEXT CHECK (length(contract_author) BETWEEN 1 AND 256),
  ss_hash       BLOB CHECK (length(ss_hash) = 20),
  guest_support INTEGER NOT NULL DEFAULT 0 CHECK (guest_support IN (0,1,2)),
  guest_allowed INTEGER NOT NULL DEFAULT 0 CHECK (guest_allowed IN (0,1)),
  rbac          INTEGER NOT NULL DEFAULT 0 CHECK (rbac IN (0,1)),
  default_role_id INTEGER,
  implicit_users INTEGER NOT NULL DEFAULT 0 CHECK (implicit_users IN (0,1)),
  created_at    INTEGER NOT NULL,
  UNIQUE (id, domain_id),
  CHECK (structured = 0
         OR (service_type IS NOT NULL AND contract_author IS NOT NULL AND ss_hash IS NOT NULL)),
  CHECK (structured = 1 OR (guest_support = 0 AND rbac = 0 AND implicit_users = 0)),
  CHECK (guest_support > 0 OR guest_allowed = 0),
  CHECK (rbac = 1 OR default_role_id IS NULL),
  CHECK (rbac = 0 OR implicit_users = 0),
  FOREIGN KEY (default_role_id, id) REFERENCES role(id, site_id) DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE INDEX site_domain ON site(domain_id);

CREATE TABLE role (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  site_id       INTEGER NOT NULL REFERENCES site(id) ON DELETE CASCADE,
  name          TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 256),
  idx           INTEGER NOT NULL CHECK (idx BETWEEN 1 AND 30),
  UNIQUE (site_id, name),
  UNIQUE (id, site_id)
) STRICT;

CREATE TABLE service (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  uid           BLOB NOT NULL UNIQUE CHECK (length(uid) = 16),
  site_id       INTEGER NOT NULL REFERENCES site(id) ON DELETE CASCADE,
  hostname      TEXT NOT NULL CHECK (length(hostname) BETWEEN 1 AND 42),
  enabled       INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0,1)),
  ping_period   INTEGER NOT NULL DEFAULT 0
                CHECK (ping_period = 0 OR ping_period BETWEEN 10 AND 300),
  service_type  TEXT,
  contract_author TEXT,
  version       TEXT NOT NULL DEFAULT '' CHECK (length(version) <= 64),
  ss_hash       BLOB CHECK (length(ss_hash) = 20),
  ss_doc        TEXT,
  storage_uid   BLOB CHECK (length(storage_uid) = 16),
  salt          BLOB CHECK (length(salt) = 16),
  salted_pw     BLOB CHECK (length(salted_pw) = 20),
  pw_set_at     INTEGER,
  created_at    INTEGER NOT NULL,
  last_seen_at  INTEGER,
  CHECK ((salt IS NULL) = (salted_pw IS NULL)),
  CHECK ((service_type IS NULL) = (ss_hash IS NULL) AND (ss_hash IS NULL) = (ss_doc IS NULL))
) STRICT;
CREATE INDEX service_site ON service(site_id);

CREATE TABLE domain_user (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  domain_id     INTEGER NOT NULL,
  owner_id      INTEGER NOT NULL,
  kind          INTEGER NOT NULL CHECK (kind IN (1,2,3,4)),
  name          TEXT NOT NULL COLLATE NOCASE CHECK (length(name) BETWEEN 1 AND 36),
  contact_id    INTEGER,
  dedicated     INTEGER NOT NULL DEFAULT 0 CHECK (dedicated IN (0,1)),
  enabled       INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0,1)),
  created_at    INTEGER NOT NULL,
  UNIQUE (domain_id, name),
  UNIQUE (id, domain_id),
  FOREIGN KEY (domain_id, owner_id)  REFERENCES domain(id, owner_id)  ON DELETE CASCADE,
  FOREIGN KEY (contact_id, owner_id) REFERENCES contact(id, owner_id) ON DELETE CASCADE,
  CHECK ((kind = 3) = (contact_id IS NOT NULL)),
  CHECK (kind IN (2,3) OR dedicated = 0)
) STRICT;
CREATE UNIQUE INDEX one_owner_user ON domain_user(domain_id) WHERE kind = 1;
CREATE UNIQUE INDEX one_guest_user ON domain_user(domain_id) WHERE kind = 4;
CREATE INDEX domain_user_contact ON domain_user(contact_id) WHERE contact_id IS NOT NULL;

CREATE TABLE user_role (
  user_id       INTEGER NOT NULL REFERENCES domain_user(id) ON DELETE CASCADE,
  role_id       INTEGER NOT NULL REFERENCES role(id) ON DELETE CASCADE,
  PRIMARY KEY (user_id, role_id)
) WITHOUT ROWID, STRICT;
CREATE INDEX user_role_role ON user_role(role_id);

CREATE TABLE site_user (
  site_id       INTEGER NOT NULL,
  user_id       INTEGER NOT NULL,
  domain_id     INTEGER NOT NULL,
  PRIMARY KEY (site_id, user_id),
  FOREIGN KEY (site_id, domain_id) REFERENCES site(id, domain_id) ON DELETE CASCADE,
  FOREIGN KEY (user_id, domain_id) REFERENCES domain_user(id, domain_id) ON DELETE CASCADE
) WITHOUT ROWID, STRICT;
CREATE INDEX site_user_user ON site_user(user_id);

CREATE TABLE client (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  client_key    TEXT NOT NULL UNIQUE CHECK (length(client_key) BETWEEN 4 AND 32),
  site_id       INTEGER NOT NULL,
  domain_id     INTEGER NOT NULL,
  user_id       INTEGER NOT NULL,
  creator_id    INTEGER REFERENCES owner(id) ON DELETE CASCADE,
  creator_email TEXT COLLATE NOCASE,
  service_type  TEXT,
  contract_author TEXT,
  description   TEXT NOT NULL DEFAULT '' CHECK (length(description) <= 256),
  ping_period   INTEGER NOT NULL DEFAULT 0
                CHECK (ping_period = 0 OR ping_period BETWEEN 10 AND 300),
  salt          BLOB CHECK (length(salt) = 16),
  salted_pw     BLOB CHECK (length(salted_pw) = 20),
  pw_set_at     INTEGER,
  created_at    INTEGER NOT NULL,
  last_seen_at  INTEGER,
  FOREIGN KEY (site_id, domain_id) REFERENCES site(id, domain_id) ON DELETE CASCADE,
  FOREIGN KEY (user_id, domain_id) REFERENCES domain_user(id, domain_id) ON DELETE CASCADE,
  CHECK ((salt IS NULL) = (salted_pw IS NULL)),
  CHECK ((creator_id IS NULL) <> (creator_email IS NULL))
) STRICT;
CREATE INDEX client_site_user ON client(site_id, user_id);
CREATE INDEX client_user      ON client(user_id);
CREATE INDEX client_creator   ON client(creator_id);
CREATE INDEX client_email     ON client(creator_email) WHERE creator_email IS NOT NULL;

CREATE TABLE event (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  site_id       INTEGER NOT NULL REFERENCES site(id) ON DELETE CASCADE,
  kind          INTEGER NOT NULL CHECK (kind IN (1,2,4)),
  name          TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 256),
  life_time     INTEGER CHECK (life_time BETWEEN 60 AND 2592000),
  queue_size    INTEGER CHECK (queue_size BETWEEN 1 AND 1000),
  guest_access  INTEGER NOT NULL DEFAULT 0 CHECK (guest_access IN (0,1,2)),
  UNIQUE (site_id, name)
) STRICT;

CREATE TABLE event_role (
  event_id      INTEGER NOT NULL REFERENCES event(id) ON DELETE CASCADE,
  role_id       INTEGER NOT NULL REFERENCES role(id) ON DELETE CASCADE,
  PRIMARY KEY (event_id, role_id)
) WITHOUT ROWID, STRICT;
CREATE INDEX event_role_role ON event_role(role_id);

CREATE TABLE action_token (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  token_hash    BLOB NOT NULL UNIQUE CHECK (length(token_hash) = 32),
  purpose       TEXT NOT NULL
                CHECK (purpose IN ('signup','pwd_reset','set_email','unlock',
                                   'guest_create','guest_browse','guest_edit')),
  owner_id      INTEGER REFERENCES owner(id) ON DELETE CASCADE,
  site_id       INTEGER REFERENCES site(id) ON DELETE CASCADE,
  client_id     INTEGER REFERENCES client(id) ON DELETE CASCADE,
  email         TEXT COLLATE NOCASE,
  created_at    INTEGER NOT NULL,
  expires_at    INTEGER NOT NULL,
  used_at       INTEGER,
  CHECK (purpose NOT IN ('pwd_reset','set_email','unlock') OR owner_id IS NOT NULL),
  CHECK (purpose <> 'guest_create' OR (site_id IS NOT NULL AND email IS NOT NULL)),
  CHECK (purpose <> 'guest_browse' OR email IS NOT NULL),
  CHECK (purpose <> 'guest_edit'   OR client_id IS NOT NULL)
) STRICT;
CREATE INDEX action_token_expiry ON action_token(expires_at);

CREATE TABLE uplink (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  service_id    INTEGER NOT NULL UNIQUE REFERENCES service(id) ON DELETE CASCADE,
  remote_uri    TEXT NOT NULL CHECK (remote_uri LIKE 'softnet-srv://%'),
  secret_box    BLOB NOT NULL,
  enabled       INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0,1)),
  last_status   INTEGER,
  last_error    INTEGER,
  last_change_at INTEGER
) STRICT;

CREATE TABLE recent_use (
  owner_id      INTEGER NOT NULL REFERENCES owner(id) ON DELETE CASCADE,
  what          TEXT NOT NULL CHECK (what IN ('domain','contact')),
  ref_id        INTEGER NOT NULL,
  used_at       INTEGER NOT NULL,
  PRIMARY KEY (owner_id, what, ref_id)
) WITHOUT ROWID, STRICT;

CREATE TRIGGER role_gone_clears_default BEFORE DELETE ON role BEGIN
  UPDATE site SET default_role_id = NULL WHERE id = OLD.site_id AND default_role_id = OLD.id;
END;
CREATE TRIGGER user_role_same_domain BEFORE INSERT ON user_role
WHEN NOT EXISTS (SELECT 1 FROM role r JOIN site s ON s.id = r.site_id
                   JOIN domain_user u ON u.domain_id = s.domain_id
                  WHERE r.id = NEW.role_id AND u.id = NEW.user_id AND u.kind <> 4)
BEGIN SELECT RAISE(ABORT, 'role and user are not in one domain, or the user is Guest'); END;
CREATE TRIGGER site_user_not_guest BEFORE INSERT ON site_user
WHEN (SELECT kind FROM domain_user WHERE id = NEW.user_id) = 4
BEGIN SELECT RAISE(ABORT, 'Guest is governed by guest_allowed'); END;
CREATE TRIGGER site_user_only_without_roles BEFORE INSERT ON site_user
WHEN EXISTS (SELECT 1 FROM site WHERE id = NEW.site_id AND (rbac = 1 OR structured = 0))
BEGIN SELECT RAISE(ABORT, 'users are added only to a built site without roles'); END;
CREATE TRIGGER site_kind_one_way BEFORE UPDATE OF kind ON site
WHEN OLD.kind <> NEW.kind AND NOT (OLD.kind = 1 AND NEW.kind = 2 AND OLD.structured = 0)
BEGIN SELECT RAISE(ABORT, 'only a blank single-service site can become multi-service'); END;
CREATE TRIGGER site_stays_built BEFORE UPDATE OF structured ON site
WHEN OLD.structured = 1 AND NEW.structured = 0
BEGIN SELECT RAISE(ABORT, 'a built site cannot become blank again'); END;
CREATE TRIGGER single_site_one_service BEFORE INSERT ON service
WHEN (SELECT kind FROM site WHERE id = NEW.site_id) = 1
 AND EXISTS (SELECT 1 FROM service WHERE site_id = NEW.site_id)
BEGIN SELECT RAISE(ABORT, 'a single-service site holds exactly one service'); END;
CREATE TRIGGER single_site_keeps_service BEFORE DELETE ON service
WHEN (SELECT kind FROM site WHERE id = OLD.site_id) = 1
BEGIN SELECT RAISE(ABORT, 'the service of a single-service site goes only with the site'); END;
CREATE TRIGGER service_stays BEFORE UPDATE OF uid, site_id ON service
WHEN OLD.uid <> NEW.uid OR OLD.site_id <> NEW.site_id
BEGIN SELECT RAISE(ABORT, 'a service keeps its uid and its site'); END;
CREATE TRIGGER built_in_user_keeps_name BEFORE UPDATE OF name, kind ON domain_user
WHEN OLD.kind <> NEW.kind OR (OLD.kind IN (1,4) AND OLD.name <> NEW.name)
BEGIN SELECT RAISE(ABORT, 'Owner and Guest keep their names, and no user changes its kind'); END;
CREATE TRIGGER built_in_user_stays BEFORE DELETE ON domain_user
WHEN OLD.kind IN (1,4) AND EXISTS (SELECT 1 FROM domain WHERE id = OLD.domain_id)
BEGIN SELECT RAISE(ABORT, 'Owner and Guest go only with the domain'); END;
CREATE TRIGGER client_mail_only_guest BEFORE INSERT ON client
WHEN NEW.creator_email IS NOT NULL AND (SELECT kind FROM domain_user WHERE id = NEW.user_id) <> 4
BEGIN SELECT RAISE(ABORT, 'only guest clients may belong to an e-mail address'); END;
"""

RETIRED_KEYS = """
CREATE TABLE retired_key (
  client_key    TEXT NOT NULL PRIMARY KEY CHECK (length(client_key) BETWEEN 4 AND 64)
) WITHOUT ROWID, STRICT;

CREATE TRIGGER client_gone_retires_its_key AFTER DELETE ON client BEGIN
  INSERT OR IGNORE INTO retired_key(client_key) VALUES (OLD.client_key);
END;
"""
"""The fifth step: the key of a deleted client is never drawn again (feature CLT-35)."""
