"""What the reference server knew at the start of a recording, and what management did to it."""

from __future__ import annotations

import dataclasses
import uuid
from typing import Any

from gateway.model.kinds import ClientStatus, GuestSupport, SiteKind, UserKind
from gateway.model.snapshot import Member, SiteSnapshot, SnapshotService
from gateway.model.structure import SiteStructure
from gateway.wire import pubsub
from gateway.wire.channel import Error
from gateway.wire.groups import ServicesUpdated
from gateway.wire.installer import (
    ClientOnline,
    ClientParked,
    GetSiteStructure,
    GetState,
    ServiceOnline,
    ServiceParked,
    ServiceState,
)
from gateway.wire.membership import UserList
from gateway.wire.message import Message
from gateway.wire.structure import structure_hash
from tests.support.recordings import Account
from tests.support.spoken import Spoken, known_structures

USUAL_STRUCTURE = bytes.fromhex("5fcb98ec9024fe09eed976cca08e29dab617bbf5")
"""What the sites of most recordings are built on."""


def initial(spoken: Spoken, site: dict[str, object]) -> SiteSnapshot:
    site_id = int(str(site["site_id"]))
    accounts = spoken.recording.raw["accounts"]
    services = [_service(spoken, a) for a in spoken.recording.services if a.site_id == site_id]
    services += _unseen_services(spoken, site_id, {service.id for service in services})
    structure = _structure_of(spoken, site_id)
    users = {
        user["user_id"]: Member(user["user_id"], UserKind(user["kind"]), user["name"])
        for user in accounts["users"]
    }
    snapshot = SiteSnapshot(
        id=site_id,
        uid=uuid.UUID(str(site["site_uid"])).bytes,
        kind=SiteKind.SINGLE_SERVICE
        if str(site["kind"]).startswith("single")
        else SiteKind.MULTI_SERVICE,
        enabled=True,
        owner_eligible=True,
        services=tuple(sorted(services, key=lambda found: found.id)),
        users=users,
        guest_user_id=next(u.user_id for u in users.values() if u.kind is UserKind.GUEST),
    )
    return snapshot if structure is None else built(spoken, snapshot, structure)


def built(spoken: Spoken, snapshot: SiteSnapshot, structure: SiteStructure) -> SiteSnapshot:
    """Return a site built on a structure, with the users of the recording."""
    accounts = spoken.recording.raw["accounts"]
    roles = _roles(spoken, snapshot.id, structure)
    ids = {name: role_id for role_id, name in roles}
    members = tuple(
        dataclasses.replace(
            snapshot.users[entry["user_id"]],
            role_ids=tuple(sorted(ids[name] for name in entry["roles"] if name in ids)),
        )
        for entry in sorted(accounts["site_users"], key=lambda found: found["user_id"])
        if entry["site_id"] == snapshot.id
    )
    (site,) = [found for found in accounts["sites"] if found["site_id"] == snapshot.id]
    return dataclasses.replace(
        snapshot,
        structure=structure,
        ss_hash=structure_hash(structure),
        roles=roles,
        members=members,
        guest_allowed=structure.guest_support is not GuestSupport.NONE and site["guest_allowed"],
    )


def _roles(spoken: Spoken, site_id: int, structure: SiteStructure) -> tuple[tuple[int, str], ...]:
    for step, message in spoken.to_endpoint:
        if isinstance(message, UserList) and spoken.site_of(step.connection) == site_id:
            return tuple((role.id, role.name) for role in message.roles)
    return tuple(enumerate(sorted(structure.roles), 5000))


