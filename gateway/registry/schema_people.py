"""What dealing with people adds to the tables, as the third migration step does.

A mail address that nobody confirmed, letters bound to the link they carry, requests counted for
the limits of 04 section 10, accounts asked for on a box without mail.
"""

from __future__ import annotations

PEOPLE = """
ALTER TABLE owner ADD COLUMN email_pending TEXT COLLATE NOCASE
  CHECK (length(email_pending) <= 256);

ALTER TABLE outbox ADD COLUMN token_id INTEGER REFERENCES action_token(id) ON DELETE CASCADE;
ALTER TABLE outbox ADD COLUMN invitation_id INTEGER REFERENCES invitation(id) ON DELETE CASCADE;
ALTER TABLE outbox ADD COLUMN next_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX outbox_due ON outbox(state, next_at);
CREATE INDEX outbox_token ON outbox(token_id) WHERE token_id IS NOT NULL;
CREATE INDEX outbox_invitation ON outbox(invitation_id) WHERE invitation_id IS NOT NULL;
CREATE INDEX outbox_to ON outbox(to_addr, created_at);

CREATE INDEX action_token_owner  ON action_token(owner_id)  WHERE owner_id IS NOT NULL;
CREATE INDEX action_token_site   ON action_token(site_id)   WHERE site_id IS NOT NULL;
CREATE INDEX action_token_client ON action_token(client_id) WHERE client_id IS NOT NULL;
CREATE INDEX invitation_inviter  ON invitation(inviter_id);
CREATE INDEX invitation_owner    ON invitation(new_owner_id) WHERE new_owner_id IS NOT NULL;

CREATE TABLE link_request (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  asked_for     TEXT NOT NULL COLLATE NOCASE CHECK (length(asked_for) <= 256),
  source        TEXT NOT NULL CHECK (length(source) <= 256),
  at            INTEGER NOT NULL
) STRICT;
CREATE INDEX link_request_at ON link_request(at);

CREATE TABLE account_request (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  email         TEXT NOT NULL COLLATE NOCASE UNIQUE CHECK (length(email) <= 256),
  message       TEXT NOT NULL CHECK (length(message) <= 1024),
  source        TEXT NOT NULL CHECK (length(source) <= 256),
  created_at    INTEGER NOT NULL
) STRICT;
"""
