"""The lives of what hears endpoints, and of endpoints that hear a proxy."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from gateway.model.kinds import (
    ClientCategory,
    EventKind,
    UserKind,
)
from gateway.protocol.balancer import BalancerAsked, BalancerServer
from gateway.protocol.connector import Challenged, Connector
from gateway.protocol.connector_udp import UdpConnector
from gateway.protocol.pairing import ControlConversation
from gateway.protocol.pairing_udp_control import Source, UdpControlConversation
from gateway.protocol.siteside import Authenticated, CredentialsAsked, Received, TrackerConnection
from gateway.wire import channel, connect, installer, pubsub, rpc
from gateway.wire import rendezvous as rzv
from gateway.wire.balancer import BalancerRequest
from gateway.wire.digest import challenge_response, proxy_auth_hash
from gateway.wire.rendezvous import ProxyRole
from tests.protocol.endpoint_bench import CHANNEL_ID
from tests.protocol.life import (
    EMPTY,
    HASH,
    KEY,
    SALT,
    SECRET,
    SITE,
    STORED,
    TCP,
    UDP,
    UID,
    Life,
    Machine,
    c2t,
    nothing,
    s2t,
    started,
    tcp,
    udp,
)
from tests.transcripts.endpoint_frames import ScriptedEntropy

# -- the tracker and the balancer ------------------------------------------------------------------


def tracker() -> Machine:
    return started(TrackerConnection(ScriptedEntropy()))


def at_tracker(machine: Machine, report: object) -> None:
    assert isinstance(machine, TrackerConnection)
    if isinstance(report, CredentialsAsked):
        category = getattr(report.login, "category", None)
        if category is not None and category.stateless:
            machine.admit(1.0)
        else:
            machine.challenge(SALT, STORED, 1.0)
    elif isinstance(report, Authenticated):
        machine.send(installer.GetState(), 1.0)
    elif isinstance(report, Received) and isinstance(report.message, installer.ServiceState):
        machine.send(installer.GetSiteStructure(), 1.0)
    elif isinstance(report, Received) and isinstance(report.message, installer.UploadSiteStructure):
        machine.open_events()
        machine.send(installer.ServiceOnline(), 1.0)
    elif isinstance(report, Received) and isinstance(report.message, installer.ClientState):
        machine.open_events()
        machine.send(installer.ClientOnline(b"i" * 16), 1.0)


STATE = installer.ServiceState(
    installer.SiteProfile("T", "A", HASH), "1.0", installer.MembershipState()
)
PROOF = channel.HashAndKey2(challenge_response(bytes(20), KEY, STORED), KEY)
OWNER = UserKind.OWNER
TRACKER_LIVES = (
    Life("tracker with a service", tracker, (
        [(None, b"\x01\x01"), *s2t(channel.Open(UID)), *s2t(PROOF)],
        s2t(channel.Ping(), STATE, channel.KeepAlive()),
        s2t(installer.UploadSiteStructure(SITE, "1.0")),
        s2t(connect.RequestOk(TCP, UID, 554, OWNER, 5), connect.RequestOk(UDP, UID, 554, OWNER, 5),
            connect.ServiceRequestError(TCP, UID, 112, OWNER, 5),
            connect.ServiceRequestError(UDP, UID, 112, OWNER, 5),
            connect.ServiceConnectionAccepted(TCP, UID, OWNER, 5),
            connect.ServiceConnectionAccepted(UDP, UID, OWNER, 5),
            connect.ServiceAuthKey(TCP, 554, UID, 1, KEY),
            connect.ServiceAuthKey(UDP, 554, UID, 1, KEY),
            rpc.ServiceCallResult(UID, OWNER, 5, EMPTY),
            rpc.ServiceCallFailed(UID, OWNER, 5, 7, EMPTY),
            rpc.ServiceCallRefused(UID, OWNER, 5, 132),
            pubsub.NewStorageUid(UID), pubsub.RaiseReplacingEvent("Status", 0, UID, EMPTY),
            pubsub.RaiseReplacingNullEvent("Status", 0, UID),
            pubsub.RaiseQueueingEvent("Alarm", 1, UID, EMPTY),
            pubsub.RaisePrivateEvent("Note", 2, UID, 5, EMPTY)),
        [(None, b"")],
    ), at_tracker),
    Life("tracker with a service that comes back", tracker, (
        [(None, b"\x01\x01"), *s2t(channel.Restore(UID, CHANNEL_ID)), *s2t(PROOF)],
        s2t(STATE),
    ), at_tracker),
    Life("tracker with a client", tracker, (
        [(None, b"\x01\x02"), *c2t(channel.ClientOpen(ClientCategory.MULTI_SERVICE, "abcd1234")),
         *c2t(PROOF)],
        c2t(installer.ClientState("T", "A", "mine"), channel.Ping(), channel.KeepAlive()),
        c2t(connect.ConnectionRequest(TCP, UID, 7, 554, EMPTY),
            connect.ConnectionRequest(UDP, UID, 7, 554),
            connect.ClientAuthKey(TCP, UID, 1, KEY), connect.ClientAuthKey(UDP, UID, 1, KEY),
            rpc.CallRequest(UID, 7, "Look", EMPTY), pubsub.SyncOk(),
            pubsub.Subscriptions((pubsub.Subscription(EventKind.QUEUEING, "Alarm"),)),
            pubsub.AddSubscription(EventKind.REPLACING, "Status"),
            pubsub.RemoveSubscription(EventKind.REPLACING, "Status"),
            pubsub.ReplacingEventAcknowledged(1, UID), pubsub.QueueingEventAcknowledged(1, UID),
            pubsub.PrivateEventAcknowledged(1, UID),
            pubsub.EventRejected(EventKind.QUEUEING, 1, UID)),
        [(None, b"")],
    ), at_tracker),
    Life("tracker with a client that comes back", tracker, (
        [(None, b"\x01\x02"),
         *c2t(channel.ClientRestore(ClientCategory.SINGLE_SERVICE, "abcd1234", CHANNEL_ID)),
         *c2t(PROOF)],
        c2t(installer.ClientState("T", "A")),
    ), at_tracker),
    Life("tracker with a stateless client", tracker, (
        [(None, b"\x01\x02"),
         *c2t(channel.ClientOpen(ClientCategory.MULTI_SERVICE_STATELESS, "sitekey1"))],
        c2t(installer.ClientState("T", "A")),
    ), at_tracker),
)  # fmt: skip


def at_balancer(machine: Machine, report: object) -> None:
    assert isinstance(machine, BalancerServer)
    assert isinstance(report, BalancerAsked)
    machine.found(ipaddress.ip_address("127.0.0.1"))


QUESTIONS = (
    BalancerRequest("softnet.example", UID),
    *(BalancerRequest(None, category=one, key="abcd1234") for one in ClientCategory),
)
BALANCER_LIVES = tuple(
    Life(
        f"balancer, question {number}",
        lambda: started(BalancerServer("softnet.example")),
        ([(None, question.encode())], [(None, b"")]),
        at_balancer,
    )
    for number, question in enumerate(QUESTIONS)
)

# -- endpoints at a proxy --------------------------------------------------------------------------

PRIVATE = rzv.pack_private(ipaddress.IPv4Address("192.168.1.20"), 50123)
PUBLIC = rzv.pack_public(ipaddress.ip_address("192.0.2.9"), 4000)


def connector(role: ProxyRole, *, direct: bool) -> Callable[[], Machine]:
    local = PRIVATE if direct else None
    return lambda: started(Connector(role, UID, direct=direct, local_endpoint=local))


def udp_connector(role: ProxyRole) -> Callable[[], Machine]:
    return lambda: started(
        UdpConnector(role, UID, local_address="192.168.1.20", local_endpoint=PRIVATE)
    )


def at_connector(machine: Machine, report: object) -> None:
    assert isinstance(machine, Connector | UdpConnector)
    if isinstance(report, Challenged):
        machine.vouch(HASH, KEY)


NAMED = rzv.UdpAuthKey(KEY, b"m" * 16)
CONNECTOR_LIVES = (
    Life("client's connector", connector(ProxyRole.CLIENT, direct=True), (
        tcp(rzv.ProxyAuthKey(KEY)),
        tcp(rzv.CreateP2PConnection(PUBLIC, b"mine", b"your"), rzv.CreateProxyConnection(37780)),
    ), at_connector),
    Life("service's connector", connector(ProxyRole.SERVICE, direct=True), (
        tcp(rzv.ProxyAuthKey(KEY)),
        tcp(rzv.CreateP2PConnectionInDualMode(PUBLIC, b"mine", b"your", PRIVATE)),
        tcp(rzv.ProxyError()),
    ), at_connector),
    Life("relayed connector", connector(ProxyRole.SERVICE, direct=False), (
        tcp(rzv.ProxyAuthKey(KEY)), tcp(rzv.CreateProxyConnection(37780)),
    ), at_connector),
    Life("client's UDP connector", udp_connector(ProxyRole.CLIENT), (
        udp(NAMED),
        udp(rzv.CreateUdpP2P(PUBLIC, b"p" * 16), rzv.P2PHolePunched(), rzv.P2PLocalHolePunched(),
            rzv.UdpProxyConnectionCreated()),
    ), at_connector),
    Life("service's UDP connector", udp_connector(ProxyRole.SERVICE), (
        udp(NAMED),
        udp(rzv.CreateUdpP2PInDualMode(PUBLIC, PRIVATE, b"p" * 16), rzv.P2PConnectionCreated(),
            rzv.ProxyError()),
    ), at_connector),
)  # fmt: skip

# -- the proxy -------------------------------------------------------------------------------------

VOUCHED = rzv.ProxyAuthHash(proxy_auth_hash(bytes(20), KEY, SECRET.reveal()), KEY)


def control() -> Machine:
    return started(
        ControlConversation(7, "192.0.2.7", 50000, secret=SECRET, entropy=ScriptedEntropy())
    )


def udp_control() -> Machine:
    return started(UdpControlConversation(7, secret=SECRET, entropy=ScriptedEntropy()))


def at_udp_control(machine: Machine, _report: object) -> None:
    assert isinstance(machine, UdpControlConversation)
    machine.sighted(Source(ipaddress.ip_address("192.0.2.7"), 40000, PRIVATE))


PROXY_LIVES = (
    *(
        Life(f"proxy, {type(opening).__name__}", control, (tcp(opening), tcp(VOUCHED, *more)),
             nothing)
        for opening, more in (
            (rzv.ClientP2P(UID, PRIVATE), ()), (rzv.ClientP2P(UID), ()),
            (rzv.ServiceP2P(UID, PRIVATE), (rzv.P2PFailed(),)), (rzv.ClientProxy(UID), ()),
            (rzv.ServiceProxy(UID), ()),
        )
    ),
    Life("UDP proxy, client", udp_control, (
        udp(rzv.ClientEndpointHello(UID)), udp(VOUCHED, rzv.P2PConnectionCreated()),
    ), at_udp_control),
    Life("UDP proxy, service", udp_control, (
        udp(rzv.ServiceEndpointHello(UID)),
        udp(VOUCHED, rzv.P2PHolePunched(), rzv.P2PLocalHolePunched(),
            rzv.CreateUdpProxyConnection()),
    ), at_udp_control),
)  # fmt: skip
