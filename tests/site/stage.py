"""A site on a stage: endpoints come in and talk, and what was done to each is written down."""

from __future__ import annotations

import dataclasses
import ipaddress
import itertools
from collections import defaultdict
from typing import Any

from gateway.base.secret import Secret
from gateway.model.kinds import ClientCategory, SiteKind, UserKind
from gateway.model.snapshot import Member, SiteSnapshot, SnapshotService
from gateway.model.structure import SiteStructure
from gateway.site import happenings
from gateway.site.happenings import (
    ClientArrived,
    Close,
    ConnectionEnded,
    Effect,
    EventsKept,
    Fail,
    Input,
    KeepEvents,
    MessageArrived,
    Path,
    Send,
    ServiceArrived,
    SnapshotTaken,
)
from gateway.site.proxies import ProxyDirectory, ProxyEntry
from gateway.site.retained import Batch, EventStore
from gateway.site.site import Resources, Site
from gateway.wire.codes import ErrorCode
from gateway.wire.installer import (
    ClientState,
    MembershipState,
    ServiceState,
    SiteProfile,
    UploadSiteStructure,
)
from gateway.wire.message import Message
from gateway.wire.structure import structure_hash
from tests.support.recorded_events import ScriptedEntropy
from tests.support.structures import CAMERA

UID = b"site uid of 16 o"
OWNER, ALISON, BOB, GUEST = 101, 102, 103, 104
USERS = {
    OWNER: Member(OWNER, UserKind.OWNER, "Owner"),
    ALISON: Member(ALISON, UserKind.PRIVATE, "Alison"),
    BOB: Member(BOB, UserKind.PRIVATE, "Bob"),
    GUEST: Member(GUEST, UserKind.GUEST, "Guest"),
}
KEYS = ("A", "B", "C")
IPV4, IPV6 = ipaddress.IPv4Address("192.0.2.1"), ipaddress.IPv6Address("2001:db8::1")


def a_service(service_id: int, structure: SiteStructure | None, **values: Any) -> SnapshotService:
    """Return a service that declared a structure before, or nothing."""
    declared: dict[str, Any] = {}
    if structure is not None:
        declared = {
            "service_type": structure.service_type,
            "contract_author": structure.contract_author,
            "ss_hash": structure_hash(structure),
            "version": "1.0",
        }
    return SnapshotService(
        **{
            "id": service_id,
            "uid": service_id.to_bytes(16, "big"),
            "hostname": f"Cam{service_id}",
            **declared,
            **values,
        }
    )


def a_site(structure: SiteStructure | None = CAMERA, **values: Any) -> SiteSnapshot:
    """Return a multi-service site with services 1 and 2; Owner and Alison have rights."""
    roles = tuple(enumerate(structure.roles, 1001)) if structure else ()
    first = (1001,) if roles else ()
    facts: dict[str, Any] = {
        "id": 7,
        "uid": UID,
        "kind": SiteKind.MULTI_SERVICE,
        "enabled": True,
        "owner_eligible": True,
        "structure": structure,
        "ss_hash": structure_hash(structure) if structure else None,
        "roles": roles,
        "services": (a_service(1, structure), a_service(2, structure)),
        "members": tuple(dataclasses.replace(USERS[u], role_ids=first) for u in (OWNER, ALISON))
        if structure
        else (),
        "users": USERS,
        "guest_user_id": GUEST,
    }
    return SiteSnapshot(**{**facts, **values})


