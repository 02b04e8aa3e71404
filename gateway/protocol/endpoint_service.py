"""A service's session: installation, name and members (01 sections 7 and 10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from gateway.base.entropy import Entropy
from gateway.model.kinds import ServiceStatus
from gateway.protocol.endpoint import Phase
from gateway.protocol.endpoint_answers import ServiceAnswers, ServiceMemory, ServiceProfile
from gateway.protocol.endpoint_events import (
    EventsTaken,
    EventStorageFailed,
    HostnameChanged,
    MembersChanged,
    RaiseRefused,
)
from gateway.wire import catalogue
from gateway.wire.channel import Open, OpenOk, Restore, RestoreOk
from gateway.wire.groups import hostname_hash
from gateway.wire.installer import (
    GetSiteStructure,
    GetState,
    ServiceOnline,
    ServiceParked,
    ServiceState,
    SiteProfile,
    UploadSiteStructure,
)
from gateway.wire.installer import HostnameChanged as HostnameMessage
from gateway.wire.membership import (
    GuestAllowed,
    GuestDenied,
    UserIncluded,
    UserList,
    UserRemoved,
    UserUpdated,
)
from gateway.wire.message import Message
from gateway.wire.pubsub import IllegalEventName, LastStorageUid, RaiseAcknowledged
from gateway.wire.structure import structure_hash


class ServiceSession(ServiceAnswers):
    """One connection of a service to its tracker."""

    def __init__(self, profile: ServiceProfile, memory: ServiceMemory, entropy: Entropy) -> None:
        super().__init__(profile, memory, entropy)
        self._last_storage_uid: bytes | None = None

    # -- opening

    def _first(self) -> Message:
        if self._memory.channel_id is None:
            return Open(self._profile.uid)
        return Restore(self._profile.uid, self._memory.channel_id)

    def _awaited(self) -> type[Message]:
        return OpenOk if self._memory.channel_id is None else RestoreOk

    def _let_in(self, message: Message) -> None:
        if isinstance(message, OpenOk):
            self._memory.channel_id = message.channel_id

    def _normal(self, payload: bytes) -> bytes:
        # The reference tracker sends updates of plain sites under 7 (01 section 10.3).
        if payload[0] in (catalogue.ROLE_MEMBERSHIP, catalogue.PLAIN_MEMBERSHIP):
            role_based = self._profile.structure.role_based
            own = catalogue.ROLE_MEMBERSHIP if role_based else catalogue.PLAIN_MEMBERSHIP
            return bytes((own,)) + payload[1:]
        return payload

    def _handle(self, message: Message, now: float) -> None:
        take = self.TABLE.get(type(message))
        if take is None:
            raise self._unexpected(message)
        take(self, message, now)

    # -- installation and state

    def _get_state(self, message: GetState, now: float) -> None:
        self._only_before_install(message)
        structure = self._profile.structure
        profile = SiteProfile(
            structure.service_type, structure.contract_author, structure_hash(structure)
        )
        name = hostname_hash(self._memory.hostname)
        version = self._profile.version or None
        self._say(ServiceState(profile, version, self._memory.members.state(), name), now)

    def _get_structure(self, message: GetSiteStructure, now: float) -> None:
        self._only_before_install(message)
        version = self._profile.version or None
        self._say(UploadSiteStructure(self._profile.structure, version), now)

    def _online(self, message: ServiceOnline, now: float) -> None:
        self._only_before_install(message)
        self._installed(ServiceStatus.ONLINE, now)
        if self._profile.structure.events:
            outbox = self._memory.outbox
            waited = len(outbox)
            outbox.begin(self._last_storage_uid)
            self.send_raised(now)
            if waited and not outbox:
                self._emit(EventsTaken())

    def _parked(self, message: ServiceParked, now: float) -> None:
        self._only_before_install(message)
        if message.status in (ServiceStatus.OFFLINE, ServiceStatus.ONLINE):
            raise self._unexpected(message)
        self._installed(message.status, now)

    def _only_before_install(self, message: Message) -> None:
        if self.phase is not Phase.INSTALLING:
            raise self._unexpected(message)

    def _hostname(self, message: HostnameMessage, _now: float) -> None:
        self._memory.hostname = message.hostname
        self._emit(HostnameChanged(message.hostname))

    def _user_list(self, message: UserList, _now: float) -> None:
        self._memory.members.replace(message)
        self._emit(MembersChanged())

    def _user_changed(self, message: UserIncluded | UserUpdated, _now: float) -> None:
        if self.phase is Phase.INSTALLING or (
            message.role_based != self._profile.structure.role_based
        ):
            raise self._unexpected(message)
        if isinstance(message, UserIncluded):
            self._memory.members.include(message.user)
        else:
            self._memory.members.update(message.user)
        self._emit(MembersChanged())

    def _user_removed(self, message: UserRemoved, _now: float) -> None:
        if self.phase is Phase.INSTALLING:
            raise self._unexpected(message)
        self._memory.members.remove(message.user_id)
        self._emit(MembersChanged())

    def _guests(self, message: GuestAllowed | GuestDenied, _now: float) -> None:
        if self._memory.members.admit_guests(isinstance(message, GuestAllowed)):
            self._emit(MembersChanged())

    def _last_storage(self, message: LastStorageUid, _now: float) -> None:
        self._only_before_install(message)
        self._needs_events(message)
        self._last_storage_uid = message.storage_uid

    def _acknowledged(self, message: RaiseAcknowledged | IllegalEventName, now: float) -> None:
        self._needs_events(message)
        outbox = self._memory.outbox
        if self.status is not ServiceStatus.ONLINE:
            raise self._unexpected(message)
        if not outbox.knows(message.index):
            raise self._inconsistent("an event that the site structure does not have")
        raised = outbox.acknowledge(message.instance_uid)
        if raised is None:
            return
        if isinstance(message, IllegalEventName):
            self._emit(RaiseRefused(raised.name))
        self.send_raised(now)
        if not outbox:
            self._emit(EventsTaken())

    def send_raised(self, now: float) -> None:
        """Send what waits to be sent; to be called after every raise (03 section 3.4)."""
        outbox = self._memory.outbox
        for message in outbox.pull(now):
            self._say(message, now)
        for problem in outbox.take_problems():
            self._emit(EventStorageFailed(problem))

    def _role_deadline(self) -> float | None:
        due = (super()._role_deadline(), self._memory.outbox.deadline)
        return min((moment for moment in due if moment is not None), default=None)

    def _role_tick(self, now: float) -> None:
        super()._role_tick(now)
        self.send_raised(now)

    def _role_ended(self) -> None:
        super()._role_ended()
        self._memory.outbox.interrupt()

    def _needs_events(self, message: Message) -> None:
        if not self._profile.structure.events:
            raise self._unexpected(message)

    TABLE: ClassVar[dict[type[Message], Callable[[Any, Any, float], None]]] = {
        **ServiceAnswers.ANSWERS,
        GetState: _get_state,
        GetSiteStructure: _get_structure,
        ServiceOnline: _online,
        ServiceParked: _parked,
        HostnameMessage: _hostname,
        UserList: _user_list,
        UserIncluded: _user_changed,
        UserUpdated: _user_changed,
        UserRemoved: _user_removed,
        GuestAllowed: _guests,
        GuestDenied: _guests,
        LastStorageUid: _last_storage,
        RaiseAcknowledged: _acknowledged,
        IllegalEventName: _acknowledged,
    }
