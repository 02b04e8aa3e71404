"""What the tracker keeps of events (03 section 4): instances, marks, subscriptions, ids.

Everything hangs on its event, service or client and goes with it; so a rebuilt structure drops
exactly what belonged to events that it does not have any more (04 section 6.9).
"""

from __future__ import annotations

EVENTS = """
CREATE TABLE event_sequence (
  site_id       INTEGER PRIMARY KEY REFERENCES site(id) ON DELETE CASCADE,
  last_id       INTEGER NOT NULL
) STRICT;

CREATE TABLE event_instance (
  site_id       INTEGER NOT NULL,
  id            INTEGER NOT NULL,
  event_id      INTEGER NOT NULL REFERENCES event(id) ON DELETE CASCADE,
  service_id    INTEGER NOT NULL REFERENCES service(id) ON DELETE CASCADE,
  client_id     INTEGER NOT NULL DEFAULT 0,
  instance_uid  BLOB NOT NULL CHECK (length(instance_uid) = 16),
  created_at    REAL NOT NULL,
  is_null       INTEGER NOT NULL DEFAULT 0 CHECK (is_null IN (0,1)),
  arguments     BLOB CHECK (length(arguments) BETWEEN 2 AND 2048),
  PRIMARY KEY (site_id, id)
) WITHOUT ROWID, STRICT;
CREATE INDEX event_instance_event   ON event_instance(event_id, created_at);
CREATE INDEX event_instance_service ON event_instance(service_id);
CREATE INDEX event_instance_client  ON event_instance(client_id) WHERE client_id <> 0;

CREATE TABLE event_mark (
  service_id    INTEGER NOT NULL REFERENCES service(id) ON DELETE CASCADE,
  event_id      INTEGER NOT NULL REFERENCES event(id) ON DELETE CASCADE,
  instance_uid  BLOB NOT NULL CHECK (length(instance_uid) = 16),
  PRIMARY KEY (service_id, event_id)
) WITHOUT ROWID, STRICT;
CREATE INDEX event_mark_event ON event_mark(event_id);

CREATE TABLE event_subscription (
  client_id     INTEGER NOT NULL REFERENCES client(id) ON DELETE CASCADE,
  event_id      INTEGER NOT NULL REFERENCES event(id) ON DELETE CASCADE,
  cursor        INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (client_id, event_id)
) WITHOUT ROWID, STRICT;
CREATE INDEX event_subscription_event ON event_subscription(event_id);

CREATE TRIGGER client_gone_takes_its_events AFTER DELETE ON client BEGIN
  DELETE FROM event_instance WHERE client_id = OLD.id;
END;
"""
