"""Two snapshots compared: every live effect of management on endpoints (04 section 7, 01 10.7)."""

from __future__ import annotations

from gateway.model.kinds import SiteKind
from gateway.model.snapshot import Member, SiteSnapshot, SnapshotService
from gateway.site.admission import Admission, judge_client, judge_service
from gateway.site.group import Group
from gateway.site.presence import ClientPeer, Presence, ServicePeer
from gateway.site.pubsub import EventBroker
from gateway.site.roster import Roster
from gateway.wire.codes import ErrorCode
from gateway.wire.installer import HostnameChanged, SetPingPeriod
from gateway.wire.message import Message


def demands_restart(old: SiteSnapshot, new: SiteSnapshot) -> bool:
    """Tell whether all endpoints must come back and be judged anew (01 section 9.2)."""

    def essence(site: SiteSnapshot) -> tuple[object, ...]:
        return (
            site.enabled,
            site.owner_eligible,
            site.kind,
            site.blank,
            site.ss_hash,
            site.roles,
            site.uid,
        )

    return essence(old) != essence(new)


class Upkeep:
    """Tells the endpoints of a running site what management changed."""

    def __init__(
        self, presence: Presence, group: Group, admission: Admission, events: EventBroker
    ) -> None:
        self._presence = presence
        self._group = group
        self._admission = admission
        self._events = events

    def follow(self, new: SiteSnapshot) -> bool:
        """Go over to a later snapshot; return whether the site is over instead."""
        presence = self._presence
        old = presence.snapshot
        if demands_restart(old, new):
            self.end(ErrorCode.RESTART, ErrorCode.RESTART)
            return True
        presence.snapshot = new
        self._group.follow(new)
        if old.services != new.services:
            self._services(old, new)
        if (old.members, old.users, old.guest_allowed) != (
            new.members,
            new.users,
            new.guest_allowed,
        ):
            self._members(old, new)
        return False

    def end(self, service_code: ErrorCode, client_code: ErrorCode) -> None:
        """Send every endpoint away."""
        for peer in list(self._presence.by_connection.values()):
            code = service_code if isinstance(peer, ServicePeer) else client_code
            self._presence.dismiss(peer, code)

    def client_expelled(self, client_id: int, code: ErrorCode) -> None:
        """Send a client away, also one that is being judged."""
        for peer in self._peers_of_client(client_id):
            self._presence.dismiss(peer, code)

    def client_ping_period(self, client_id: int, seconds: int) -> None:
        """Tell a client its ping period."""
        for peer in self._peers_of_client(client_id):
            if peer.installed:
                self._presence.send(peer, SetPingPeriod(seconds))

    def _peers_of_client(self, client_id: int) -> list[ClientPeer]:
        return [
            peer
            for peer in self._presence.by_connection.values()
            if isinstance(peer, ClientPeer) and not peer.stateless and peer.id == client_id
        ]

    # -- services ------------------------------------------------------------------------------

    def _services(self, old: SiteSnapshot, new: SiteSnapshot) -> None:
        before = {service.id: service for service in old.services}
        after = {service.id: service for service in new.services}
        multi = new.kind is SiteKind.MULTI_SERVICE
        for service_id, service in before.items():
            if service_id not in after:
                self._service_gone(service)
        for service_id, service in after.items():
            if service_id not in before:
                if multi and service.enabled:
                    self._tell_clients(self._group.included(service))
            elif before[service_id] != service:
                self._service_changed(before[service_id], service, new)

    def _service_gone(self, service: SnapshotService) -> None:
        for peer in self._peers_of_service(service.id):
            self._presence.dismiss(peer, ErrorCode.SERVICE_NOT_REGISTERED)
        if service.enabled:  # clients were told already when it was disabled (trap 25)
            self._tell_clients(self._group.removed(service.id))

    def _service_changed(
        self, before: SnapshotService, service: SnapshotService, site: SiteSnapshot
    ) -> None:
        presence = self._presence
        multi = site.kind is SiteKind.MULTI_SERVICE
        switched = multi and before.enabled != service.enabled
        rekeyed = before.credential_stamp != service.credential_stamp
        for peer in self._peers_of_service(service.id):
            if rekeyed or (peer.installed and judge_service(site, service) is not peer.status):
                was_online = peer.online
                presence.dismiss(peer, ErrorCode.RESTART)
                if was_online and not switched:
                    # The reference forgets this after a new password (01, 9.5).
                    self._tell_clients(self._group.went_offline(service.id))
            elif peer.installed:
                if before.hostname != service.hostname:
                    presence.send(peer, HostnameChanged(service.hostname))
                if before.ping_period != service.ping_period:
                    presence.send(peer, SetPingPeriod(service.ping_period))
        if switched:
            included = self._group.included(service)
            self._tell_clients(included if service.enabled else self._group.removed(service.id))
        elif before.hostname != service.hostname and (service.enabled or not multi):
            self._tell_clients(self._group.renamed(service))

    def _peers_of_service(self, service_id: int) -> list[ServicePeer]:
        return [
            peer
            for peer in self._presence.by_connection.values()
            if isinstance(peer, ServicePeer) and peer.id == service_id
        ]

    def _tell_clients(self, message: Message) -> None:
        self._presence.send_all(self._presence.online_clients(), message)

    # -- users ---------------------------------------------------------------------------------

    def _members(self, old: SiteSnapshot, new: SiteSnapshot) -> None:
        presence = self._presence
        roster = Roster(new)
        self._admission.roster = roster
        services = list(presence.online_services())
        for message in roster.changes_from(old):
            presence.send_all(services, message)
        if roster.guests_supported and old.guest_allowed != new.guest_allowed:
            presence.send_all(services, roster.guest_message())
        for peer in list(presence.installed_clients()):
            self._rejudge(peer, old, new, roster)

    def _rejudge(
        self, peer: ClientPeer, old: SiteSnapshot, new: SiteSnapshot, roster: Roster
    ) -> None:
        presence = self._presence
        if not peer.stateless and peer.arrival.user_id not in new.users:
            presence.dismiss(peer, ErrorCode.CLIENT_NOT_REGISTERED)
            return
        status, acting = judge_client(new, peer)
        if status is not peer.status:
            presence.dismiss(peer, ErrorCode.RESTART)
            return
        before, peer.acting = peer.acting, acting
        if acting is None or before is None or peer.arrival.user_kind.guest:
            return
        if _view(old, before) != _view(new, acting):
            presence.send(peer, roster.acting_message(acting))
            self._events.rights_changed(peer)


def _view(site: SiteSnapshot, acting: Member) -> tuple[object, ...]:
    """Return what a client knows of whom it acts as; all guests look the same."""
    if acting.kind.guest:
        return ()
    return (acting.user_id, acting.name, site.role_names(acting.role_ids))
