"""Sessions at a chosen point of their life, and a tracker's half that is typed in by hand."""

from __future__ import annotations

from gateway.access.ports import GuestRule, RolesRule
from gateway.base.secret import Secret
from gateway.model.kinds import (
    ClientCategory,
    EventKind,
    GuestAccess,
    GuestSupport,
    TransportKind,
)
from gateway.model.structure import EventDefinition, SiteStructure
from gateway.protocol.endpoint import EndpointSession
from gateway.protocol.endpoint_answers import Procedure, ServiceMemory, ServiceProfile
from gateway.protocol.endpoint_client import ClientSession
from gateway.protocol.endpoint_requests import ClientMemory, ClientProfile
from gateway.protocol.endpoint_service import ServiceSession
from gateway.wire.catalogue import Direction, decode, encode
from gateway.wire.channel import OpenOk, OpenOk2, RestoreOk, SaltAndKey1
from gateway.wire.framing import FRAME_MAX, FrameBuffer
from gateway.wire.groups import ServiceEntry, ServicesOnline, ServicesUpdated, SingleServiceOnline
from gateway.wire.installer import ClientOnline, GetState, ServiceOnline
from gateway.wire.membership import GuestAllowed, RoleEntry, UserEntry, UserList
from gateway.wire.message import Message
from tests.transcripts.endpoint_frames import ScriptedEntropy

T2S, T2C = Direction.TRACKER_TO_SERVICE, Direction.TRACKER_TO_CLIENT
CHANNEL_ID = b"c" * 16
CHALLENGE = SaltAndKey1(b"s" * 16, b"k" * 20)
CAMERA = SiteStructure(
    "IP Camera",
    "Softnet Camera Gateway",
    GuestSupport.STATELESS,
    ("Administrator", "User"),
    "Administrator",
    (EventDefinition(EventKind.REPLACING, "Status"),),
)
PLAIN = SiteStructure("Lamp", "John Doe")
USERS = UserList(
    True,
    (RoleEntry(1, "Administrator"), RoleEntry(2, "User")),
    (UserEntry(11, "Owner", (1,)), UserEntry(12, "Eve", (2,))),
)


def said(session: EndpointSession) -> list[Message]:
    """Return what the session sent since the last time, the stream header left out."""
    octets = session.outgoing()
    service = isinstance(session, ServiceSession)
    direction = Direction.SERVICE_TO_TRACKER if service else Direction.CLIENT_TO_TRACKER
    if octets[:2] in (b"\x01\x01", b"\x01\x02"):
        octets = octets[2:]
    frames = FrameBuffer(FRAME_MAX)
    frames.feed(octets)
    found = []
    while (payload := frames.next_payload()) is not None:
        found.append(decode(direction, payload))
    assert frames.pending == 0
    return found


def heard(session: EndpointSession) -> list[object]:
    """Return what the session reported since the last time."""
    found: list[object] = []
    while (event := session.next_event()) is not None:
        found.append(event)
    return found


def tell(session: EndpointSession, *messages: Message, now: float = 1.0) -> None:
    """Let the tracker say something."""
    direction = T2S if isinstance(session, ServiceSession) else T2C
    session.feed(b"".join(encode(direction, message) for message in messages), now)


def service(
    structure: SiteStructure = CAMERA, memory: ServiceMemory | None = None
) -> tuple[ServiceSession, ServiceMemory]:
    """Return a service's session that was let in, at time 0."""
    entropy = ScriptedEntropy()
    memory = memory or ServiceMemory.fresh(structure, entropy)
    session = ServiceSession(
        ServiceProfile(b"u" * 16, Secret("pass"), structure, "1.0"), memory, entropy
    )
    known = memory.channel_id is not None
    session.start(0.0)
    tell(session, CHALLENGE, now=0.0)
    tell(session, RestoreOk() if known else OpenOk(CHANNEL_ID), now=0.0)
    session.outgoing()
    heard(session)
    return session, memory


def online_service() -> tuple[ServiceSession, ServiceMemory]:
    """Return a service that is online with two users, guests allowed and some ports."""
    session, memory = service()
    tell(session, GetState(), USERS, GuestAllowed(True), ServiceOnline(), now=0.0)
    for number, rule in (
        (554, RolesRule(("Administrator", "User"))),
        (80, RolesRule(("Administrator",))),
        (8080, GuestRule(GuestAccess.STATELESS_GUEST_DENIED)),
        (1, None),
    ):
        memory.ports.open(TransportKind.TCP, number, 2, rule)
    memory.procedures["Look"] = Procedure(RolesRule(("User",)), limit=1)
    session.outgoing()
    heard(session)
    return session, memory


def client(
    category: ClientCategory = ClientCategory.MULTI_SERVICE, memory: ClientMemory | None = None
) -> tuple[ClientSession, ClientMemory]:
    """Return a client's session that was let in, at time 0."""
    memory = memory or ClientMemory.fresh(category)
    password = None if category.stateless else Secret("pass")
    entropy = ScriptedEntropy()
    entropy.next_uids = [bytes([number]) * 16 for number in range(1, 100)]
    session = ClientSession(
        ClientProfile(category, "abcd1234", password, "IP Camera", "me", "mine"), memory, entropy
    )
    known = memory.channel_id is not None
    session.start(0.0)
    if category.stateless:
        tell(session, OpenOk2(), now=0.0)
    else:
        tell(session, CHALLENGE, now=0.0)
        tell(session, RestoreOk() if known else OpenOk(CHANNEL_ID), now=0.0)
    session.outgoing()
    heard(session)
    return session, memory


def online_client(
    category: ClientCategory = ClientCategory.MULTI_SERVICE,
) -> tuple[ClientSession, ClientMemory]:
    """Return a client that is online; of services 7 and 8, 7 is online."""
    session, memory = client(category)
    tell(session, GetState(), now=0.0)
    if memory.group.single:
        tell(session, SingleServiceOnline(), now=0.0)
    else:
        entries = (ServiceEntry(7, "Door", "1"), ServiceEntry(8, "Yard", ""))
        tell(session, ServicesUpdated(entries), ServicesOnline((7,)), now=0.0)
    tell(session, ClientOnline(b"i" * 16), now=0.0)
    session.outgoing()
    heard(session)
    return session, memory
