"""A test named after each trap of the protocol, and the proofs that no other file has.

A trap's own test looks up each proof in `traps.py`: it must exist, not be skipped, and is run here
when it needs nothing; all run where they stand.
"""

from __future__ import annotations

import ast
import asyncio
import datetime
import importlib
import inspect
import random
import socket
from pathlib import Path

import pytest

from gateway.asn1.errors import DecodeError, EncodeError
from gateway.asn1.reader import SequenceReader
from gateway.asn1.writer import SequenceWriter
from gateway.base.errors import InvalidInput, RemoteError
from gateway.endpoint.arguments import check_tag
from gateway.model.kinds import (
    ClientStatus,
    EventKind,
    GuestSupport,
    ServiceStatus,
    TransportKind,
    UserKind,
)
from gateway.model.structure import EventDefinition, SiteStructure
from gateway.net import sockets
from gateway.wire import catalogue, installer, pubsub, rpc
from gateway.wire.catalogue import Direction
from gateway.wire.connect import ConnectionRequest, ServiceRendezvousData
from gateway.wire.membership import user_hash
from gateway.wire.structure import structure_hash_input
from tests.interop.traps import TRAPS, Trap
from tests.relay.meeting import CLIENT, SERVICE, Endpoint, _dialled, receive, relay_server, send
from tests.support.recordings import vectors
from tests.wire.test_vectors import payload_of

TESTS = Path(__file__).resolve().parents[1]
UID = bytes(range(16))


def test_no_trap_is_left_out() -> None:
    wanted = [f"S{n}" for n in range(1, 33)] + [f"T{n}" for n in range(1, 27)]
    wanted += [f"R{n}" for n in range(1, 11)] + [f"E{n}" for n in range(1, 17)]
    assert [trap.name for trap in TRAPS] == wanted


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: f"trap_{trap.name}_{trap.ours}")
def test_is_proved(trap: Trap) -> None:
    assert trap.proofs
    for file, name in trap.proofs:
        tree = ast.parse((TESTS / f"{file}.py").read_text("utf-8"))
        found = {
            node.name: node
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.startswith("test_")
        }
        assert name in found, f"{file} has no {name}"
        marks = " ".join(ast.unparse(mark) for mark in found[name].decorator_list)
        assert "skip" not in marks
        assert "xfail" not in marks
        function = getattr(importlib.import_module(f"tests.{file.replace('/', '.')}"), name)
        if not inspect.iscoroutinefunction(function) and not inspect.signature(function).parameters:
            function()


# -- proofs of 01 ----------------------------------------------------------------------------------


