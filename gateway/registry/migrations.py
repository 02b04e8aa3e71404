"""The numbered steps from any older registry file to the present one.

Steps are only ever appended. Each runs in one transaction together with the record that it ran, so
a power cut leaves the file at a step, never between two.
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

from gateway.base.errors import HostError
from gateway.registry.schema_box import APPLIANCE
from gateway.registry.schema_events import EVENTS
from gateway.registry.schema_model import MANAGEMENT_MODEL, RETIRED_KEYS
from gateway.registry.schema_people import PEOPLE

STEPS = Migrations("gateway.registry")


@STEPS(name="0001_management_model")
def management_model(db: Database) -> None:
    """Create the management model (04 section 12)."""
    db.executescript(MANAGEMENT_MODEL)


@STEPS(name="0002_appliance")
def appliance(db: Database) -> None:
    """Create devices, tokens, the setup code and the audit chain."""
    db.executescript(APPLIANCE)


@STEPS(name="0003_people")
def people(db: Database) -> None:
    """Add what contacts, invitations and mailed links need."""
    db.executescript(PEOPLE)


@STEPS(name="0004_events")
def events(db: Database) -> None:
    """Add what the tracker keeps of events (03 section 4)."""
    db.executescript(EVENTS)


@STEPS(name="0005_retired_keys")
def retired_keys(db: Database) -> None:
    """Remember the keys of clients that are gone."""
    db.executescript(RETIRED_KEYS)


def step_names() -> tuple[str, ...]:
    """Return the names of all steps, oldest first."""
    fresh = Database(memory=True)
    try:
        return tuple(step.name for step in STEPS.pending(fresh))
    finally:
        fresh.close()


def bring_up_to_date(db: Database) -> tuple[str, ...]:
    """Apply the steps that the file lacks; return their names.

    Raises HostError when the file was written by a later version of the program.
    """
    known = set(step_names())
    foreign = [done.name for done in STEPS.applied(db) if done.name not in known]
    if foreign:
        raise HostError(
            f"The registry file was written by a newer version of the gateway (it has the step "
            f"{foreign[-1]}). Install that version again, or restore a backup made by this one."
        )
    pending = tuple(step.name for step in STEPS.pending(db))
    STEPS.apply(db)
    return pending
