"""A relay process under test control: raw control socket, blocking TCP pairs on loopback."""

from __future__ import annotations

import array
import contextlib
import hashlib
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from gateway.net.splice_messages import (
    COUNT,
    EARLY_CHUNK,
    END,
    HEADER,
    PASS_END,
    START,
    Command,
    Reason,
    Report,
)

ROOT = Path(__file__).resolve().parents[2]
BOOT = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from gateway.net.splice_loop import main; main(int(sys.argv[2]))"
)
_opened: list[socket.socket] = []
SOURCE = random.Random(1).randbytes(4 << 20)


def tcp_pair(host: str = "127.0.0.1") -> tuple[socket.socket, socket.socket]:
    """Return two ends of one loopback connection, blocking, with a limit of 15 s."""
    with socket.create_server((host, 0), family=_family(host)) as listening:
        first = socket.create_connection(listening.getsockname()[:2], 5)
        second, _ = listening.accept()
    for sock in (first, second):
        sock.settimeout(15)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _opened.extend((first, second))
    return first, second


def close_pairs() -> None:
    """Close every end that tcp_pair() has given out."""
    while _opened:
        _opened.pop().close()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def abort(sock: socket.socket) -> None:
    """Close with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def send_blob(sock: socket.socket, octets: int) -> str:
    """Send that many octets, then FIN; return their SHA-1."""
    digest = hashlib.sha1()
    at = 0
    while at < octets:
        part = SOURCE[: min(len(SOURCE), octets - at)]
        sock.sendall(part)
        digest.update(part)
        at += len(part)
    sock.shutdown(socket.SHUT_WR)
    return digest.hexdigest()


def read_blob(sock: socket.socket, pause: float = 0.0) -> tuple[int, str]:
    """Read to the end; return count and SHA-1."""
    digest, count = hashlib.sha1(), 0
    while data := sock.recv(65536):
        digest.update(data)
        count += len(data)
        if pause:
            time.sleep(pause)
    return count, digest.hexdigest()


def read_exact(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        assert part, f"ended after {len(data)} of {count} octets"
        data += part
    return data


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while part := sock.recv(65536):
        data += part
    return data


class Job(threading.Thread):
    """A function in a thread whose result or exception `get()` gives."""

    def __init__(self, function, *arguments) -> None:
        super().__init__(daemon=True)
        self._call = (function, arguments)
        self._result = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        function, arguments = self._call
        try:
            self._result = function(*arguments)
        except BaseException as error:
            self._error = error

    def get(self):
        self.join(25)
        assert not self.is_alive(), "still running after 25 s"
        if self._error is not None:
            raise self._error
        return self._result


class Relay:
    """The relay process, spoken to packet by packet."""

    def __init__(self, descriptor_limit: int | None = None) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(15)
        command = [sys.executable, "-I", "-S", "-c", BOOT, str(ROOT), str(theirs.fileno())]
        if descriptor_limit:
            command = ["prlimit", f"--nofile={descriptor_limit}:{descriptor_limit}", *command]
        with theirs:
            self.process = subprocess.Popen(command, pass_fds=(theirs.fileno(),))
        self._ends: dict[int, tuple[Reason, int, int, float]] = {}
        self._number = 0
        kind, _, self.capacity = HEADER.unpack(self.control.recv(4096))
        assert kind == Report.READY

    def start(
        self,
        command: Command,
        first: socket.socket,
        second: socket.socket,
        *,
        early: tuple[bytes, bytes] = (b"", b""),
        idle: float = 0.0,
        stall: float = 0.0,
        unsent: int = 131072,
        receive: int = 0,
        flags: int = 0,
        close: bool = True,
    ) -> int:
        self._number += 1
        parts = list(early)
        for side in (0, 1):
            while len(parts[side]) > EARLY_CHUNK:
                packet = HEADER.pack(Command.EARLY, side, self._number)
                self.control.send(packet + parts[side][:EARLY_CHUNK])
                parts[side] = parts[side][EARLY_CHUNK:]
        packet = START.pack(
            command, flags, self._number, idle, stall, unsent, receive, len(parts[0])
        )
        descriptors = array.array("i", [first.fileno(), second.fileno()])
        self.control.sendmsg(
            [packet + parts[0] + parts[1]],
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)],
        )
        if close:
            first.close()
            second.close()
        return self._number

    def join(self, **options) -> tuple[int, socket.socket, socket.socket]:
        """Join two fresh connections; return the number and both far ends (of a, of b)."""
        far_a, near_a = tcp_pair()
        far_b, near_b = tcp_pair()
        return self.start(Command.JOIN, near_a, near_b, **options), far_a, far_b

    def feed(self, **options) -> tuple[int, socket.socket, socket.socket, tuple]:
        """Feed; return number, far source, far destination, and the two near sockets kept."""
        far_a, near_a = tcp_pair()
        far_b, near_b = tcp_pair()
        options.setdefault("flags", PASS_END)
        number = self.start(Command.FEED, near_a, near_b, close=False, **options)
        return number, far_a, far_b, (near_a, near_b)

    def command(self, command: Command, number: int, flags: int = 0) -> None:
        self.control.send(HEADER.pack(command, flags, number))

    def counts(self, after: int = 0) -> tuple[bool, int, list[tuple[int, int, int]]]:
        self.command(Command.COUNT, after)
        while True:
            packet = self.control.recv(65536)
            kind, flags, number = HEADER.unpack_from(packet)
            if kind == Report.COUNTS:
                return bool(flags), number, list(COUNT.iter_unpack(packet[HEADER.size :]))
            self._take(packet)

    def end(self, number: int) -> tuple[Reason, int, int, float]:
        """Wait for the END of a pair."""
        while number not in self._ends:
            packet = self.control.recv(65536)
            assert packet, "the relay process is gone"
            self._take(packet)
        return self._ends.pop(number)

    def _take(self, packet: bytes) -> None:
        assert HEADER.unpack_from(packet)[0] == Report.END
        for number, reason, forward, back, seconds in END.iter_unpack(packet[HEADER.size :]):
            assert number not in self._ends, "ended twice"
            self._ends[number] = (Reason(reason), forward, back, seconds)

    def cpu(self) -> float:
        """Return the CPU seconds used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def private_octets(self) -> int:
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return sum(
            int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Private_")
        )

    def close(self) -> int:
        self.control.close()
        return self.process.wait(5)


@contextlib.contextmanager
def relay(descriptor_limit: int | None = None) -> Iterator[Relay]:
    """A relay process that must end by itself, with status 0, when its control socket ends."""
    running = Relay(descriptor_limit)
    try:
        yield running
        assert running.close() == 0
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
        running.control.close()
        close_pairs()
