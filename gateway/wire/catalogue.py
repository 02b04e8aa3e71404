"""Four tables, one a direction: (component, number) to message class, and back (01 section 6)."""

from __future__ import annotations

import enum
from typing import Any

from gateway.asn1.errors import DecodeError
from gateway.model.kinds import TransportKind
from gateway.wire import channel, connect, groups, installer, membership, pubsub, rpc
from gateway.wire.framing import frame
from gateway.wire.message import Message


class Direction(enum.Enum):
    """Who speaks to whom."""

    __hash__ = object.__hash__  # members are singletons; that of Enum is a call into Python

    SERVICE_TO_TRACKER = "s2t"
    TRACKER_TO_SERVICE = "t2s"
    CLIENT_TO_TRACKER = "c2t"
    TRACKER_TO_CLIENT = "t2c"


CHANNEL, MONITOR, INSTALLER, STATE = 1, 2, 5, 6
SINGLE_GROUP, MULTI_GROUP, ACTING = 7, 8, 9
ROLE_MEMBERSHIP, PLAIN_MEMBERSHIP = 7, 8
RPC, EVENTS = 14, 15
COMPONENT_MAX = 15


class UnknownMessage(DecodeError):
    """No message has this component and number in this direction."""

    def __init__(self, component: int, number: int) -> None:
        super().__init__(f"no message {component}.{number} in this direction")
        self.component = component
        self.number = number


_Entry = tuple[type[Message], dict[str, Any]]
_Table = dict[tuple[int, int], _Entry]


def _component(number: int, messages: dict[int, type[Message]], **fixed: Any) -> _Table:
    return {(number, kind): (message, fixed) for kind, message in messages.items()}


def _connections(messages: dict[int, type[Message]]) -> _Table:
    table: _Table = {}
    for transport in TransportKind:
        table |= _component(int(transport), messages, transport=transport)
    return table


_MEMBERSHIP: dict[int, type[Message]] = {
    1: membership.UserList,
    2: membership.UserIncluded,
    3: membership.UserUpdated,
    4: membership.UserRemoved,
    5: membership.GuestAllowed,
    6: membership.GuestDenied,
}
_MONITOR: dict[int, type[Message]] = {1: channel.Ping, 2: channel.KeepAlive}

