from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.ports import Actor, decide
from gateway.cameras import contract
from gateway.cameras.http import own
from gateway.cameras.live import CameraState
from gateway.cameras.rtsp_translate import METHODS, OPERATOR_METHODS, REFUSED_METHODS
from gateway.cameras.settings import CameraSettings
from gateway.model import names
from gateway.model.kinds import UserKind
from gateway.wire.structure import structure_hash


def test_the_structure_is_that_of_the_contract():
    structure = contract.site_structure(CameraSettings())
    assert (structure.service_type, structure.contract_author) == (
        "IP Camera",
        "Softnet Camera Gateway",
    )
    assert structure.roles == ("Administrator", "Operator", "User")
    assert structure.owner_role == "Administrator"
    assert structure.guest_support == 2
    events = {event.name: event for event in structure.events}
    assert (events["Motion"].lifetime, events["Motion"].queue_size) == (3600, 200)
    assert events["Motion"].roles == structure.roles
    assert events["Status"].guest_access == 1
    assert events["Notice"].lifetime == 86_400
    assert len(structure_hash(structure)) == 20
    other = CameraSettings(service_type="RTX-5", contract_author="Cold Vision")
    assert structure_hash(contract.site_structure(other)) != structure_hash(structure)


@pytest.mark.parametrize(
    ("roles", "allowed"),
    [
        ((), ()),
        (("User",), (554, 8080)),
        (("Operator",), (554, 8080)),
        (("Administrator",), (554, 8080, 80)),
        (("Nobody",), ()),
    ],
)
def test_ports_and_roles(roles, allowed):
    actor = Actor(UserKind.PRIVATE, 5, "Ann", roles)
    assert tuple(p.number for p in contract.PORTS if decide(p.rule, actor)) == allowed
    guest = Actor(UserKind.GUEST, 0, "Guest", roles)
    assert not any(decide(port.rule, guest) for port in contract.PORTS)


@given(st.text(max_size=120))
def test_any_text_becomes_a_legal_version_and_hostname(text):
    assert names.version(contract.service_version(text)) is not None
    assert names.hostname(contract.service_hostname(text))


def test_names_are_kept_where_they_are_legal():
    assert contract.service_hostname("  Front  door ") == "Front door"
    assert contract.service_hostname("Tür") == "T-r"
    assert contract.service_hostname("   ", "Axis P3245") == "Axis P3245"
    assert contract.service_version("v5.6.3 build;1") == "v5.6.3 build-1"


def test_the_page_of_the_contract_says_what_the_code_does():
    page = (Path(__file__).resolve().parents[2] / "docs" / "contract.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines()
            if line.startswith("| ")]  # fmt: skip
    structure = contract.site_structure(CameraSettings())
    ports = [row for row in rows if row[0].isdigit()]
    assert ports == [[str(p.number), p.answers, f"`{p.lowest_role}`"] for p in contract.PORTS]
    facts = {row[0]: row[1] for row in rows if len(row) == 2}
    assert f"`{structure.service_type}`" in facts["service type"]
    assert f"`{structure.contract_author}`" in facts["contract author"]
    assert facts["roles, in this order"] == ", ".join(f"`{role}`" for role in structure.roles)
    assert facts["owner role"] == f"`{structure.owner_role}`"
    assert facts["guest support"].startswith(f"{int(structure.guest_support)}:")
    events = {row[0].strip("`"): row[1:] for row in rows if len(row) == 5}
    for event in structure.events:
        kind, lifetime, queue, audience = events[event.name]
        assert kind == event.kind.name.lower()
        assert (int(lifetime), int(queue)) == (event.lifetime, event.queue_size)
        if event.roles:
            assert audience == ", ".join(f"`{role}`" for role in event.roles)
    for method in (*METHODS, *OPERATOR_METHODS, *REFUSED_METHODS):
        assert f"`{method}`" in page
    for path in own.PATHS:
        assert path in page
    for state in CameraState:
        assert f"`{state}`" in page
