"""Judging an endpoint that has said what it is (01 sections 7.6, 8.5 and 9.4; 04 section 4.4)."""

from __future__ import annotations

import dataclasses

from gateway.access.membership import act_as
from gateway.model.kinds import ClientStatus, ServiceStatus, SiteKind, UserKind
from gateway.model.snapshot import Member, SiteSnapshot, SnapshotService
from gateway.site.group import Group
from gateway.site.happenings import (
    BuildSite,
    OpenEvents,
    StoreDescription,
    StoreSeen,
    StoreStructure,
)
from gateway.site.presence import ClientPeer, Peer, Presence, ServicePeer
from gateway.site.pubsub import EventBroker
from gateway.site.roster import Roster
from gateway.wire.codes import ErrorCode
from gateway.wire.groups import hostname_hash
from gateway.wire.installer import (
    PING_PERIOD_MAX,
    PING_PERIOD_MIN,
    ClientOnline,
    ClientParked,
    ClientState,
    GetSiteStructure,
    GetState,
    HostnameChanged,
    Params,
    ServiceOnline,
    ServiceParked,
    ServiceState,
    UploadSiteStructure,
)
from gateway.wire.pubsub import LastStorageUid
from gateway.wire.structure import structure_hash


def judge_service(site: SiteSnapshot, service: SnapshotService) -> ServiceStatus:
    """Return the status of a connected service; never OFFLINE."""
    if site.structure is None:
        return ServiceStatus.SITE_BLANK
    declared = (service.service_type, service.contract_author)
    if declared != (site.structure.service_type, site.structure.contract_author):
        return ServiceStatus.SERVICE_TYPE_CONFLICT
    if service.ss_hash != site.ss_hash:
        return ServiceStatus.SITE_STRUCTURE_MISMATCH
    if not service.enabled and site.kind is SiteKind.MULTI_SERVICE:
        return ServiceStatus.DISABLED
    if not site.owner_eligible:
        return ServiceStatus.OWNER_DISABLED
    if not site.enabled:
        return ServiceStatus.SITE_DISABLED
    return ServiceStatus.ONLINE


def judge_client(site: SiteSnapshot, peer: ClientPeer) -> tuple[ClientStatus, Member | None]:
    """Return the status of a connected client and, online, whom it acts as."""
    if site.structure is None:
        return ClientStatus.SITE_BLANK, None
    built_for = (peer.service_type, peer.contract_author)
    if built_for != (site.structure.service_type, site.structure.contract_author):
        return ClientStatus.SERVICE_TYPE_CONFLICT, None
    if not site.owner_eligible:
        return ClientStatus.OWNER_DISABLED, None
    if not site.enabled:
        return ClientStatus.SITE_DISABLED, None
    acting = act_as(site, peer.arrival.user_kind, peer.arrival.user_id)
    if acting is None:
        return ClientStatus.ACCESS_DENIED, None
    return ClientStatus.ONLINE, acting


