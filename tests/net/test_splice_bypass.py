"""Feeds that end in a joined pair's own loopback connection, and go past it: real sockets.

camera -> (feed) -> owner's end = relay's end -> (join) -> client, all in one relay process.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from gateway.net.splice_messages import SHUT, Command, Reason
from tests.net.splice_chain import Chain, expected, sent_by
from tests.net.splice_rig import (
    Job,
    Relay,
    abort,
    read_all,
    read_blob,
    read_exact,
    relay,
    send_blob,
    tcp_pair,
)

MIB = 1 << 20


@pytest.fixture
def running() -> Iterator[Relay]:
    with relay() as made:
        yield made


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_stream_goes_past_the_connection_and_arrives_whole(running: Relay, host: str) -> None:
    chain = Chain(running, host)
    chain.service.sendall(b"answer to PLAY;")
    feed = chain.feed(early=(b"early;", b""))
    reader = Job(read_blob, chain.client)
    blob = Job(send_blob, chain.camera, 32 * MIB)
    assert running.end(feed)[:2] == (Reason.CLOSED, 32 * MIB + 6)
    blob.get()
    count, _ = reader.get()
    assert count == 32 * MIB + 21
    chain.client.close()
    assert running.end(chain.pair)[2] == 32 * MIB + 21
    assert sent_by(chain.service) < 8 * MIB


def test_small_pictures_go_past_it_too(running: Relay) -> None:
    chain = Chain(running)
    chain.feed()
    chain.opened()
    through = sent_by(chain.service)
    for number in range(200):
        picture = number.to_bytes(4, "big") * 500
        chain.camera.sendall(picture)
        assert read_exact(chain.client, 2000) == picture
    assert sent_by(chain.service) == through
    assert chain.passed_by() >= 400_000


@pytest.mark.parametrize("seed", range(6))
def test_the_order_holds_over_feeds_reclaims_and_answers(running: Relay, seed: int) -> None:
    """The service writes, feeds, takes the direction back, again and again, at any pace."""
    numbers = random.Random(seed)
    chain = Chain(running, unsent=numbers.choice([16384, 131072]))
    heard = bytearray()
    stopped = threading.Event()

    def listen() -> None:
        pace = random.Random(seed + 100)
        while data := chain.client.recv(pace.choice([100, 5000, 300_000])):
            heard.extend(data)
            if pace.random() < 0.02 and not stopped.is_set():
                time.sleep(0.02)

    listener = Job(listen)
    told = bytearray()
    for turn in range(25):
        answer = f"<answer {turn}>".encode() * numbers.choice([1, 3, 4000])
        chain.service.sendall(answer)
        told += answer
        early = f"<early {turn}>".encode() * numbers.choice([0, 1, 1000])
        chain.feed(early=(early, b""))
        length = numbers.choice([0, 2000, 100_000, 3 * MIB])
        stream = numbers.randbytes(length)
        camera = Job(chain.camera.sendall, stream)
        time.sleep(numbers.choice([0, 0.001, 0.01]))
        reason, octets, _, _ = chain.reclaim()
        assert reason is Reason.RECLAIMED
        told += early + stream[: octets - len(early)]
        told += b"|"
        chain.service.sendall(b"|")
        # What the feed left in the camera's socket is the service's.
        rest = read_exact(chain.near_camera, length - (octets - len(early)))
        camera.get()
        assert rest == stream[octets - len(early) :]
        chain.service.sendall(rest)
        told += rest
    chain.service.shutdown(socket.SHUT_WR)
    stopped.set()
    listener.get()
    assert heard == told


def test_the_other_direction_is_left_alone(running: Relay) -> None:
    chain = Chain(running)
    chain.feed()
    reader = Job(read_exact, chain.client, 16 * MIB)
    camera = Job(chain.camera.sendall, bytes(16 * MIB))
    for number in range(50):
        request = f"GET_PARAMETER {number};".encode()
        chain.client.sendall(request)
        assert read_exact(chain.service, len(request)) == request
    camera.get()
    reader.get()
    assert running.counts()[2][0][1] == sum(len(f"GET_PARAMETER {n};") for n in range(50))


def test_a_client_that_only_reads_gets_the_rest(running: Relay) -> None:
    chain = Chain(running)
    chain.feed()
    chain.opened()
    chain.client.shutdown(socket.SHUT_WR)
    assert chain.service.recv(1) == b""
    reader = Job(read_blob, chain.client)
    assert Job(send_blob, chain.camera, 8 * MIB).get() == reader.get()[1]


def test_the_end_of_the_camera_comes_after_its_octets(running: Relay) -> None:
    chain = Chain(running)
    feed = chain.feed()
    chain.opened()
    sent = chain.stall()
    chain.camera.shutdown(socket.SHUT_WR)
    data = read_all(chain.client)
    assert data == expected(sent)[:sent]
    assert running.end(feed)[0] is Reason.CLOSED
    chain.client.close()
    assert running.end(chain.pair)[0] is Reason.CLOSED


def test_the_end_of_the_service_comes_after_the_octets_of_the_camera(running: Relay) -> None:
    chain = Chain(running)
    feed = chain.feed()
    already = chain.opened()
    sent = chain.stall()
    # Against the rules, for the feed is not over; what was delivered must arrive all the same.
    chain.service.shutdown(socket.SHUT_WR)
    reason, octets, _, _ = running.end(feed)
    assert reason is Reason.B_RESET
    assert read_all(chain.client) == expected(sent)[: octets - already]
    chain.client.close()
    assert running.end(chain.pair)[0] is Reason.CLOSED


def test_octets_of_a_caller_who_does_not_wait_disturb_no_others(running: Relay) -> None:
    chain = Chain(running)
    feed = chain.feed()
    already = chain.opened()
    sent = chain.stall()
    chain.service.sendall(b"|" * 7)
    running.command(Command.RECLAIM, feed)
    chain.client.settimeout(1)
    data = b""
    try:
        while part := chain.client.recv(65536):
            data += part
    except TimeoutError:
        pass
    reason, octets, _, _ = running.end(feed)
    assert reason is Reason.RECLAIMED
    place = next(at for at in range(len(data)) if data[at : at + 7] == b"|" * 7)
    assert data[:place] + data[place + 7 :] == expected(sent)[: octets - already]


def test_octets_of_a_caller_who_does_not_wait_arrive(running: Relay) -> None:
    chain = Chain(running)
    chain.feed()
    chain.opened()
    for number in range(5):
        chain.service.sendall(b"|")
        assert read_exact(chain.client, 1) == b"|"
        chain.camera.sendall(bytes([number]) * 3000)
        assert read_exact(chain.client, 3000) == bytes([number]) * 3000


def test_a_reset_of_the_client_ends_both(running: Relay) -> None:
    chain = Chain(running)
    feed = chain.feed()
    chain.opened()
    chain.stall()
    abort(chain.client)
    assert running.end(chain.pair)[0] is Reason.A_RESET
    assert running.end(feed)[0] is Reason.B_RESET
    with pytest.raises(ConnectionResetError):
        chain.service.recv(1)


@pytest.mark.parametrize("stalled", [False, True])
def test_killing_the_pair_ends_both(running: Relay, stalled: bool) -> None:
    chain = Chain(running)
    feed = chain.feed()
    chain.opened()
    if stalled:
        chain.stall()
    running.command(Command.KILL, chain.pair)
    assert running.end(chain.pair)[0] is Reason.KILLED
    assert running.end(feed)[0] is Reason.B_RESET
    for sock in (chain.client, chain.service):
        with pytest.raises(ConnectionResetError):
            read_all(sock)


@pytest.mark.parametrize("stalled", [False, True])
def test_killing_the_feed_leaves_the_pair_to_the_service(running: Relay, stalled: bool) -> None:
    chain = Chain(running)
    feed = chain.feed()
    chain.opened()
    sent = chain.stall() if stalled else 0
    running.command(Command.KILL, feed)
    end = running.end(feed)
    assert end[0] is Reason.KILLED
    if stalled:  # room for the client's octets: nobody has any for it
        sent -= len(read_exact(chain.client, MIB // 8))
        before = running.cpu()
        time.sleep(0.5)
        assert running.cpu() - before < 0.1, "spins at a left-over that is gone"
    chain.service.sendall(b"farewell")
    chain.service.shutdown(socket.SHUT_WR)
    data = read_all(chain.client)
    assert data.endswith(b"farewell")
    if stalled:
        assert data[:-8] == expected(sent)[MIB // 8 :][: len(data) - 8]
    chain.client.close()
    assert running.end(chain.pair)[2] == end[1] + 8


def test_killing_the_feed_can_cut_the_client_off(running: Relay) -> None:
    chain = Chain(running)
    feed = chain.feed()
    chain.opened()
    running.command(Command.KILL, feed, SHUT)
    assert running.end(feed)[0] is Reason.KILLED
    abort(chain.service)
    assert read_all(chain.client) == b""
    with pytest.raises(OSError, match="reset|pipe"):
        while True:
            chain.client.sendall(b"anybody there?")


def test_a_camera_that_resets_is_told_as_such(running: Relay) -> None:
    chain = Chain(running)
    feed = chain.feed()
    chain.opened()
    abort(chain.camera)
    assert running.end(feed)[0] is Reason.A_RESET
    chain.service.sendall(b"it broke")
    assert read_exact(chain.client, 8) == b"it broke"


def test_a_client_that_stalls_holds_the_camera_back_and_ends_the_feed_only(running: Relay) -> None:
    chain = Chain(running, idle=720.0, stall=720.0, receive=131072)
    chain.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    feed = chain.feed(idle=0.5, stall=1.5)
    chain.opened()
    began = time.monotonic()
    sent = chain.stall()
    before = running.cpu()
    # Silent it is not: the client is to blame, and is given its time.
    assert running.end(feed)[0] is Reason.STALLED
    assert time.monotonic() - began > 1.2
    assert running.cpu() - before < 0.1, "uses CPU while stalled"
    data = Job(read_exact, chain.client, 1)
    data.get()
    assert [record[0] for record in running.counts()[2]] == [chain.pair]
    assert sent < 8 * MIB


def test_time_passes_for_both(running: Relay) -> None:
    chain = Chain(running, idle=0.6)
    feed = chain.feed(idle=0.6)
    chain.opened()
    until = time.monotonic() + 1.2
    while time.monotonic() < until:
        chain.camera.sendall(b"picture")
        assert read_exact(chain.client, 7) == b"picture"
        time.sleep(0.05)
    ends = {running.end(feed)[0], running.end(chain.pair)[0]}
    assert ends <= {Reason.IDLE, Reason.B_RESET}
    assert Reason.IDLE in ends


def test_only_the_two_ends_of_one_connection_are_taken_together(running: Relay) -> None:
    chain = Chain(running)
    other = Chain(running)
    stranger, near_stranger = tcp_pair()
    feed = running.start(Command.FEED, other.near_camera, near_stranger, close=False)
    other.camera.sendall(b"not for the clients")
    assert read_exact(stranger, 19) == b"not for the clients"
    reader = Job(read_blob, stranger)
    send_blob(other.camera, 4 * MIB)
    assert running.end(feed)[1] == 4 * MIB + 19
    near_stranger.close()
    assert reader.get()[0] == 4 * MIB
    for one in (chain, other):
        assert one.passed_by() <= 0
        one.client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            one.client.recv(1)


def test_a_second_feed_into_the_same_connection_loses_nothing(running: Relay) -> None:
    chain = Chain(running)
    first = chain.feed(flags=0)
    chain.opened()
    camera, near_camera = tcp_pair()
    second = running.start(Command.FEED, near_camera, chain.service, close=False)
    writers = [Job(sock.sendall, octet * 4 * MIB)
               for sock, octet in ((camera, b"b"), (chain.camera, b"a"))]  # fmt: skip
    data = read_exact(chain.client, 8 * MIB)
    assert (data.count(b"a"), data.count(b"b")) == (4 * MIB, 4 * MIB)
    for writer in writers:
        writer.get()
    for number in (first, second):
        running.command(Command.RECLAIM, number)
        assert running.end(number)[0] is Reason.RECLAIMED
    chain.service.sendall(b"end")
    assert read_exact(chain.client, 3) == b"end"


def test_nothing_is_left_behind(running: Relay) -> None:
    chain = Chain(running)
    chain.feed()
    chain.opened()
    reader = Job(read_exact, chain.client, 8 * MIB)
    chain.camera.sendall(bytes(8 * MIB))
    reader.get()
    chain.reclaim()
    descriptors, octets = running.descriptors(), running.private_octets()
    for _ in range(300):
        chain.feed()
        chain.camera.sendall(b"$" * 2000)
        read_exact(chain.client, 2000)
        assert chain.reclaim()[0] is Reason.RECLAIMED
    assert running.descriptors() == descriptors
    assert running.private_octets() - octets < 300_000
    before = running.cpu()
    time.sleep(0.5)
    assert running.cpu() - before < 0.05
