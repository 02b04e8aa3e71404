"""What the relay process does to octets, ends, resets, urgent data and pressure: real sockets."""

from __future__ import annotations

import resource
import socket
import time
from pathlib import Path

import pytest

from gateway.net.splice_loop import DESCRIPTORS_KEPT
from gateway.net.splice_messages import HEADER, SHUT, Command, Reason
from gateway.net.splice_pipes import PIPE_COUNT, PipePool
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


def test_both_directions_at_once_arrive_whole_at_a_slow_reader() -> None:
    with relay() as running:
        number, a, b = running.join()
        up, down = Job(send_blob, a, 24 * MIB), Job(send_blob, b, 24 * MIB)
        slow, fast = Job(read_blob, a, 0.0005), Job(read_blob, b)
        assert fast.get() == (24 * MIB, up.get())
        assert slow.get() == (24 * MIB, down.get())
        reason, forward, back, seconds = running.end(number)
        assert (reason, forward, back) == (Reason.CLOSED, 24 * MIB, 24 * MIB)
        assert 0 < seconds < 30
        a.close()
        b.close()


@pytest.mark.parametrize("first", ["a", "b"])
def test_half_close_lets_data_follow_the_other_way(first: str) -> None:
    with relay() as running:
        number, *far = running.join()
        near, other = far if first == "a" else reversed(far)
        reader = Job(read_blob, other)
        digest = send_blob(near, 5 * MIB)
        assert reader.get() == (5 * MIB, digest)
        time.sleep(0.3)  # the other way must stay open, not only for a moment
        answer = Job(send_blob, other, 24 * MIB)
        assert read_blob(near, 0.0002) == (24 * MIB, answer.get())
        assert running.end(number)[0] is Reason.CLOSED


@pytest.mark.parametrize(("culprit", "reason"), [(0, Reason.A_RESET), (1, Reason.B_RESET)])
def test_a_reset_is_passed_on_as_a_reset(culprit: int, reason: Reason) -> None:
    with relay() as running:
        number, *far = running.join()
        far[culprit].sendall(b"x" * 16)
        assert read_exact(far[1 - culprit], 16) == b"x" * 16
        abort(far[culprit])
        began = time.monotonic()
        with pytest.raises(ConnectionResetError):
            far[1 - culprit].recv(1)
        assert time.monotonic() - began < 0.5
        assert running.end(number)[0] is reason


def _bulk(near: socket.socket, far: socket.socket) -> None:
    """Let a direction go over to splicing."""
    reader = Job(read_exact, far, 16 * MIB)
    near.sendall(bytes(16 * MIB))
    reader.get()


@pytest.mark.parametrize("bulk", [False, True])
@pytest.mark.parametrize("fin_at_once", [False, True])
def test_an_urgent_octet_harms_nothing(bulk: bool, fin_at_once: bool) -> None:
    with relay() as running:
        number, a, b = running.join()
        if bulk:
            _bulk(a, b)
        # Stop the process for a moment so that everything lies in its socket at once.
        a.sendall(b"abc")
        a.send(b"X", socket.MSG_OOB)
        a.sendall(b"def")
        if not fin_at_once:
            time.sleep(0.2)
            before = running.cpu()
            time.sleep(0.5)
            assert running.cpu() - before < 0.1, "spins at the urgent octet"
        a.shutdown(socket.SHUT_WR)
        assert read_all(b) in (b"abcdef", b"abcXdef")
        b.close()
        assert running.end(number)[0] is Reason.CLOSED


@pytest.mark.parametrize("size", [1, 32 * 1024, 300_000])
def test_early_octets_come_first(size: int) -> None:
    early = (b"\x01" * size, b"\x02" * size)
    with relay() as running:
        far_a, near_a = tcp_pair()
        far_b, near_b = tcp_pair()
        far_a.sendall(b"after a")
        far_b.sendall(b"after b")
        number = running.start(Command.JOIN, near_a, near_b, early=early)
        assert read_exact(far_b, size + 7) == early[0] + b"after a"
        assert read_exact(far_a, size + 7) == early[1] + b"after b"
        far_a.shutdown(socket.SHUT_WR)
        far_b.shutdown(socket.SHUT_WR)
        assert running.end(number)[:3] == (Reason.CLOSED, size + 7, size + 7)