class Admission:
    """Lets endpoints in, one after another."""

    def __init__(
        self, presence: Presence, roster: Roster, group: Group, events: EventBroker
    ) -> None:
        self._presence = presence
        self.roster = roster
        self._group = group
        self._events = events
        self._building = 0

    # -- services ------------------------------------------------------------------------------

    def greet_service(self, peer: ServicePeer) -> None:
        """Ask a service that has logged in what it is."""
        presence = self._presence
        service = presence.snapshot.service(peer.id)
        if service is None:
            presence.dismiss(peer, ErrorCode.SERVICE_NOT_REGISTERED)
        else:
            presence.send(peer, GetSiteStructure() if service.ss_hash is None else GetState())

    def take_state(self, peer: ServicePeer, state: ServiceState) -> None:
        """Judge a service by its state, or ask for its structure when that is not the stored."""
        presence = self._presence
        service = presence.snapshot.service(peer.id)
        if service is None:
            presence.dismiss(peer, ErrorCode.SERVICE_NOT_REGISTERED)
            return
        if self._overtaken(peer, presence.services.get(peer.id)):
            return
        profile = state.profile
        stored = (service.service_type, service.contract_author, service.ss_hash)
        if (profile.service_type, profile.contract_author, profile.ss_hash) != stored:
            presence.send(peer, GetSiteStructure())
            return
        peer.hostname_hash = state.hostname_hash
        peer.list_hash = state.membership.list_hash
        peer.guest_allowed = state.membership.guest_allowed
        version = state.version or ""
        changed = version != service.version
        presence.effects.append(StoreSeen(peer.id, version=version if changed else None))
        if changed:
            self._learn(dataclasses.replace(service, version=version))
        self._install_service(peer)

    def take_structure(self, peer: ServicePeer, upload: UploadSiteStructure) -> None:
        """Keep what a service declares, then judge it."""
        presence = self._presence
        service = presence.snapshot.service(peer.id)
        if service is None:
            presence.dismiss(peer, ErrorCode.SERVICE_NOT_REGISTERED)
            return
        if self._overtaken(peer, presence.services.get(peer.id)):
            return
        structure, version = upload.structure, upload.version or ""
        ss_hash = structure_hash(structure)
        peer.renewed = True
        presence.effects.append(StoreStructure(peer.id, structure, version, ss_hash))
        self._learn(
            dataclasses.replace(
                service,
                service_type=structure.service_type,
                contract_author=structure.contract_author,
                ss_hash=ss_hash,
                version=version,
            )
        )
        self._install_service(peer)

    def _learn(self, service: SnapshotService) -> None:
        self._presence.learn(service)
        self._group.follow(self._presence.snapshot)

    def _install_service(self, peer: ServicePeer) -> None:
        presence = self._presence
        site = presence.snapshot
        if site.blank and site.enabled and site.owner_eligible:
            # Everybody waits without an answer; BuildEnded sends them away.
            if not self._building:
                self._building = peer.id
                presence.effects.append(BuildSite(peer.id))
            return
        service = site.service(peer.id)
        assert service is not None
        was_online = self._replace(peer, presence.services.get(peer.id))
        # After an upload there is no hash, which also stands for the empty name (01, 7.6).
        if peer.hostname_hash != hostname_hash(service.hostname):
            presence.send(peer, HostnameChanged(service.hostname))
        peer.status = judge_service(site, service)
        if peer.online:
            self._synchronise(peer, service)
            presence.install(peer)
            presence.send_all(presence.online_clients(), self._group.came_online(service))
        else:
            presence.send(peer, ServiceParked(peer.status))
            presence.install(peer)
            if was_online:
                # The reference leaves clients believing in the replaced service (01, 9.4).
                presence.send_all(presence.online_clients(), self._group.went_offline(peer.id))
        if PING_PERIOD_MIN <= service.ping_period <= PING_PERIOD_MAX:
            presence.send(peer, Params(service.ping_period))

    def _synchronise(self, peer: ServicePeer, service: SnapshotService) -> None:
        presence, roster = self._presence, self.roster
        if peer.renewed or not roster.knows(peer.list_hash):
            presence.send(peer, roster.user_list)
        if roster.guests_supported and (
            peer.renewed or peer.guest_allowed != presence.snapshot.guest_allowed
        ):
            presence.send(peer, roster.guest_message())
        if presence.snapshot.structure is not None and presence.snapshot.structure.events:
            presence.effects.append(OpenEvents(peer.connection))
            if service.storage_uid is not None:
                presence.send(peer, LastStorageUid(service.storage_uid))
        presence.send(peer, ServiceOnline())

    def _overtaken(self, peer: Peer, installed: Peer | None) -> bool:
        """Close the connection of an account that has come in by a later one meanwhile.

        What it said was under way for long; mostly its program is gone or has connected anew, and
        must not be the end of the one that is there (error 100 or 101). One that lives comes back
        after a second and is judged as 01 section 9.4 says.
        """
        if installed is None or installed.connection < peer.connection:
            return False
        self._presence.drop(peer)
        return True

    def _replace(self, peer: Peer, old: Peer | None) -> bool:
        """Send away an installed connection of the same account (01 section 9.4).

        Returns whether the old one was online.
        """
        if old is None or old is peer:
            return False
        was_online = old.online
        if peer.arrival.restored and peer.arrival.channel_id != old.arrival.channel_id:
            code = ErrorCode.DUPLICATED_CLIENT_KEY_USAGE
            if isinstance(old, ServicePeer):
                code = ErrorCode.DUPLICATED_SERVICE_UID_USAGE
            self._presence.dismiss(old, code)
        else:
            self._presence.drop(old)
        return was_online

    def build_ended(self, service_id: int, built: bool, code: ErrorCode) -> bool:
        """Send everybody away after building; return whether the site is over."""
        self._building = 0
        for peer in list(self._presence.by_connection.values()):
            failed = not built and isinstance(peer, ServicePeer) and peer.id == service_id
            self._presence.dismiss(peer, code if failed else ErrorCode.RESTART)
        return True

    # -- clients -------------------------------------------------------------------------------

    def greet_client(self, peer: ClientPeer) -> None:
        """Ask a client that has logged in what it is."""
        self._presence.send(peer, GetState())

    def take_client_state(self, peer: ClientPeer, state: ClientState) -> ClientPeer | None:
        """Judge a client and bring it up to date; return the one whose place it took."""
        presence = self._presence
        site = presence.snapshot
        installed = None if peer.stateless else presence.clients.get(peer.id)
        if self._overtaken(peer, installed):
            return None
        peer.service_type, peer.contract_author = state.service_type, state.contract_author
        arrival = peer.arrival
        if not peer.stateless:
            presence.effects.append(
                StoreDescription(
                    peer.id, state.service_type, state.contract_author, state.description or ""
                )
            )
            self._replace(peer, installed)
        peer.status, peer.acting = judge_client(site, peer)
        if peer.acting is None:
            presence.send(peer, ClientParked(site.uid, peer.status))
            presence.install(peer)
        else:
            self._bring_up_to_date(peer, peer.acting, state)
            presence.install(peer)
            if site.structure is not None and site.structure.events:
                presence.effects.append(OpenEvents(peer.connection))
                self._events.start(peer)
        timed = PING_PERIOD_MIN <= arrival.ping_period <= PING_PERIOD_MAX
        if timed and peer.status is not ClientStatus.SITE_BLANK:
            presence.send(peer, Params(arrival.ping_period))
        return installed

    def _bring_up_to_date(self, peer: ClientPeer, acting: Member, state: ClientState) -> None:
        presence, roster = self._presence, self.roster
        named = peer.arrival.user_kind < UserKind.GUEST
        if named and state.user_hash not in roster.acting_hashes(acting):
            presence.send(peer, roster.acting_message(acting))
        if state.group_hash != self._group.group_hash():
            presence.send(peer, self._group.updated())
        online = self._group.online_now(service.id for service in presence.online_services())
        if online is not None:
            presence.send(peer, online)
        presence.send(peer, ClientOnline(presence.snapshot.uid))
