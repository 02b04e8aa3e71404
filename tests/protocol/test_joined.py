"""Two machines joined by a link that splits and delays at will and is cut at every octet."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from gateway.base.errors import GatewayError
from gateway.base.secret import Secret
from gateway.model.kinds import ClientCategory, ClientStatus, EventKind, ServiceStatus, UserKind
from gateway.protocol.balancer import BalancerServer
from gateway.protocol.connector import Challenged, Connector, RelayOffered
from gateway.protocol.connector_udp import ChannelReady, Transmit, UdpConnector
from gateway.protocol.endpoint import EndpointSession
from gateway.protocol.endpoint_answers import ServiceMemory, ServiceProfile
from gateway.protocol.endpoint_client import ClientSession
from gateway.protocol.endpoint_events import (
    CallArrived,
    CallEnded,
    EventArrived,
    RequestFailed,
    SessionEnded,
    StatusChanged,
)
from gateway.protocol.endpoint_requests import ClientMemory, ClientProfile
from gateway.protocol.endpoint_service import ServiceSession
from gateway.protocol.pairing import ControlConversation, PartyAuthenticated
from gateway.protocol.pairing_udp_control import Source, UdpControlConversation, UdpPartyReady
from gateway.protocol.siteside import Received, TrackerConnection
from gateway.wire import connect, installer, pubsub, rpc
from gateway.wire import rendezvous as rzv
from gateway.wire.balancer import BalancerAnswer
from gateway.wire.digest import proxy_auth_hash
from gateway.wire.rendezvous import ProxyRole
from tests.protocol.life import (
    EMPTY,
    KEY,
    SECRET,
    SITE,
    TCP,
    UID,
    WHEN,
    Machine,
    numbered,
    started,
)
from tests.protocol.lives_of_servers import (
    PRIVATE,
    QUESTIONS,
    at_balancer,
    at_tracker,
    control,
    tracker,
    udp_control,
)
from tests.protocol.test_every_machine import machines

Act = Callable[[Machine, object], None]
ROUNDS = 20_000
"""More than any of these conversations takes; one that goes in circles ends here."""


@dataclass
class End:
    """One end of the link: its machine, what its owner does, what is on its way to it."""

    machine: Machine
    act: Act
    coming: bytearray = field(default_factory=bytearray)
    reports: list[object] = field(default_factory=list)
    heard: int = 0

    def settle(self) -> None:
        while (report := self.machine.next_event()) is not None:
            self.reports.append(report)
            self.act(self.machine, report)

    def of(self, kind: type) -> list:
        return [report for report in self.reports if isinstance(report, kind)]


def carry(
    near: End, far: End, dice: random.Random | None, cut: tuple[int, int] | None = None
) -> None:
    """Carry octets until nobody says anything; `cut` names an end (0 or 1) and how much it hears.

    With dice each moment brings one end a random part of what is on its way, often one octet.
    """
    ends = (near, far)
    for _ in range(ROUNDS):
        for end, other in (ends, ends[::-1]):
            end.settle()
            other.coming += end.machine.outgoing()
        waiting = [end for end in ends if end.coming]
        if not waiting:
            return
        end = dice.choice(waiting) if dice else waiting[0]
        size = dice.choice((1, 1, 2, 7, 50, 5000)) if dice else len(end.coming)
        last = cut is not None and end is ends[cut[0]] and end.heard + size >= cut[1]
        if last:
            assert cut is not None
            size = cut[1] - end.heard
        if size:
            octets = bytes(end.coming[:size])
            del end.coming[:size]
            end.heard += len(octets)
            end.machine.feed(octets, 1.0)
            end.settle()
        if last:
            for one in ends:
                one.machine.feed(b"", 1.0)
                one.settle()
                assert one.machine.finished
            return
    raise AssertionError("the conversation goes in circles")


def every_cut(join: Callable[[random.Random | None, tuple[int, int] | None], tuple[End, End]]):
    """Yield how a conversation stands that is cut at each octet of each direction."""
    whole = join(None, None)
    for side in (0, 1):
        for at in range(whole[side].heard):
            yield side, at, join(random.Random(at), (side, at))


# -- endpoints and their tracker -------------------------------------------------------------------


def a_service(memory: ServiceMemory) -> Machine:
    profile = ServiceProfile(UID, Secret("pass"), SITE, "1.0")
    return started(ServiceSession(profile, memory, numbered()))


def service_memory() -> ServiceMemory:
    memory = ServiceMemory.fresh(SITE, numbered())
    memory.ports.open(TCP, 554, 4, None)
    for _ in range(3):
        memory.outbox.raise_event(EventKind.QUEUEING, "Alarm", EMPTY)
    return memory


def service_calls(machine: Machine, report: object) -> None:
    assert isinstance(machine, ServiceSession)
    if isinstance(report, CallArrived):
        machine.answer(report, EMPTY, 2.0)


def service_tracker(machine: Machine, report: object) -> None:
    """Own a tracker's end: bring the service online, ask it something, take its events."""
    assert isinstance(machine, TrackerConnection)
    at_tracker(machine, report)
    if isinstance(report, Received):
        message = report.message
        if isinstance(message, installer.UploadSiteStructure):
            asked = connect.ServiceConnectionRequest(TCP, UID, 99, UserKind.STATELESS_GUEST, 0, 9)
            machine.send(asked, 2.0)
            machine.send(rpc.ServiceCallRequest(UID, "X", UserKind.OWNER, 1, 9, EMPTY), 2.0)
        elif isinstance(message, pubsub.RaiseQueueingEvent):
            machine.send(pubsub.RaiseAcknowledged(message.index, message.instance_uid), 2.0)