def _service(spoken: Spoken, account: Account) -> SnapshotService:
    mine = {
        connection.id
        for connection in spoken.recording.tracker_connections()
        if connection.account.startswith(f"service {account.id} ")
    }
    said = [m for step, m in spoken.to_server if step.connection in mine]
    heard = [m for step, m in spoken.to_endpoint if step.connection in mine]
    asked = [m for m in heard if isinstance(m, GetState | GetSiteStructure)]
    storage = next(
        (
            m.storage_uid
            for m in [*heard[: _index(heard, ServiceOnline)], *heard][
                : _index(heard, ServiceOnline)
            ]
            if isinstance(m, pubsub.LastStorageUid)
        ),
        None,
    )
    state = next((m for m in said if isinstance(m, ServiceState)), None)
    blank = SnapshotService(account.id, account.uid, account.hostname, storage_uid=storage)
    if not asked or isinstance(asked[0], GetSiteStructure) or state is None:
        return blank
    refreshed = len(asked) > 1 and isinstance(asked[1], GetSiteStructure)
    return dataclasses.replace(
        blank,
        service_type=state.profile.service_type,
        contract_author=state.profile.contract_author,
        ss_hash=b"another structure..!" if refreshed else state.profile.ss_hash,
        version=state.version or "",
    )


def _unseen_services(spoken: Spoken, site_id: int, seen: set[int]) -> list[SnapshotService]:
    for step, message in spoken.to_endpoint:
        if isinstance(message, ServicesUpdated) and spoken.site_of(step.connection) == site_id:
            return [
                SnapshotService(s.id, s.id.to_bytes(16, "big"), s.hostname, version=s.version)
                for s in message.services
                if s.id not in seen
            ]
    return []


def _structure_of(spoken: Spoken, site_id: int) -> SiteStructure | None:
    """Return what the site is built on at the start, None for a blank one."""
    for step, message in spoken.to_endpoint:
        if spoken.site_of(step.connection) != site_id:
            continue
        if isinstance(message, Error):
            return None
        if isinstance(message, ClientParked) and message.status is ClientStatus.SITE_BLANK:
            return None
        if isinstance(message, ServiceOnline | ClientOnline | ServiceParked | ClientParked):
            break
    accepted = {step.connection for step, m in spoken.to_endpoint if isinstance(m, ServiceOnline)}
    for step, message in spoken.to_server:
        if (
            isinstance(message, ServiceState)
            and step.connection in accepted
            and spoken.site_of(step.connection) == site_id
        ):
            return known_structures().get(message.profile.ss_hash)
    return known_structures()[USUAL_STRUCTURE]


def _index(found: list[Message], kind: type[Message]) -> int:
    return next((i for i, m in enumerate(found) if isinstance(m, kind)), len(found))


def managed(
    spoken: Spoken,
    site: SiteSnapshot,
    verb: str,
    words: list[str],
    structures: dict[int, SiteStructure],
) -> SiteSnapshot:
    """Return the site as one management command leaves it."""
    change = dataclasses.replace

    def service(**values: Any) -> SiteSnapshot:
        return change(
            site,
            services=tuple(
                change(s, **values) if s.id == int(words[0]) else s for s in site.services
            ),
        )

    def members(found: tuple[Member, ...]) -> SiteSnapshot:
        return change(site, members=tuple(sorted(found, key=lambda m: m.user_id)))

    others = tuple(m for m in site.members if words and str(m.user_id) != words[0])
    match verb:
        case "changeHostname":
            return service(hostname=words[1])
        case "disableService" | "enableService":
            return service(enabled=verb.startswith("enable"))
        case "setServicePingPeriod":
            return service(ping_period=int(words[1]))
        case "addService":
            new = SnapshotService(5006, b"new service 5006", words[0])
            return change(site, services=(*site.services, new))
        case "deleteService":
            return change(site, services=tuple(s for s in site.services if s.id != int(words[0])))
        case "disableSite" | "enableSite":
            return change(site, enabled=verb.startswith("enable"))
        case "denyGuest" | "allowGuest":
            return change(site, guest_allowed=verb.startswith("allow"))
        case "addSiteUser":
            return members((*others, site.users[int(words[0])]))
        case "removeSiteUser":
            return members(others)
        case "updateUserRoles":
            roles = tuple(sorted(int(part) for part in words[1].split(",")))
            return members((*others, change(site.users[int(words[0])], role_ids=roles)))
        case "applyStructure":
            return built(spoken, site, structures[int(words[0])])
    raise AssertionError(f"no such command: {verb}")
