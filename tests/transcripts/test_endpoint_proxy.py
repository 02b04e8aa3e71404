"""Our connector sends what the reference's connectors sent to the proxy, octet for octet."""

from __future__ import annotations

import pytest

from gateway.protocol.connector import (
    Challenged,
    Connector,
    DirectEnded,
    DirectOffered,
    RelayOffered,
)
from gateway.wire.framing import PROXY_ENDPOINT_MAX, FrameBuffer
from gateway.wire.rendezvous import (
    TCP_TYPES,
    ClientP2P,
    ClientProxy,
    P2PFailed,
    ProxyAuthHash,
    ProxyRole,
    ServiceP2P,
    ServiceProxy,
    data_header,
    decode_control,
)
from tests.support.recordings import Way, load, names

CONTROLS = [
    (name, connection.id)
    for name in names()
    for connection in load(name).connections.values()
    if connection.kind.startswith("proxy TCP")
]


def _decoded(octets: bytes) -> object:
    frames = FrameBuffer(PROXY_ENDPOINT_MAX, 1)
    frames.feed(octets)
    payload = frames.next_payload()
    assert payload is not None
    return decode_control(TCP_TYPES, payload)


@pytest.mark.parametrize(("name", "connection"), CONTROLS)
@pytest.mark.parametrize("split", [False, True])
def test_control_connections(name: str, connection: int, split: bool) -> None:
    steps = load(name).of(connection)
    said = [_decoded(step.octets) for step in steps if step.way is Way.TO_SERVER]
    hello = said[0]
    assert isinstance(hello, ClientP2P | ServiceP2P | ClientProxy | ServiceProxy)
    service = isinstance(hello, ServiceP2P | ServiceProxy)
    direct = isinstance(hello, ClientP2P | ServiceP2P)
    connector = Connector(
        ProxyRole.SERVICE if service else ProxyRole.CLIENT,
        hello.connection_uid,
        direct=direct,
        local_endpoint=hello.local_endpoint if direct else None,
    )
    connector.start(0.0)
    reports: list[object] = []
    for step in steps:
        if step.way is Way.TO_ENDPOINT:
            for piece in (
                [step.octets[i : i + 1] for i in range(len(step.octets))]
                if split
                else [step.octets]
            ):
                connector.feed(piece, step.at)
        elif step.way is Way.TO_SERVER:
            wanted = _decoded(step.octets)
            if isinstance(wanted, ProxyAuthHash):
                connector.vouch(wanted.auth_hash, wanted.auth_key2)
            elif isinstance(wanted, P2PFailed):
                assert connector.deadline is not None
                assert abs(connector.deadline - step.at) < 0.5
                connector.tick(connector.deadline)
            assert connector.outgoing() == step.octets
        while (report := connector.next_event()) is not None:
            reports.append(report)
    assert connector.outgoing() == b""
    assert isinstance(reports[0], Challenged)
    if not direct:
        assert isinstance(reports[-1], RelayOffered)
    elif isinstance(reports[-1], RelayOffered):
        assert [type(one) for one in reports[1:]] in (
            [DirectOffered, DirectEnded, RelayOffered],
            [RelayOffered],
        )
    else:
        assert isinstance(reports[-1], DirectOffered)


def test_data_headers_of_relayed_streams() -> None:
    recording = load("07b")
    uid = recording.stream(103, Way.TO_SERVER)[1:17]
    assert recording.stream(103, Way.TO_SERVER)[:17] == data_header(ProxyRole.SERVICE, uid)
    assert recording.stream(104, Way.TO_SERVER)[:17] == data_header(ProxyRole.CLIENT, uid)
    assert recording.stream(103, Way.TO_ENDPOINT)[:17] == data_header(ProxyRole.CLIENT, uid)