def join_service(
    dice: random.Random | None, cut: tuple[int, int] | None, memory: ServiceMemory | None = None
) -> tuple[End, End]:
    near = End(a_service(memory or service_memory()), service_calls)
    far = End(tracker(), service_tracker)
    carry(near, far, dice, cut)
    return near, far


def a_client(memory: ClientMemory) -> Machine:
    profile = ClientProfile(
        ClientCategory.MULTI_SERVICE, "abcd1234", Secret("pass"), "IP Camera", "me", "mine"
    )
    return started(ClientSession(profile, memory, numbered()))


def client_memory() -> ClientMemory:
    memory = ClientMemory.fresh(ClientCategory.MULTI_SERVICE)
    memory.inbox.follow(EventKind.QUEUEING, "Alarm")
    return memory


def client_asks(machine: Machine, report: object) -> None:
    assert isinstance(machine, ClientSession)
    if isinstance(report, StatusChanged) and report.status is ClientStatus.ONLINE:
        machine.request(TCP, 7, 554, limit=30, now=2.0)
        machine.call(7, "Look", EMPTY, limit=30, now=2.0)
    elif isinstance(report, EventArrived):
        report.delivery.started = True
        for outcome in machine._memory.inbox.handled(report.delivery):
            machine.take_outcome(outcome, 2.0)


def client_tracker(machine: Machine, report: object) -> None:
    assert isinstance(machine, TrackerConnection)
    at_tracker(machine, report)
    if isinstance(report, Received):
        message = report.message
        if isinstance(message, installer.ClientState):
            machine.send(pubsub.SyncStateful(), 2.0)
        elif isinstance(message, connect.ConnectionRequest):
            machine.send(connect.ClientRequestError(TCP, message.request_uid, 115), 2.0)
        elif isinstance(message, rpc.CallRequest):
            machine.send(rpc.CallResult(message.transaction_uid, EMPTY), 2.0)
        elif isinstance(message, pubsub.Subscriptions):
            machine.send(pubsub.DeliverQueueingEvent("Alarm", 4, UID, 1, 7, 0, WHEN), 2.0)


def join_client(
    dice: random.Random | None, cut: tuple[int, int] | None, memory: ClientMemory | None = None
) -> tuple[End, End]:
    near = End(a_client(memory or client_memory()), client_asks)
    far = End(tracker(), client_tracker)
    carry(near, far, dice, cut)
    return near, far


def check_service(near: End, far: End) -> None:
    assert isinstance(near.machine, ServiceSession)
    assert near.machine.status is ServiceStatus.ONLINE
    heard = [type(report.message) for report in far.of(Received)]
    assert heard.count(pubsub.RaiseQueueingEvent) == 3
    assert connect.ServiceRequestError in heard
    assert rpc.ServiceCallRefused in heard
    assert len(near.machine._memory.outbox) == 0


def check_client(near: End, far: End) -> None:
    assert isinstance(near.machine, ClientSession)
    assert near.machine.status is ClientStatus.ONLINE
    assert [report.code for report in near.of(RequestFailed)] == [115]
    assert [report.result for report in near.of(CallEnded)] == [EMPTY]
    assert len(near.of(EventArrived)) == 1
    acknowledged = [one.message for one in far.of(Received)]
    assert pubsub.QueueingEventAcknowledged(4, UID) in acknowledged


@pytest.mark.parametrize("seed", range(60))
def test_endpoints_and_tracker_over_a_link_that_splits_and_delays(seed: int) -> None:
    check_service(*join_service(random.Random(seed), None))
    check_client(*join_client(random.Random(seed), None))


def test_a_service_cut_at_every_octet_comes_back_and_loses_no_event() -> None:
    seen = 0
    for _, _, (near, far) in every_cut(join_service):
        session = near.machine
        assert isinstance(session, EndpointSession)
        assert isinstance(near.reports[-1], SessionEnded)
        assert len(near.of(SessionEnded)) == 1
        assert isinstance(session.finished, GatewayError)
        assert session.status is ServiceStatus.OFFLINE
        assert session.deadline is None
        taken = {one.message.instance_uid for one in far.of(Received)
                 if isinstance(one.message, pubsub.RaiseQueueingEvent)}  # fmt: skip
        assert isinstance(session, ServiceSession)
        memory = session._memory
        waiting = set(memory.outbox._order)
        assert taken | waiting == {bytes([number]) * 16 for number in (2, 3, 4)}
        again = join_service(None, None, memory)
        assert again[0].machine.finished is False
        assert len(memory.outbox) == 0
        seen += 1
    assert seen > 600


