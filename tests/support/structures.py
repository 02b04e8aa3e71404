"""Site structures that tests declare."""

from __future__ import annotations

from gateway.model.kinds import EventKind, GuestSupport
from gateway.model.structure import EventDefinition, SiteStructure

CAMERA = SiteStructure(
    "IP Camera",
    "Softnet Camera Gateway",
    GuestSupport.NONE,
    ("Administrator", "Viewer"),
    "Administrator",
    (
        EventDefinition(EventKind.REPLACING, "State"),
        EventDefinition(EventKind.QUEUEING, "Alarm", 3600, 3, roles=("Administrator",)),
        EventDefinition(EventKind.PRIVATE, "Job Done", 600),
    ),
)
OPEN_CAMERA = SiteStructure(
    "IP Camera", "Softnet Camera Gateway", GuestSupport.STATELESS, ("Administrator",),
    "Administrator",
)  # fmt: skip
PLAIN_LAMP = SiteStructure("Lamp", "Somebody", GuestSupport.STATEFUL)
