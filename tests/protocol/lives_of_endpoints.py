"""The lives of services' and clients' sessions, which hear a tracker."""

from __future__ import annotations

from collections.abc import Callable

from gateway.base.secret import Secret
from gateway.model.kinds import (
    ClientCategory,
    ClientStatus,
    EventKind,
    ServiceStatus,
    TransportKind,
    UserKind,
)
from gateway.model.structure import SiteStructure
from gateway.protocol.endpoint_answers import ServiceMemory, ServiceProfile
from gateway.protocol.endpoint_client import ClientSession
from gateway.protocol.endpoint_events import (
    CallArrived,
    EventArrived,
    MeetClient,
    MeetService,
    StatusChanged,
)
from gateway.protocol.endpoint_requests import ClientMemory, ClientProfile
from gateway.protocol.endpoint_service import ServiceSession
from gateway.wire import channel, connect, groups, installer, membership, pubsub, rpc
from gateway.wire.message import Message
from tests.protocol.endpoint_bench import CAMERA, CHALLENGE, CHANNEL_ID, PLAIN, USERS
from tests.protocol.life import (
    ADDRESS,
    EMPTY,
    HASH,
    KEY,
    SITE,
    TCP,
    UDP,
    UID,
    WHEN,
    Life,
    Machine,
    nothing,
    numbered,
    started,
    t2c,
    t2s,
)

# -- endpoints at a tracker ------------------------------------------------------------------------


def service(structure: SiteStructure, *, known: bool = False) -> Callable[[], Machine]:
    def make() -> Machine:
        memory = ServiceMemory.fresh(structure, numbered())
        memory.channel_id = CHANNEL_ID if known else None
        for transport in (TCP, UDP):
            memory.ports.open(transport, 554, 4, None)
        if structure is SITE:
            for name in ("Alarm", "Alarm"):
                memory.outbox.raise_event(EventKind.QUEUEING, name)
        profile = ServiceProfile(UID, Secret("pass"), structure, "1.0")
        return started(ServiceSession(profile, memory, numbered()))

    return make


def at_service(machine: Machine, report: object) -> None:
    assert isinstance(machine, ServiceSession)
    if isinstance(report, MeetClient):
        machine.ask_for_hash(report.entry, KEY, 2.0)
    elif isinstance(report, CallArrived):
        machine.answer(report, EMPTY, 2.0)


def _asked(transport: TransportKind, number: int) -> connect.ServiceConnectionRequest:
    uid = bytes([number]) * 16
    return connect.ServiceConnectionRequest(transport, uid, 554, UserKind.OWNER, 11, 900 + number)


def _ordered(transport: TransportKind, number: int) -> connect.ServiceRendezvousData:
    uid, meeting = bytes([number]) * 16, bytes([100 + number]) * 16
    return connect.ServiceRendezvousData(
        transport, uid, meeting, 1, ADDRESS, 554, UserKind.OWNER, 11, 900 + number
    )


EVE, EVA = membership.UserEntry(13, "Eve", (2,)), membership.UserEntry(13, "Eva", (1,))
PLAIN_USER = membership.UserEntry(11, "Owner")
SERVICE_IN = t2s(CHALLENGE, channel.OpenOk(CHANNEL_ID), installer.GetState())
SERVICE_LIVES = (
    Life("service", service(SITE), (
        SERVICE_IN,
        t2s(installer.GetSiteStructure()),
        t2s(installer.HostnameChanged("Door"), installer.Params(15), installer.SetPingPeriod(20),
            USERS, membership.GuestAllowed(True), pubsub.LastStorageUid(b"l" * 16),
            installer.ServiceOnline(), channel.Pong()),
        t2s(membership.UserIncluded(True, EVE), membership.UserUpdated(True, EVA),
            membership.UserRemoved(True, 13), membership.GuestDenied(True),
            _asked(TCP, 1), _asked(UDP, 2), _asked(TCP, 3), _asked(UDP, 4),
            _ordered(TCP, 1), _ordered(UDP, 2), _ordered(TCP, 3), _ordered(UDP, 4),
            rpc.ServiceCallRequest(UID, "Look", UserKind.OWNER, 11, 900, EMPTY)),
        t2s(connect.ServiceAuthHash(TCP, 554, bytes([101]) * 16, HASH, KEY),
            connect.ServiceAuthHash(UDP, 554, bytes([102]) * 16, HASH, KEY),
            connect.ServiceAuthError(TCP, 554, bytes([103]) * 16),
            connect.ServiceAuthError(UDP, 554, bytes([104]) * 16)),
        t2s(pubsub.RaiseAcknowledged(0, bytes([2]) * 16)),
        t2s(pubsub.IllegalEventName(0, bytes([3]) * 16)),
        t2s(channel.Error(245)),
    ), at_service),
    Life("plain service", service(PLAIN, known=True), (
        t2s(CHALLENGE, channel.RestoreOk(), installer.GetState(),
            membership.UserList(False, (), (PLAIN_USER,)), membership.GuestAllowed(False),
            installer.ServiceOnline(), membership.UserIncluded(False, membership.UserEntry(3, "A")),
            membership.UserUpdated(False, membership.UserEntry(3, "B")),
            membership.UserRemoved(False, 3), membership.GuestDenied(False), channel.Pong()),
    ), at_service),
    Life("parked service", service(CAMERA), (
        SERVICE_IN,
        t2s(installer.ServiceParked(ServiceStatus.DISABLED), channel.Pong(),
            installer.HostnameChanged("Gate")),
    ), at_service),
)  # fmt: skip