class Stage:
    """Holds one site; `said` is what each connection was sent, `ended` how it was sent away."""

    def __init__(
        self,
        snapshot: SiteSnapshot | None = None,
        *,
        store: EventStore | None = None,
        stateless_services: frozenset[bytes] = frozenset(),
        proxies: tuple[ProxyEntry, ...] = (ProxyEntry(1, Secret("s")),),
    ) -> None:
        self.snapshot = snapshot or a_site()
        self.store = store or EventStore()
        self.proxies = ProxyDirectory(proxies)
        self.unsent: dict[int, int] = defaultdict(int)
        shared = Resources(
            ScriptedEntropy(), self.proxies, itertools.count(1), stateless_services,
            self.unsent.__getitem__,
        )  # fmt: skip
        self.site = Site(self.snapshot, shared, self.store)
        self.said: dict[int, list[Message]] = defaultdict(list)
        self.ended: dict[int, ErrorCode | None] = {}
        self.effects: list[Effect] = []
        self.batches: list[Batch] = []
        self.keeps = True
        self.now = 1000.0
        self._next = itertools.count(1)

    def do(self, happening: Input) -> list[Effect]:
        effects = self.site.handle(happening, self.now, 1_700_000_000 + self.now)
        for effect in effects:
            if isinstance(effect, Send):
                for number in effect.connections:
                    assert number not in self.ended, "sent to somebody who was sent away"
                    self.said[number].append(effect.message)
            elif isinstance(effect, Fail):
                self.ended[effect.connection] = effect.code
            elif isinstance(effect, Close):
                self.ended[effect.connection] = None
        self.effects += effects
        if self.keeps and any(isinstance(effect, KeepEvents) for effect in effects):
            effects += self.keep()
        return effects

    def keep(self) -> list[Effect]:
        """Store what changed of events, as the tracker does."""
        self.batches.append(self.store.take_batch())
        return self.do(EventsKept(self.batches[-1].number))

    def say(self, connection: int, message: Message) -> list[Effect]:
        return self.do(MessageArrived(connection, message))

    def heard(self, connection: int) -> list[Message]:
        """Return what a connection was sent since the last call."""
        found, self.said[connection] = self.said[connection], []
        return found

    def manage(self, **changes: Any) -> None:
        """Let management change the site."""
        self.snapshot = dataclasses.replace(self.site.snapshot, **changes)
        self.do(SnapshotTaken(self.snapshot))

    def change_service(self, service_id: int, **values: Any) -> None:
        """Let management change one service."""
        services = tuple(
            dataclasses.replace(s, **values) if s.id == service_id else s
            for s in self.site.snapshot.services
        )
        self.manage(services=services)

    def leave(self, connection: int) -> None:
        self.do(ConnectionEnded(connection))

    # -- endpoints -----------------------------------------------------------------------------

    def service(
        self,
        service_id: int = 1,
        structure: SiteStructure = CAMERA,
        *,
        version: str = "1.0",
        channel: bytes = b"",
        restored: bool = False,
        upload: bool = False,
        ipv6: bool = False,
        knows: dict[str, Any] | None = None,
    ) -> int:
        """Let a service come in and say what it is; return its connection."""
        number = next(self._next)
        path = Path("peer", IPV6 if ipv6 else IPV4)
        arrival = ServiceArrived(
            number, service_id, channel or bytes([number]) * 16, restored, path
        )
        self.do(arrival)
        if number in self.ended:
            return number
        if not upload:
            known = knows or {}
            profile = SiteProfile(
                structure.service_type, structure.contract_author, structure_hash(structure)
            )
            membership = MembershipState(known.get("list_hash"), known.get("guest_allowed"))
            self.say(number, ServiceState(profile, version, membership, known.get("hostname")))
        else:
            self.say(number, UploadSiteStructure(structure, version))
        return number

    def client(
        self,
        client_id: int = 501,
        user: int = OWNER,
        structure: SiteStructure = CAMERA,
        *,
        channel: bytes = b"",
        restored: bool = False,
        ping: int = 0,
        ipv6: bool = False,
        group_hash: bytes | None = None,
        user_hash: bytes | None = None,
    ) -> int:
        """Let a client come in and say what it is; user 0 is a stateless one."""
        number = next(self._next)
        single = self.site.snapshot.kind is SiteKind.SINGLE_SERVICE
        category = ClientCategory((1 if single else 2) + (0 if user else 2))
        kind = USERS[user].kind if user else UserKind.STATELESS_GUEST
        path = Path("peer", IPV6 if ipv6 else IPV4)
        self.do(
            ClientArrived(
                number, client_id if user else 0, user, kind, category,
                channel or bytes([number]) * 16, restored, path, ping,
            )
        )  # fmt: skip
        state = ClientState(
            structure.service_type, structure.contract_author, None, group_hash, user_hash
        )
        self.say(number, state)
        return number

    def stored(self, kind: type[Effect]) -> list[Any]:
        """Return the effects of one kind so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]


__all__ = ["ALISON", "BOB", "GUEST", "OWNER", "Stage", "a_service", "a_site", "happenings"]
