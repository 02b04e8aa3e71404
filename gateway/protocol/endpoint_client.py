"""A client's session: installation, the services it sees, its user (01 sections 8 and 10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from gateway.access.ports import Actor
from gateway.base.entropy import Entropy
from gateway.model.kinds import ClientStatus, EventKind, UserKind
from gateway.protocol.endpoint import Phase
from gateway.protocol.endpoint_events import (
    EventArrived,
    EventStorageFailed,
    ServicesChanged,
    SubscriptionRefused,
    UserChanged,
)
from gateway.protocol.endpoint_group import SINGLE_ID
from gateway.protocol.endpoint_inbox import Delivered, Outcome
from gateway.protocol.endpoint_members import GUEST
from gateway.protocol.endpoint_requests import ClientMemory, ClientProfile, ClientRequests
from gateway.wire import groups
from gateway.wire.channel import ClientOpen, ClientRestore, OpenOk, OpenOk2, RestoreOk
from gateway.wire.codes import ErrorCode
from gateway.wire.installer import ClientOnline, ClientParked, ClientState, GetState
from gateway.wire.membership import ActingGuest, ActingUser, user_hash
from gateway.wire.message import Message
from gateway.wire.pubsub import (
    AddSubscription,
    DeliverPrivateEvent,
    DeliverQueueingEvent,
    DeliverReplacingEvent,
    DeliverReplacingNullEvent,
    IllegalSubscription,
    RemoveSubscription,
    Subscriptions,
    SyncOk,
    SyncStateful,
    SyncStateless,
)

_BEFORE = frozenset({Phase.INSTALLING})
_AFTER = frozenset({Phase.INSTALLED})
_ANY = _BEFORE | _AFTER
_Step = tuple[Callable[[Any, Any, float], None], frozenset[Phase], bool | None]


class ClientSession(ClientRequests):
    """One connection of a client to its tracker."""

    def __init__(self, profile: ClientProfile, memory: ClientMemory, entropy: Entropy) -> None:
        super().__init__(profile, memory, entropy)
        self._synchronised = False
        memory.group.all_offline()
        memory.inbox.begin()

    # -- opening

    def _first(self) -> Message:
        category, key = self._profile.category, self._profile.key
        if self._memory.channel_id is None or category.stateless:
            return ClientOpen(category, key)
        return ClientRestore(category, key, self._memory.channel_id)

    def _awaited(self) -> type[Message]:
        if self._profile.category.stateless:
            return OpenOk2
        return OpenOk if self._memory.channel_id is None else RestoreOk

    def _let_in(self, message: Message) -> None:
        if isinstance(message, OpenOk):
            self._memory.channel_id = message.channel_id

    def _handle(self, message: Message, now: float) -> None:
        found = self.TABLE.get(type(message))
        if found is None:
            raise self._unexpected(message)
        take, phases, single = found
        right_group = single is None or single == self._memory.group.single
        if self.phase not in phases or not right_group:
            raise self._unexpected(message)
        take(self, message, now)

    # -- installation and state

    def _get_state(self, _message: GetState, now: float) -> None:
        stateless = self._profile.category.stateless
        user = self._memory.user
        hash_of_user = None
        if not user.kind.guest:
            hash_of_user = user_hash(user.user_id, user.name, self._memory.roles)
        state = ClientState(
            self._profile.service_type,
            self._profile.contract_author,
            None if stateless else self._profile.description or None,
            self._memory.group.state_hash(),
            hash_of_user,
        )
        self._say(state, now)

    def _online(self, message: ClientOnline, now: float) -> None:
        self._memory.site_uid = message.site_uid
        self._installed(ClientStatus.ONLINE, now)

    def _parked(self, message: ClientParked, now: float) -> None:
        if message.status in (ClientStatus.OFFLINE, ClientStatus.ONLINE):
            raise self._unexpected(message)
        self._memory.site_uid = message.site_uid
        self._installed(message.status, now)

    def _acting(self, message: ActingGuest | ActingUser, _now: float) -> None:
        if self._profile.category.stateless:
            raise self._unexpected(message)
        if isinstance(message, ActingUser):
            # The kind of a user is not told to its client; it matters to nobody here.
            roles = message.roles or ()
            self._memory.user = Actor(UserKind.PRIVATE, message.user_id, message.name, roles)
            self._memory.roles = message.roles
        else:
            self._memory.user, self._memory.roles = GUEST, None
        if self.status is ClientStatus.ONLINE:
            self._emit(UserChanged())

    def _single_updated(self, message: groups.SingleServiceUpdated, _now: float) -> None:
        group = self._memory.group
        group.change(SINGLE_ID, hostname=message.hostname, version=message.version)
        self._emit(ServicesChanged())

    def _single_state(self, message: Message, now: float) -> None:
        version = message.version if isinstance(message, groups.SingleServiceOnline2) else None
        online = not isinstance(message, groups.SingleServiceOffline)
        self._service_state(SINGLE_ID, version, online, now)

    def _group_replaced(self, message: groups.ServicesUpdated, _now: float) -> None:
        self._memory.group.replace(message.services)
        self._emit(ServicesChanged())

    def _group_online(self, message: groups.ServicesOnline, _now: float) -> None:
        self._memory.group.set_online(message.service_ids)
        self._emit(ServicesChanged())

    def _included(self, message: groups.ServiceIncluded, _now: float) -> None:
        self._memory.group.include(message.service_id, message.hostname, message.version)
        self._emit(ServicesChanged())

    def _removed(self, message: groups.ServiceRemoved, now: float) -> None:
        if self._memory.group.remove(message.service_id):
            self._service_gone(message.service_id, now)
            self._emit(ServicesChanged())

    def _updated(self, message: groups.ServiceUpdated, _now: float) -> None:
        group = self._memory.group
        if group.change(message.service_id, hostname=message.hostname, version=message.version):
            self._emit(ServicesChanged())

    def _member_state(
        self,
        message: groups.ServiceOnlineInGroup
        | groups.ServiceOnlineInGroup2
        | groups.ServiceOfflineInGroup,
        now: float,
    ) -> None:
        version = message.version if isinstance(message, groups.ServiceOnlineInGroup2) else None
        online = not isinstance(message, groups.ServiceOfflineInGroup)
        self._service_state(message.service_id, version, online, now)

    def _service_state(
        self, service_id: int, version: str | None, online: bool, now: float
    ) -> None:
        if self._memory.group.change(service_id, version=version, online=online):
            if not online:
                self._service_gone(service_id, now)
            self._emit(ServicesChanged())

    def _service_gone(self, service_id: int, now: float) -> None:
        for uid, request in tuple(self._requests.items()):
            if request.service_id == service_id:
                self._end(uid, ErrorCode.SERVICE_OFFLINE, now)

    # -- events

    def _sync(self, message: SyncStateful | SyncStateless, now: float) -> None:
        stateless = self._profile.category.stateless
        if stateless != isinstance(message, SyncStateless):
            raise self._unexpected(message)
        inbox = self._memory.inbox
        if isinstance(message, SyncStateful) and message.subscription_hash == inbox.hash():
            self._say(SyncOk(), now)
        else:
            self._say(Subscriptions(inbox.listed()), now)
        self._synchronised = True

    def follow(self, kind: EventKind, name: str, now: float) -> None:
        """Tell the tracker of a subscription that the inbox has now (03 section 5.3)."""
        if self._synchronised:
            new = self._memory.inbox.subscription(kind, name)
            self._say(AddSubscription(kind, name, new.last_instance_id), now)

    def leave_event(self, kind: EventKind, name: str, now: float) -> None:
        """Tell the tracker of a subscription that the inbox has no more."""
        if self._synchronised:
            self._say(RemoveSubscription(kind, name), now)

    def _delivered(self, message: Delivered, now: float) -> None:
        self.take_outcome(self._memory.inbox.deliver(message), now)

    def take_outcome(self, outcome: Outcome, now: float) -> None:
        """Say and report what follows from a delivery or from the end of a handler."""
        if outcome.answer is not None:
            self._say(outcome.answer, now)
        if outcome.start is not None:
            self._emit(EventArrived(outcome.start))
        for problem in self._memory.inbox.take_problems():
            self._emit(EventStorageFailed(problem))

    def _not_subscribed(self, message: IllegalSubscription, _now: float) -> None:
        self._emit(SubscriptionRefused(message.name))

    # What is taken, in which phases, and whether by single- or multi-service clients only.
    TABLE: ClassVar[dict[type[Message], _Step]] = {
        **{message: (take, _ANY, None) for message, take in ClientRequests.ANSWERS.items()},
        GetState: (_get_state, _BEFORE, None),
        ClientOnline: (_online, _BEFORE, None),
        ClientParked: (_parked, _BEFORE, None),
        ActingGuest: (_acting, _ANY, None),
        ActingUser: (_acting, _ANY, None),
        groups.SingleServiceUpdated: (_single_updated, _ANY, True),
        groups.SingleServiceOnline: (_single_state, _ANY, True),
        groups.SingleServiceOnline2: (_single_state, _AFTER, True),
        groups.SingleServiceOffline: (_single_state, _AFTER, True),
        groups.ServicesUpdated: (_group_replaced, _BEFORE, False),
        groups.ServicesOnline: (_group_online, _BEFORE, False),
        groups.ServiceIncluded: (_included, _AFTER, False),
        groups.ServiceRemoved: (_removed, _AFTER, False),
        groups.ServiceUpdated: (_updated, _AFTER, False),
        groups.ServiceOnlineInGroup: (_member_state, _AFTER, False),
        groups.ServiceOnlineInGroup2: (_member_state, _AFTER, False),
        groups.ServiceOfflineInGroup: (_member_state, _AFTER, False),
        SyncStateful: (_sync, _AFTER, None),
        SyncStateless: (_sync, _AFTER, None),
        DeliverReplacingEvent: (_delivered, _AFTER, None),
        DeliverQueueingEvent: (_delivered, _AFTER, None),
        DeliverPrivateEvent: (_delivered, _AFTER, None),
        DeliverReplacingNullEvent: (_delivered, _AFTER, None),
        IllegalSubscription: (_not_subscribed, _AFTER, None),
    }