TABLES: dict[Direction, _Table] = {
    Direction.SERVICE_TO_TRACKER: _component(
        CHANNEL, {1: channel.Open, 2: channel.Restore, 3: channel.HashAndKey2}
    )
    | _component(MONITOR, _MONITOR)
    | _component(INSTALLER, {1: installer.ServiceState, 2: installer.UploadSiteStructure})
    | _connections(
        {
            1: connect.RequestOk,
            2: connect.ServiceRequestError,
            3: connect.ServiceConnectionAccepted,
            7: connect.ServiceAuthKey,
        }
    )
    | _component(
        RPC, {1: rpc.ServiceCallResult, 2: rpc.ServiceCallFailed, 3: rpc.ServiceCallRefused}
    )
    | _component(
        EVENTS,
        {
            1: pubsub.RaiseReplacingEvent,
            2: pubsub.RaiseQueueingEvent,
            4: pubsub.RaisePrivateEvent,
            5: pubsub.RaiseReplacingNullEvent,
            9: pubsub.NewStorageUid,
        },
    ),
    Direction.TRACKER_TO_SERVICE: _component(
        CHANNEL,
        {1: channel.SaltAndKey1, 2: channel.OpenOk, 3: channel.RestoreOk, 4: channel.Error},
    )
    | _component(MONITOR, {1: channel.Pong})
    | _component(
        INSTALLER,
        {
            1: installer.GetState,
            2: installer.GetSiteStructure,
            3: installer.ServiceOnline,
            4: installer.ServiceParked,
        },
    )
    | _component(
        STATE, {1: installer.Params, 2: installer.HostnameChanged, 3: installer.SetPingPeriod}
    )
    | _component(ROLE_MEMBERSHIP, _MEMBERSHIP, role_based=True)
    | _component(PLAIN_MEMBERSHIP, _MEMBERSHIP, role_based=False)
    | _connections(
        {
            1: connect.ServiceConnectionRequest,
            2: connect.ServiceRendezvousData,
            7: connect.ServiceAuthHash,
            8: connect.ServiceAuthError,
        }
    )
    | _component(RPC, {1: rpc.ServiceCallRequest})
    | _component(
        EVENTS, {1: pubsub.RaiseAcknowledged, 2: pubsub.IllegalEventName, 9: pubsub.LastStorageUid}
    ),
    Direction.CLIENT_TO_TRACKER: _component(
        CHANNEL, {1: channel.ClientOpen, 2: channel.ClientRestore, 3: channel.HashAndKey2}
    )
    | _component(MONITOR, _MONITOR)
    | _component(INSTALLER, {1: installer.ClientState})
    | _connections({1: connect.ConnectionRequest, 7: connect.ClientAuthKey})
    | _component(RPC, {1: rpc.CallRequest})
    | _component(
        EVENTS,
        {
            1: pubsub.ReplacingEventAcknowledged,
            2: pubsub.QueueingEventAcknowledged,
            4: pubsub.PrivateEventAcknowledged,
            5: pubsub.EventRejected,
            6: pubsub.SyncOk,
            7: pubsub.Subscriptions,
            8: pubsub.AddSubscription,
            9: pubsub.RemoveSubscription,
        },
    ),
    Direction.TRACKER_TO_CLIENT: _component(
        CHANNEL,
        {
            1: channel.SaltAndKey1,
            2: channel.OpenOk,
            3: channel.OpenOk2,
            4: channel.RestoreOk,
            5: channel.Error,
        },
    )
    | _component(MONITOR, {1: channel.Pong})
    | _component(
        INSTALLER, {1: installer.GetState, 2: installer.ClientOnline, 3: installer.ClientParked}
    )
    | _component(STATE, {1: installer.Params, 2: installer.SetPingPeriod})
    | _component(
        SINGLE_GROUP,
        {
            1: groups.SingleServiceUpdated,
            2: groups.SingleServiceOnline,
            3: groups.SingleServiceOnline2,
            4: groups.SingleServiceOffline,
        },
    )
    | _component(
        MULTI_GROUP,
        {
            1: groups.ServicesUpdated,
            2: groups.ServicesOnline,
            3: groups.ServiceIncluded,
            4: groups.ServiceRemoved,
            5: groups.ServiceUpdated,
            6: groups.ServiceOnlineInGroup,
            7: groups.ServiceOnlineInGroup2,
            8: groups.ServiceOfflineInGroup,
        },
    )
    | _component(ACTING, {1: membership.ActingGuest, 2: membership.ActingUser})
    | _connections(
        {
            1: connect.ClientRendezvousData,
            2: connect.ClientRequestError,
            3: connect.ClientConnectionAccepted,
            7: connect.ClientAuthHash,
            8: connect.ClientAuthError,
        }
    )
    | _component(RPC, {1: rpc.CallResult, 2: rpc.CallFailed, 3: rpc.CallRefused})
    | _component(
        EVENTS,
        {
            1: pubsub.DeliverReplacingEvent,
            2: pubsub.DeliverQueueingEvent,
            4: pubsub.DeliverPrivateEvent,
            5: pubsub.DeliverReplacingNullEvent,
            6: pubsub.SyncStateful,
            7: pubsub.IllegalSubscription,
        },
    ),
}

_Key = tuple[type[Message], object]


def _reverse(table: _Table) -> dict[_Key, bytes]:
    back: dict[_Key, bytes] = {}
    for (component, number), (message, fixed) in table.items():
        variant = next(iter(fixed.values()), None)
        back[(message, variant)] = bytes((component, number))
    return back


# The field that tells one component from another for messages that several components have.
_VARIANTS = {
    message: next(iter(fixed))
    for table in TABLES.values()
    for message, fixed in table.values()
    if fixed
}


def _variant(message: Message) -> object:
    field = _VARIANTS.get(type(message))
    return None if field is None else getattr(message, field)


_HEADS = {direction: _reverse(table) for direction, table in TABLES.items()}
_HEADS[Direction.TRACKER_TO_CLIENT][(pubsub.SyncStateless, None)] = bytes((EVENTS, 6))


def encode(direction: Direction, message: Message) -> bytes:
    """Return the whole frame of a message that exists in this direction."""
    return frame(_HEADS[direction][(type(message), _variant(message))] + message.body())


def decode(direction: Direction, payload: bytes) -> Message:
    """Return the message of a payload; raise UnknownMessage or DecodeError."""
    if len(payload) < 2:
        raise DecodeError("a payload has at least a component and a number")
    component, number = payload[0], payload[1]
    entry = TABLES[direction].get((component, number))
    if entry is None:
        raise UnknownMessage(component, number)
    message, fixed = entry
    if message is pubsub.SyncStateful and len(payload) == 2:
        return pubsub.SyncStateless()
    return message.from_body(payload[2:], **fixed)


def component_of(direction: Direction, message: Message) -> int:
    """Return the component number under which a message travels in this direction."""
    variant = _variant(message)
    return _HEADS[direction][(type(message), variant)][0]