def test_a_client_cut_at_every_octet_comes_back_and_asks_anew() -> None:
    seen = 0
    for _, _, (near, _) in every_cut(join_client):
        session = near.machine
        assert isinstance(session, ClientSession)
        assert isinstance(near.reports[-1], SessionEnded)
        assert isinstance(session.finished, GatewayError)
        # Whatever was asked has ended before the session has.
        asked = [one for one in near.of(StatusChanged) if one.status is ClientStatus.ONLINE]
        assert len(near.of(RequestFailed)) == len(near.of(CallEnded)) == len(asked)
        handled = near.of(EventArrived)
        again, _ = join_client(None, None, session._memory)
        assert again.machine.finished is False
        assert len(handled) + len(again.of(EventArrived)) == 1  # once over both sessions
        seen += 1
    assert seen > 300


# -- the balancer ----------------------------------------------------------------------------------


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda one: str(one.category or "service"))
def test_a_balancers_question_cut_at_every_octet_gets_no_answer_that_fits(question) -> None:
    asked = question.encode()
    for at in range(len(asked) + 1):
        machine = started(BalancerServer("softnet.example"))
        end = End(machine, at_balancer)
        for octet in asked[:at]:
            machine.feed(bytes((octet,)), 1.0)
        machine.feed(b"", 1.0)
        end.settle()
        answer = machine.outgoing()
        assert machine.finished
        if at == len(asked):
            assert BalancerAnswer.decode(answer, asked, 4).address is not None
        for short in range(len(answer)):  # what a cut leaves of an answer is none
            with pytest.raises(GatewayError):
                BalancerAnswer.decode(answer[:short], asked, 4)
        if at < len(asked) and answer:
            with pytest.raises(GatewayError):
                BalancerAnswer.decode(answer, asked, 4)


# -- endpoints and their proxy ---------------------------------------------------------------------


def vouched(machine: Machine, report: object) -> None:
    """Own an endpoint's connector; the tracker knows the proxy's secret."""
    assert isinstance(machine, Connector | UdpConnector)
    if isinstance(report, Challenged):
        machine.vouch(proxy_auth_hash(report.auth_key, KEY, SECRET.reveal()), KEY)


def relays(machine: Machine, report: object) -> None:
    assert isinstance(machine, ControlConversation)
    if isinstance(report, PartyAuthenticated):
        machine.tell(rzv.CreateProxyConnection(37780))


def relays_datagrams(machine: Machine, report: object) -> None:
    assert isinstance(machine, UdpControlConversation)
    if isinstance(report, UdpPartyReady):
        machine.tell(rzv.UdpProxyConnectionCreated())
    else:
        machine.sighted(Source(ipaddress.ip_address("192.0.2.7"), 40000, PRIVATE))


def join_proxy(role: ProxyRole, dice: random.Random | None, cut: tuple[int, int] | None):
    near = End(started(Connector(role, UID)), vouched)
    far = End(control(), relays)
    carry(near, far, dice, cut)
    return near, far


def join_udp(role: ProxyRole, dice: random.Random | None, cut: tuple[int, int] | None):
    connector = UdpConnector(role, UID, local_address="192.168.1.20", local_endpoint=PRIVATE)
    near = End(started(connector), vouched)
    far = End(udp_control(), relays_datagrams)
    carry(near, far, dice, cut)
    return near, far


@pytest.mark.parametrize("role", ProxyRole)
@pytest.mark.parametrize(("join", "offer"), [(join_proxy, RelayOffered), (join_udp, ChannelReady)])
def test_connector_and_proxy_over_a_bad_link(join, offer: type, role: ProxyRole) -> None:
    for seed in range(40):
        near, far = join(role, random.Random(seed), None)
        assert len(near.of(offer)) == 1
        assert not isinstance(near.machine.finished, GatewayError)
        assert not isinstance(far.machine.finished, GatewayError)
    for side, _, (near, _) in every_cut(lambda dice, cut: join(role, dice, cut)):
        assert near.machine.finished
        if side == 0:  # the last octet of the order is missing
            assert near.of(offer) == []
            assert isinstance(near.machine.finished, GatewayError)
        assert {type(one) for one in near.reports} <= {Challenged, Transmit, offer}


def test_every_machine_is_joined_here() -> None:
    """With whom each talks; the list is that of test_every_machine, so none can be forgotten."""
    assert machines() == {
        ServiceSession, ClientSession, TrackerConnection, BalancerServer, Connector, UdpConnector,
        ControlConversation, UdpControlConversation,
    }  # fmt: skip