def test_kill_resets_both_within_100_ms_even_while_stalled() -> None:
    with relay() as running:
        number, a, b = running.join()
        b.settimeout(0.3)
        with pytest.raises(TimeoutError):
            while True:
                b.send(bytes(65536))
        b.settimeout(5)
        began = time.monotonic()
        running.command(Command.KILL, number)
        assert running.end(number)[0] is Reason.KILLED
        with pytest.raises(OSError, match="reset|pipe"):
            while True:
                b.send(bytes(65536))
        assert time.monotonic() - began < 0.1
        with pytest.raises(ConnectionResetError):
            read_all(a)


def test_a_feed_is_one_way_and_leaves_the_other_to_its_owner() -> None:
    with relay() as running:
        number, source, destination, (near_source, near_destination) = running.feed(
            early=(b"RTSP/1.0 200 OK\r\n", b"")
        )
        source.sendall(b"$media")
        assert read_exact(destination, 23) == b"RTSP/1.0 200 OK\r\n$media"
        destination.sendall(b"PAUSE")
        near_destination.settimeout(5)  # the relay process made the shared socket non-blocking
        assert read_exact(near_destination, 5) == b"PAUSE"
        near_source.sendall(b"pause")
        assert read_exact(source, 5) == b"pause"
        source.shutdown(socket.SHUT_WR)
        assert destination.recv(1) == b""
        assert running.end(number)[:3] == (Reason.CLOSED, 23, 0)
        destination.sendall(b"still open")
        assert read_exact(near_destination, 10) == b"still open"


def test_a_feed_may_keep_the_end_to_itself() -> None:
    with relay() as running:
        number, source, destination, (_, near_destination) = running.feed(flags=0)
        source.close()
        assert running.end(number)[0] is Reason.CLOSED
        near_destination.sendall(b"more")
        assert read_exact(destination, 4) == b"more"


def test_killing_a_feed_shuts_the_sockets_only_when_asked() -> None:
    with relay() as running:
        number, _, destination, kept = running.feed()
        running.command(Command.KILL, number)
        assert running.end(number)[0] is Reason.KILLED
        kept[1].sendall(b"mine")
        assert read_exact(destination, 4) == b"mine"
        number, source, destination, kept = running.feed()
        running.command(Command.KILL, number, SHUT)
        assert running.end(number)[0] is Reason.KILLED
        assert source.recv(1) == destination.recv(1) == b""
        assert kept[0].recv(1) == b""


