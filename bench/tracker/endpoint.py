"""Softnet endpoints on one epoll loop: handshake, install, RPC and replacing events, and no more.

Protocol: 01 sections 3.5, 4, 7, 8, 10; 03 sections 1 and 5.
"""

import errno
import hashlib
import os
import select
import socket
import time
import uuid
from collections import Counter, deque

from wire import (
    IA5,
    INT,
    OCT,
    PRINTABLE,
    Structure,
    fields,
    fnv1a,
    frame,
    group_hash_single,
    integer,
    response_hash,
    salted_password,
    seq,
    subscription_hash,
    tlv,
    user_hash,
)

KEEP_ALIVE = frame(2, 2)
SYNC_OK = frame(15, 6)
LOGIN_LIMIT = 30.0  # seconds from connect to ONLINE, then the attempt counts as failed
clock = time.perf_counter


class Endpoint:
    """One account: what it knows (survives reconnects) and its present connection."""

    __slots__ = (
        "buf",
        "channel",
        "fd",
        "group",
        "guest",
        "hostname",
        "key",
        "last_storage",
        "online",
        "out",
        "password",
        "salted",
        "service",
        "service_ids",
        "single",
        "site",
        "sock",
        "started",
        "storage",
        "synced",
        "uid",
        "user",
        "users",
    )

    def __init__(self, site: int, single: bool, account: dict, service: bool):
        self.site, self.single, self.service = site, single, service
        self.uid = uuid.UUID(account["uid"]).bytes if service else b""
        self.key = b"" if service else account["key"].encode("ascii")
        self.password, self.salted = account["password"], (b"", b"")
        self.storage, self.service_ids = os.urandom(16), []
        self.sock, self.fd, self.buf, self.out, self.online, self.synced, self.started = (
            None,
            -1,
            b"",
            b"",
            False,
            False,
            0.0,
        )
        self.last_storage = None
        self.forget()

    def forget(self) -> None:
        """Become a freshly started process: no channel id, no hashes."""
        self.channel = self.hostname = self.users = self.user = None
        self.guest = False
        self.group = group_hash_single(b"", b"") if self.single and not self.service else None

    def hello(self) -> bytes:
        kind = 2 if self.channel else 1
        channel = tlv(OCT, self.channel) if self.channel else b""
        if self.service:
            return b"\x01\x01" + frame(1, kind, seq(tlv(OCT, self.uid), channel))
        return b"\x01\x02" + frame(
            1, kind, seq(integer(1 if self.single else 2), tlv(PRINTABLE, self.key), channel)
        )


