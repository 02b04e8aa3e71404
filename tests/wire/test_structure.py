"""A structure that no server would take is refused where it is made."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings

from gateway.asn1.reader import SequenceReader
from gateway.base.errors import InvalidInput
from gateway.model.kinds import EventKind, GuestAccess
from gateway.model.structure import EventDefinition, SiteStructure
from gateway.wire.structure import check_structure, read_structure, write_structure
from tests.wire.test_catalogue import structures

REPLACING, QUEUEING, PRIVATE = EventKind.REPLACING, EventKind.QUEUEING, EventKind.PRIVATE


def lamp(*events: EventDefinition, roles: tuple[str, ...] = (), **more: object) -> SiteStructure:
    return SiteStructure("Lamp", "me", roles=roles, events=events, **more)  # type: ignore[arg-type]


def test_a_sound_one_is_taken() -> None:
    check_structure(
        lamp(
            EventDefinition(REPLACING, "State", roles=("Owner", "Guest")),
            EventDefinition(QUEUEING, "Alarm", 60, 1, GuestAccess.GUEST_DENIED),
            EventDefinition(PRIVATE, "Note", 2_592_000),
            roles=("Owner", "Guest"),
            owner_role="Owner",
        )
    )


@pytest.mark.parametrize(
    "structure",
    [
        SiteStructure("", "me"),
        SiteStructure("Lamp", ""),
        SiteStructure("Lamp", "\u00e4"),
        lamp(roles=("A", "a")),
        lamp(roles=("A",), owner_role="B"),
        lamp(roles=tuple(f"R{number}" for number in range(31))),
        lamp(roles=("1st",)),
        lamp(*(EventDefinition(REPLACING, f"E{number}") for number in range(101))),
        lamp(EventDefinition(REPLACING, "E"), EventDefinition(PRIVATE, "E", 60)),
        lamp(EventDefinition(REPLACING, "E ")),
        lamp(EventDefinition(REPLACING, "E", lifetime=60)),
        lamp(EventDefinition(QUEUEING, "E", 59, 1)),
        lamp(EventDefinition(QUEUEING, "E", 60, 0)),
        lamp(EventDefinition(QUEUEING, "E", 60, 1001)),
        lamp(EventDefinition(PRIVATE, "E", 2_592_001)),
        lamp(EventDefinition(PRIVATE, "E", 60, queue_size=5)),
        lamp(EventDefinition(REPLACING, "E", roles=("A",))),
        lamp(EventDefinition(REPLACING, "E", 0, 0, GuestAccess.GUEST_DENIED, ("A",)), roles=("A",)),
    ],
)  # fmt: skip
def test_what_no_server_takes(structure: SiteStructure) -> None:
    with pytest.raises(InvalidInput):
        check_structure(structure)


@settings(max_examples=100, deadline=None)
@given(structures())
def test_what_is_refused_is_refused_for_its_names_only(structure: SiteStructure) -> None:
    """Everything that the wire can carry passes, but for names with other characters."""
    assert read_structure(SequenceReader.root(write_structure(structure).encode()))
    field = "structure"
    with contextlib.suppress(InvalidInput):
        try:
            check_structure(structure)
        except InvalidInput as error:
            field = error.field
            raise
        field = "none"
    assert field in ("none", "service_type", "contract_author", "role", "event")
