"""The control connection to a proxy: what is taken in which state (02 section 6.4)."""

from __future__ import annotations

import pytest

from gateway.protocol.connector import (
    Challenged,
    Connector,
    DirectEnded,
    DirectOffered,
    MeetingFailed,
    RelayOffered,
)
from gateway.wire.framing import frame
from gateway.wire.message import Message
from gateway.wire.rendezvous import (
    TCP_TYPES,
    CreateP2PConnection,
    CreateP2PConnectionInDualMode,
    CreateProxyConnection,
    P2PFailed,
    ProxyAuthHash,
    ProxyAuthKey,
    ProxyError,
    ProxyRole,
    encode_control,
)

UID = bytes(range(16))
KEY = bytes(20)
DIRECT = CreateP2PConnection(bytes(6), b"mine", b"your")
DUAL = CreateP2PConnectionInDualMode(bytes(6), b"mine", b"your", b"\xff" * 6)
RELAY = CreateProxyConnection(37787)


def say(message: Message) -> bytes:
    return encode_control(TCP_TYPES, message)


def reports(connector: Connector) -> list[object]:
    found: list[object] = []
    while (report := connector.next_event()) is not None:
        found.append(report)
    return found


def ready(role: ProxyRole, *, direct: bool) -> Connector:
    """Return a connector that waits for orders."""
    connector = Connector(role, UID, direct=direct, local_endpoint=bytes(6) if direct else None)
    connector.start(0.0)
    connector.feed(say(ProxyAuthKey(KEY)), 0.1)
    assert reports(connector) == [Challenged(KEY)]
    connector.outgoing()
    connector.vouch(KEY, KEY)
    assert connector.outgoing() == say(ProxyAuthHash(KEY, KEY))
    connector.vouch(KEY, KEY)
    assert connector.outgoing() == b""
    return connector


@pytest.mark.parametrize("role", ProxyRole)
def test_the_relay_is_asked_for_at_once(role: ProxyRole) -> None:
    connector = ready(role, direct=False)
    # An order to go direct is not for us; the relay's order follows.
    connector.feed(say(DIRECT) + say(DUAL), 0.2)
    assert reports(connector) == []
    assert connector.deadline is None
    connector.feed(say(RELAY) + say(RELAY), 0.3)
    assert reports(connector) == [RelayOffered(37787)]
    connector.connected()
    assert connector.finished is True


def test_a_service_gives_direct_up_after_four_seconds() -> None:
    connector = ready(ProxyRole.SERVICE, direct=True)
    connector.feed(say(DUAL), 1.0)
    assert reports(connector) == [DirectOffered(bytes(6), b"mine", b"your", b"\xff" * 6)]
    assert connector.deadline == 5.0
    connector.feed(say(RELAY), 2.0)  # ignored while it tries (trap T9)
    assert reports(connector) == []
    connector.tick(5.0)
    assert reports(connector) == [DirectEnded()]
    assert connector.outgoing() == say(P2PFailed())
    assert connector.deadline is None
    connector.direct_failed()
    assert connector.outgoing() == b""
    connector.feed(say(RELAY), 6.0)
    assert reports(connector) == [RelayOffered(37787)]


def test_a_client_tries_until_it_is_told_otherwise() -> None:
    connector = ready(ProxyRole.CLIENT, direct=True)
    connector.feed(say(DIRECT), 1.0)
    reports(connector)
    assert connector.deadline is None
    connector.direct_failed()
    assert connector.outgoing() == b""  # a client never says so (trap T3)
    connector.feed(say(RELAY), 2.0)
    assert reports(connector) == [DirectEnded(), RelayOffered(37787)]


@pytest.mark.parametrize(
    "octets",
    [
        say(ProxyError()),
        say(ProxyAuthKey(KEY)),
        say(ProxyAuthHash(KEY, KEY)),
        b"",
        frame(b"\x63"),
        frame(b"\x0e\x30\x80"),
        b"\x80",
        b"\x82\x01\x01",
        b"\x00",
    ],
)
def test_what_ends_a_meeting(octets: bytes) -> None:
    connector = ready(ProxyRole.SERVICE, direct=False)
    connector.feed(octets, 0.2)
    assert isinstance(connector.finished, MeetingFailed)
    connector.feed(say(RELAY), 0.3)
    assert reports(connector) == []


def test_a_proxy_may_order_the_relay_without_a_challenge() -> None:
    connector = Connector(ProxyRole.CLIENT, UID)
    connector.start(0.0)
    connector.feed(say(RELAY), 0.1)
    assert reports(connector) == [RelayOffered(37787)]