def test_integers_beside_every_power_of_two() -> None:
    """The reference's codecs corrupt -128 and -2^55 (S1, R8)."""
    for power in range(64):
        for sign in (1, -1):
            for beside in range(-2, 3):
                value = sign * (1 << power) + beside
                if not -(1 << 63) <= value < 1 << 63:
                    continue
                octets = SequenceWriter().int64(value).encode()
                size = max(1, (value + (value < 0)).bit_length() // 8 + 1)
                assert (
                    octets.hex()
                    == bytes((0x30, size + 2, 2, size)).hex()
                    + value.to_bytes(size, "big", signed=True).hex()
                )
                assert SequenceReader.root(octets).int64() == value


def test_only_clients_are_told_the_sites_uid() -> None:
    down, up = Direction.TRACKER_TO_SERVICE, Direction.TRACKER_TO_CLIENT
    told = catalogue.encode(up, installer.ClientOnline(UID))
    assert UID in told
    assert UID in catalogue.encode(up, installer.ClientParked(UID, ClientStatus.ACCESS_DENIED))
    assert catalogue.encode(down, installer.ServiceOnline()).hex() == "020503"
    parked = installer.ServiceParked(ServiceStatus.SITE_STRUCTURE_MISMATCH)
    assert len(catalogue.encode(down, parked)) == 8


def test_hashes_sort_by_code_points() -> None:
    """Capitals come before small letters, whatever the language says (S27, E4)."""
    names = ("beta", "Alpha", "Zeta", "alpha", "_x")
    events = tuple(EventDefinition(EventKind.REPLACING, name) for name in names)
    octets = structure_hash_input(
        SiteStructure("T", "A", GuestSupport.NONE, ("b", "B", "a"), "b", events)
    )
    places = [octets.index(bytes((0x16, len(name))) + name.encode()) for name in sorted(names)]
    assert places == sorted(places)
    assert user_hash(1, "u", ("b", "B")) == user_hash(1, "u", ("B", "b"))
    found = pubsub.subscription_hash((EventKind.REPLACING, name) for name in names)
    assert found == pubsub.subscription_hash((EventKind.REPLACING, n) for n in sorted(names))


# -- proofs of 02 ----------------------------------------------------------------------------------


def _order(server_id: int) -> ServiceRendezvousData:
    return ServiceRendezvousData(
        TransportKind.TCP, UID, UID, server_id, bytes(4), 554, UserKind.PRIVATE, 1, 1
    )


def test_ids_of_proxies_fit_both_widths() -> None:
    """One message has Int64 where all others have Int32 (T2)."""
    way = Direction.TRACKER_TO_SERVICE
    octets = catalogue.encode(way, _order((1 << 31) - 1))
    assert catalogue.decode(way, payload_of(octets)) == _order((1 << 31) - 1)
    with pytest.raises(EncodeError):
        catalogue.encode(way, _order(1 << 31))


def test_a_long_tag_is_refused_and_leaves_nothing() -> None:
    """The reference's client enters the request first and forgets it there (T13)."""
    check_tag(SequenceWriter().octets(bytes(124)).encode())
    for tag in (b"", b"\x30", b"\x30\x05", SequenceWriter().octets(bytes(130)).encode()):
        with pytest.raises(InvalidInput):
            check_tag(tag)


def test_trap_t22_buffers_of_8192_octets_are_ignored_and_of_8196_count() -> None:
    """The limit of the reference is 8196, not 8192."""

    def sizes(asked: int) -> tuple[int, int]:
        options = sockets.SocketOptions(receive_buffer=asked, send_buffer=asked)
        with sockets.make(socket.AF_INET, options) as sock:
            wanted = (socket.SO_RCVBUF, socket.SO_SNDBUF)
            receive, send = (sock.getsockopt(socket.SOL_SOCKET, one) for one in wanted)
        return receive, send

    system = sizes(0)
    for ignored in (8192, 8195, 1_073_741_825):
        assert sizes(ignored) == system
    assert sizes(8196) == (2 * 8196, 2 * 8196)  # Linux doubles what it is asked for
    assert sizes(65_536) == (2 * 65_536, 2 * 65_536)


def test_a_virtual_port_of_minus_128() -> None:
    """With the reference's codec it damages the whole message (T25)."""
    way = Direction.CLIENT_TO_TRACKER
    asked = ConnectionRequest(TransportKind.TCP, UID, 1, -128)
    octets = catalogue.encode(way, asked)
    assert octets.endswith(b"\x02\x01\x80")
    assert octets[3] == 0x30
    assert catalogue.decode(way, payload_of(octets)) == asked
    trap = next(v for v in vectors("rpc")["vectors"] if v["id"] == "trap.asn1.int-minus-128")
    with pytest.raises(DecodeError):
        SequenceReader.root(bytes.fromhex(trap["hex"]))


async def _dial_from(local: tuple[str, int], address: tuple[str, int]) -> socket.socket:
    sock = socket.socket()
    _dialled.append(sock)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(local)
    await asyncio.get_running_loop().sock_connect(sock, address)
    return sock


async def test_a_source_port_may_come_again() -> None:
    """The reference's proxy loses a client that comes again within 120 s (T26)."""
    async with relay_server() as running:
        local = (f"127.27.{random.randrange(256)}.{random.randrange(1, 255)}", 0)
        for number in range(3):
            uid = bytes((number,)) * 16
            ends = [await Endpoint.come(running, role, uid) for role in (CLIENT, SERVICE)]
            await ends[1].open_data()
            await ends[0].told()
            data = ends[0].data = await _dial_from(local, running.data)
            local = data.getsockname()
            await send(data, b"\x01" + uid)
            client, service = [await end.complete() for end in ends]
            await send(client, b"here")
            assert await receive(service, 4) == b"here"
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            client.close()
            service.close()


# -- proofs of 03 ----------------------------------------------------------------------------------


def test_sizes_of_a_call() -> None:
    """65,536 octets of arguments, 4,096 of error data (R6, R7)."""
    assert (rpc.PAYLOAD_MAX, rpc.ERROR_DATA_MAX) == (65_536, 4096)
    way = Direction.CLIENT_TO_TRACKER
    fits = rpc.CallRequest(UID, 1, "Look", bytes(65_536))
    assert catalogue.decode(way, payload_of(catalogue.encode(way, fits))) == fits
    with pytest.raises(RemoteError):
        longer = catalogue.encode(way, rpc.CallRequest(UID, 1, "Look", bytes(65_537)))
        catalogue.decode(way, payload_of(longer))
    way = Direction.SERVICE_TO_TRACKER
    failed = rpc.ServiceCallFailed(UID, 1, 1, 7, bytes(4096))
    assert catalogue.decode(way, payload_of(catalogue.encode(way, failed))) == failed
    with pytest.raises(RemoteError):
        longer = catalogue.encode(way, rpc.ServiceCallFailed(UID, 1, 1, 7, bytes(4097)))
        catalogue.decode(way, payload_of(longer))


def test_events_of_kind_3_are_refused() -> None:
    way = Direction.CLIENT_TO_TRACKER
    octets = catalogue.encode(way, pubsub.AddSubscription(EventKind.QUEUEING, "Bell"))
    assert octets.count(b"\x02\x01\x02") == 1
    with pytest.raises(RemoteError):
        catalogue.decode(way, payload_of(octets.replace(b"\x02\x01\x02", b"\x02\x01\x03")))
    assert 3 not in {int(kind) for kind in EventKind}


def test_dates_are_utc() -> None:
    """The reference compares local time with UTC (E14)."""
    here = datetime.timezone(datetime.timedelta(hours=5))
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=here)
    octets = SequenceWriter().time(moment).encode()
    assert b"20260101220405Z" in octets
    assert SequenceReader.root(octets).time() == moment