def test_reclaim_delivers_what_was_taken_and_nothing_else() -> None:
    with relay() as running:
        for size in (2 * MIB, 100_000):
            number, source, destination, (near_source, _) = running.feed()
            stream = b"".join(index.to_bytes(4, "big") for index in range(size // 4))
            writer = Job(source.sendall, stream)
            first = read_exact(destination, size // 4)
            running.command(Command.RECLAIM, number)
            reader = Job(read_exact, destination, 0)
            reader.get()
            # The destination takes what the relay still holds; its count says how much.
            while (end := _ended(running, number)) is None:
                destination.settimeout(0.02)
                try:
                    first += destination.recv(65536)
                except TimeoutError:
                    pass
            assert end[0] is Reason.RECLAIMED
            destination.settimeout(5)
            first += read_exact(destination, end[1] - len(first))
            near_source.settimeout(5)
            rest = read_exact(near_source, size - end[1])
            writer.get()
            assert first + rest == stream


def _ended(running: Relay, number: int) -> tuple[Reason, int, int, float] | None:
    running.control.settimeout(0.01)
    try:
        return running.end(number)
    except TimeoutError:
        return None
    finally:
        running.control.settimeout(15)


def test_idle_and_stalled_pairs_end() -> None:
    with relay() as running:
        idle, a, b = running.join(idle=0.4)
        busy, c, d = running.join(idle=0.4)
        until = time.monotonic() + 0.8
        while time.monotonic() < until:
            d.sendall(b".")
            c.recv(1)
            time.sleep(0.05)
        assert running.end(idle)[0] is Reason.IDLE
        for sock in (a, b):
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        assert [count[0] for count in running.counts()[2]] == [busy]
        stalled, e, f = running.join(stall=0.4)
        f.settimeout(0.2)
        with pytest.raises((TimeoutError, ConnectionResetError)):
            while True:
                f.send(bytes(65536))
        assert running.end(stalled)[0] is Reason.STALLED
        e.close()


def test_pairs_beyond_the_capacity_are_refused_and_closed() -> None:
    with relay(descriptor_limit=DESCRIPTORS_KEPT + 6) as running:
        assert running.capacity == 3
        kept = [running.join() for _ in range(3)]
        number, a, b = running.join()
        assert running.end(number)[0] is Reason.REFUSED
        assert a.recv(1) == b.recv(1) == b""
        for number, a, b in kept:
            a.sendall(b"x")
            assert b.recv(1) == b"x"
            a.close()
            b.close()
            assert running.end(number)[0] is Reason.CLOSED
        assert running.join()[0] not in running._ends


def test_five_hundred_pairs_leave_nothing_behind_and_weigh_little() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with relay() as running:
            number, a, b = running.join()
            _bulk(a, b)
            a.close()
            b.close()
            running.end(number)
            descriptors, octets = running.descriptors(), running.private_octets()
            pairs = [running.join(idle=720.0, stall=60.0) for _ in range(500)]
            for _, a, b in pairs:
                a.sendall(b"x")
                assert b.recv(1) == b"x"
            assert running.descriptors() == descriptors + 1000
            assert (running.private_octets() - octets) / 500 < 1400
            for index, (_, a, b) in enumerate(pairs):
                abort(a) if index % 2 else a.close()
                b.close()
            for number, _, _ in pairs:
                running.end(number)
            assert running.descriptors() == descriptors
            before = running.cpu()
            time.sleep(0.5)
            assert running.cpu() - before < 0.05
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_counts_come_in_bounded_portions() -> None:
    with relay() as running:
        pairs = [running.join() for _ in range(300)]
        for _, a, b in pairs[:2]:
            a.sendall(b"12345")
            b.recv(5)
        last, after, first = running.counts()
        assert (last, len(first), first[1][1:]) == (False, 256, (5, 0))
        last, after, rest = running.counts(after)
        assert (last, len(rest)) == (True, 44)
        assert {record[0] for record in first + rest} == {pair[0] for pair in pairs}


def test_nonsense_on_the_control_socket_and_dead_sockets_are_survived() -> None:
    with relay() as running:
        running.control.send(HEADER.pack(99, 7, 12345))
        running.command(Command.KILL, 4711)
        running.command(Command.RECLAIM, 4711)
        near_a, other = socket.socketpair()
        _, near_b = tcp_pair()
        with other:
            number = running.start(Command.JOIN, near_a, near_b)
            assert running.end(number)[0] is Reason.REFUSED
            assert other.recv(1) == b""
        with Path("/dev/null").open("rb") as nothing:
            _, near_b = tcp_pair()
            number = running.start(Command.JOIN, nothing, near_b)  # type: ignore[arg-type]
        assert running.end(number)[0] is Reason.REFUSED
        number, a, b = running.join()
        a.sendall(b"fine")
        assert read_exact(b, 4) == b"fine"


def test_the_pool_lends_a_bounded_number_of_large_pipes() -> None:
    pool = PipePool()
    pipes = []
    while (pipe := pool.take()) is not None and len(pipes) <= PIPE_COUNT:
        pipes.append(pipe)
    assert 0 < len(pipes) <= PIPE_COUNT
    pool.give_back(pipes.pop())
    assert pool.take() is not None
    for pipe in pipes:
        pool.discard(pipe)