class Loop:
    """All endpoints of a run. Phases set the hooks on_rpc, on_event and on_ack."""

    def __init__(self, host: str, port: int, structure: Structure, quickack: bool):
        self.address, self.structure, self.quickack = (host, port), structure, quickack
        self.family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.epoll, self.by_fd = select.epoll(), {}
        self.pending: set[Endpoint] = set()
        self.done: list[tuple[Endpoint, float]] = []
        self.failed: deque = deque()
        self.problems: Counter = Counter()
        self.online = 0
        self.subscription = [(1, structure.events[0])] if structure.events else []
        self.on_rpc = self.on_event = self.on_ack = lambda _ep, _msg: None

    # -- connections

    def connect(self, ep: Endpoint) -> None:
        s = socket.socket(self.family, socket.SOCK_STREAM)
        s.setblocking(False)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ep.sock, ep.fd, ep.buf, ep.out, ep.online, ep.synced, ep.last_storage = (
            s,
            s.fileno(),
            b"",
            ep.hello(),
            False,
            False,
            None,
        )
        self.by_fd[ep.fd] = ep
        self.pending.add(ep)
        ep.started = clock()
        s.connect_ex(self.address)
        self.epoll.register(ep.fd, select.EPOLLOUT)

    def drop(self, ep: Endpoint) -> None:
        if ep.sock is not None:
            self.epoll.unregister(ep.fd)
            del self.by_fd[ep.fd]
            ep.sock.close()
            self.online -= ep.online
            ep.sock, ep.online = None, False

    def lost(self, ep: Endpoint, reason: str) -> None:
        was_online = ep.online
        self.drop(ep)
        self.problems[("online: " if was_online else "login: ") + reason] += 1
        self.pending.discard(ep)
        self.failed.append((clock() + 1.0, ep))

    def send(self, ep: Endpoint, data: bytes) -> None:
        if ep.out:
            ep.out += data
            return
        try:
            sent = ep.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as e:
            self.lost(ep, e.strerror or "send")
            return
        if sent < len(data):
            ep.out = data[sent:]
            self.epoll.modify(ep.fd, select.EPOLLIN | select.EPOLLOUT)

    def poll(self, timeout: float) -> None:
        for fd, what in self.epoll.poll(timeout, 2048):
            ep = self.by_fd.get(fd)
            if ep is None:
                continue
            if what & select.EPOLLOUT:
                data, ep.out = ep.out, b""
                self.epoll.modify(fd, select.EPOLLIN)
                self.send(ep, data)
            elif ep.sock is not None:
                self.readable(ep)

    def readable(self, ep: Endpoint) -> None:
        try:
            data = ep.sock.recv(262144)
        except BlockingIOError:
            return
        except OSError as e:
            self.lost(ep, e.strerror or "recv")
            return
        if not data:
            self.lost(ep, "closed by the tracker")
            return
        if self.quickack:
            ep.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        buf = ep.buf + data if ep.buf else data
        at, size = 0, len(buf)
        while at < size:
            length, start = buf[at], at + 1
            if length >= 128:
                start += length & 0x7F
                if start > size:
                    break
                length = int.from_bytes(buf[at + 1 : start], "big")
            if start + length > size:
                break
            at = start + length
            self.message(ep, buf[start:at])
            if ep.sock is None:
                return
        ep.buf = buf[at:]

    # -- messages

    def message(self, ep: Endpoint, msg: bytes) -> None:
        module = msg[0]
        if module == 14:
            self.on_rpc(ep, msg)
        elif module == 15:
            self.event_message(ep, msg)
        elif module == 1:
            self.channel_message(ep, msg)
        elif module == 5:
            self.install_message(ep, msg)
        elif ep.service:
            if module == 6 and msg[1] == 2:
                _, _, a, e = fields(msg)[0]
                ep.hostname = fnv1a(msg[a:e])
            elif module in (7, 8):
                if msg[1] == 1:
                    ep.users = hashlib.sha1(msg[2:]).digest()
                elif msg[1] in (5, 6):
                    ep.guest = msg[1] == 5
        elif module == 8 and msg[1] == 1:
            group = fields(msg)
            ep.group = hashlib.sha1(msg[2:]).digest() if group else None
            ep.service_ids = [msg[slice(*fields(msg, at)[0][1::2])] for _, at, _, _ in group]
        elif module == 7 and msg[1] == 1:
            (_, _, a, e), (_, _, b, f) = fields(msg)
            ep.group, ep.service_ids = group_hash_single(msg[b:f], msg[a:e]), [integer(0)]
        elif module == 9:
            ep.user = user_hash(msg) if msg[1] == 2 else None

    def channel_message(self, ep: Endpoint, msg: bytes) -> None:
        kind = msg[1]
        if kind == 1:
            (_, _, a, e), (_, _, b, f) = fields(msg)
            salt, key2 = msg[a:e], os.urandom(20)
            if ep.salted[0] != salt:
                ep.salted = (salt, salted_password(salt, ep.password))
            answer = response_hash(msg[b:f], key2, ep.salted[1])
            self.send(ep, frame(1, 3, seq(tlv(OCT, answer), tlv(OCT, key2))))
        elif kind == 2:
            ep.channel = msg[6:22]
        elif kind == (4 if ep.service else 5):
            self.lost(ep, f"ERROR {int.from_bytes(msg[2:4], 'big')}")

    def install_message(self, ep: Endpoint, msg: bytes) -> None:
        kind = msg[1]
        if kind == 1:
            s = self.structure
            self.send(
                ep,
                s.service_state(ep.users, ep.guest, ep.hostname)
                if ep.service
                else s.client_state(ep.group, ep.user),
            )
        elif ep.service and kind == 2:
            self.send(ep, self.structure.upload)
        elif kind == (3 if ep.service else 2):
            ep.online = True
            self.online += 1
            self.pending.discard(ep)
            self.done.append((ep, clock() - ep.started))
            if ep.service and self.subscription and ep.last_storage != ep.storage:
                self.send(ep, frame(15, 9, seq(tlv(OCT, ep.storage))))
        else:
            status = fields(msg)[-1]
            self.lost(ep, f"PARKED {int.from_bytes(msg[status[2] : status[3]], 'big')}")

    def event_message(self, ep: Endpoint, msg: bytes) -> None:
        kind = msg[1]
        if ep.service:
            if kind == 9:
                ep.last_storage = msg[6:22]
            else:
                self.on_ack(ep, msg)
        elif kind == 1:
            _, event_id, uid = fields(msg)[:3]
            self.send(ep, frame(15, 1, seq(msg[event_id[1] : event_id[3]], msg[uid[1] : uid[3]])))
            self.on_event(ep, msg)
        elif kind == 6:
            stored = fields(msg)
            digest = msg[stored[0][2] : stored[0][3]] if stored else None
            if digest == (subscription_hash(self.subscription) if self.subscription else None):
                self.send(ep, SYNC_OK)
            else:
                self.send(
                    ep,
                    frame(
                        15,
                        7,
                        seq(*(seq(integer(k), tlv(IA5, n.encode())) for k, n in self.subscription)),
                    ),
                )
            ep.synced = True

    # -- bringing endpoints online

    def bring_online(self, endpoints: list[Endpoint], concurrency: int, limit: float) -> dict:
        """Connect all, at most `concurrency` logins at a time; failures try again a second on."""
        begin, waiting, target = clock(), deque(endpoints), self.online + len(endpoints)
        self.done, self.problems = [], Counter()
        self.failed.clear()
        check = begin + 1.0
        while self.online < target and clock() - begin < limit:
            while waiting and len(self.pending) < concurrency:
                self.connect(waiting.popleft())
            now = clock()
            while self.failed and self.failed[0][0] <= now:
                waiting.append(self.failed.popleft()[1])
            self.poll(0.05)
            if now > check:
                check = now + 1.0
                if (
                    self.problems["login: " + os.strerror(errno.ECONNREFUSED)]
                    > 2 * len(endpoints) + 10
                ):
                    break  # nobody listens any more
                for ep in [e for e in self.pending if now - e.started > LOGIN_LIMIT]:
                    self.lost(ep, "login took more than 30 s")
        seconds = clock() - begin
        online = sum(1 for e in endpoints if e.online)
        return {
            "seconds": seconds,
            "online": online,
            "latencies": self.done,
            "problems": dict(self.problems),
        }

    def run_until(self, finished, limit: float) -> bool:
        end = clock() + limit
        while not finished():
            if clock() > end:
                return False
            self.poll(0.05)
        return True


def rpc_request(service_id: bytes, procedure: str, payload: bytes) -> tuple[bytes, bytes]:
    """The REQUEST frame before and after its 16 transaction octets."""
    tail = service_id + tlv(IA5, procedure.encode()) + tlv(OCT, payload)
    whole = frame(14, 1, seq(tlv(OCT, bytes(16)), tail))
    return whole[: len(whole) - len(tail) - 16], tail


def rpc_echo(loop: Loop, ep: Endpoint, msg: bytes) -> None:
    """A service's answer to REQUEST: the arguments as the result."""
    f = fields(msg)
    uid, kind, client, args = f[0], f[2], f[4], f[5]
    loop.send(ep, frame(14, 1, seq(*(msg[x[1] : x[3]] for x in (uid, kind, client, args)))))


def event_frame(name: str, payload: bytes) -> bytes:
    return frame(
        15,
        1,
        seq(tlv(IA5, name.encode()), integer(0, INT), tlv(OCT, os.urandom(16)), tlv(0x81, payload)),
    )
