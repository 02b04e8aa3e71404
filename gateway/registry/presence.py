"""Who was here, written for many endpoints at once: after a restart all of them come back."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.registry import clients
from gateway.registry.database import Tx

_SAME = """
UPDATE client SET last_seen_at = ?1
 WHERE id = ?2 AND service_type = ?3 AND contract_author = ?4 AND description = ?5
"""


def services_seen(tx: Tx, service_ids: Sequence[int]) -> None:
    """Remember that these services were here; one that is gone meanwhile is no error."""
    tx.db.conn.executemany(
        "UPDATE service SET last_seen_at = ? WHERE id = ?", [(tx.now, one) for one in service_ids]
    )


def clients_described(tx: Tx, told: Sequence[tuple[int, str, str, str]]) -> None:
    """Remember that clients were here and what their programs said of themselves.

    Each is (client, service type, contract author, description); most say what they always said.
    """
    rows = [(tx.now, *one) for one in told]
    if rows and tx.db.conn.executemany(_SAME, rows).rowcount != len(rows):
        for client_id, service_type, contract_author, description in told:
            clients.store_description(tx, client_id, service_type, contract_author, description)