def client(category: ClientCategory, *, known: bool = False) -> Callable[[], Machine]:
    def make() -> Machine:
        memory = ClientMemory.fresh(category)
        memory.channel_id = CHANNEL_ID if known else None
        for kind, name in (
            (EventKind.REPLACING, "Status"),
            (EventKind.QUEUEING, "Alarm"),
            *(() if category.stateless else ((EventKind.PRIVATE, "Note"),)),
        ):
            memory.inbox.follow(kind, name)
        password = None if category.stateless else Secret("pass")
        profile = ClientProfile(category, "abcd1234", password, "IP Camera", "me", "mine")
        return started(ClientSession(profile, memory, numbered()))

    return make


def at_client(machine: Machine, report: object) -> None:
    assert isinstance(machine, ClientSession)
    if isinstance(report, StatusChanged) and report.status is ClientStatus.ONLINE:
        for transport in (TCP, UDP, TCP, UDP, TCP, UDP):  # uids 1 to 6
            machine.request(transport, 7, 554, limit=30, now=2.0)
        for _ in range(3):  # uids 7 to 9
            machine.call(7, "Look", EMPTY, limit=30, now=2.0)
    elif isinstance(report, MeetService):
        machine.ask_for_hash(report, KEY, 2.0)
    elif isinstance(report, EventArrived):
        report.delivery.started = True
        for outcome in machine._memory.inbox.handled(report.delivery):
            machine.take_outcome(outcome, 2.0)


def _uid(number: int) -> bytes:
    return bytes([number]) * 16


def _deliver(kind: type[Message], name: str, number: int) -> Message:
    return kind(name, 40 + number, _uid(60 + number), number, 7, 0, WHEN)  # type: ignore[call-arg]


def _meet(transport: TransportKind, number: int) -> connect.ClientRendezvousData:
    return connect.ClientRendezvousData(transport, _uid(number), _uid(100 + number), 1, ADDRESS)


ENTRIES = (groups.ServiceEntry(7, "Door", "1"), groups.ServiceEntry(8, "Yard", ""))
CLIENT_LIVES = (
    Life("client", client(ClientCategory.MULTI_SERVICE), (
        t2c(CHALLENGE, channel.OpenOk(CHANNEL_ID), installer.GetState()),
        t2c(groups.ServicesUpdated(ENTRIES), groups.ServicesOnline((7,)),
            membership.ActingUser(11, "Owner", ("Administrator",)), installer.Params(15),
            installer.SetPingPeriod(20), installer.ClientOnline(b"i" * 16),
            pubsub.SyncStateful(b"x" * 20), channel.Pong()),
        t2c(groups.ServiceIncluded(9, "Gate", "2"), groups.ServiceUpdated(9, "3", "Gates"),
            groups.ServiceOnlineInGroup(8), groups.ServiceOnlineInGroup2(9, "4"),
            groups.ServiceOfflineInGroup(8), groups.ServiceRemoved(9), membership.ActingGuest(),
            _meet(TCP, 1), _meet(UDP, 2), _meet(TCP, 3), _meet(UDP, 4),
            connect.ClientRequestError(TCP, _uid(5), 112),
            connect.ClientRequestError(UDP, _uid(6), 121),
            rpc.CallResult(_uid(7), EMPTY), rpc.CallFailed(_uid(8), 5, EMPTY),
            rpc.CallRefused(_uid(9), 132),
            _deliver(pubsub.DeliverReplacingEvent, "Status", 1),
            _deliver(pubsub.DeliverQueueingEvent, "Alarm", 2),
            _deliver(pubsub.DeliverPrivateEvent, "Note", 3),
            pubsub.IllegalSubscription("Note")),
        t2c(_deliver(pubsub.DeliverReplacingNullEvent, "Status", 4),
            connect.ClientAuthHash(TCP, _uid(1), HASH, KEY),
            connect.ClientAuthHash(UDP, _uid(2), HASH, KEY),
            connect.ClientAuthError(TCP, _uid(3)), connect.ClientAuthError(UDP, _uid(4)),
            connect.ClientConnectionAccepted(TCP, _uid(1)),
            connect.ClientConnectionAccepted(UDP, _uid(2))),
        t2c(channel.Error(245)),
    ), at_client),
    Life("stateless client of a single site", client(ClientCategory.SINGLE_SERVICE_STATELESS), (
        t2c(channel.OpenOk2(), installer.GetState()),
        t2c(groups.SingleServiceUpdated("1.0", "Door"), groups.SingleServiceOnline(),
            installer.ClientOnline(b"i" * 16), pubsub.SyncStateless(),
            groups.SingleServiceOffline(), groups.SingleServiceOnline2("1.1")),
    ), nothing),
    Life("parked client", client(ClientCategory.SINGLE_SERVICE, known=True), (
        t2c(CHALLENGE, channel.RestoreOk(), installer.GetState()),
        t2c(installer.ClientParked(b"i" * 16, ClientStatus.ACCESS_DENIED), channel.Pong()),
    ), nothing),
)  # fmt: skip
