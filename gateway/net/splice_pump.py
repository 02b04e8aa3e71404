"""How octets move: one level-triggered epoll set, copying small reads and splicing big ones.

Runs in the relay process only. Rules worth knowing before a change here:

* A source is read only while nothing that was taken from it waits. What the destination does not
  take stays in a pipe or a bytes object (the left-over); the source leaves epoll until it is gone.
* Errors and ends come from system calls only. HUP comes while unread octets still lie in a queue.
* A descriptor with an empty mask leaves epoll: HUP and ERR cannot be masked and would spin. It is
  taken out by hand before it is closed, because the other process may hold the same socket.
* `splice` stops at an urgent octet for ever: EAGAIN on a readable socket, or 0 once the FIN is in.
  Both are checked by a `recv`, which gets past it.
* A half's octets go to its `sink`, not to its `peer`: see the bypass in `splice_link`. It is opened
  only when the connection it passes by is empty, and anything that appears there closes it.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable

from gateway.net.splice_link import Bypass, Half, Link, Offers, RawSocket, prepare, waiting
from gateway.net.splice_messages import Reason
from gateway.net.splice_pipes import PIPE_SIZE, PipePool
from gateway.net.splice_window import Windows

COPY_SIZE = 64 * 1024  # one shared buffer; a read that fills it marks the direction as bulk
BUDGET = 256 * 1024  # octets a direction moves in one wake-up
SMALL = 16 * 1024  # below this a splice gains nothing: the queue is empty
LARGE = 32 * 1024  # a source with that much waiting must not wait itself
BULK_TURNS = 16  # small turns after which a bulk direction goes back to copying
HELD_MAX = 32 * 1024 * 1024  # copied left-overs of all pairs; beyond it reads shrink
CROWDED_SIZE = 4 * 1024  # the read size then

BYPASS_TRIES = 16  # first tries to open a bypass at every wake-up, later ones at every 16th
DRAIN_TURNS = 4  # turns that one try spends on emptying the connection

_IN = select.EPOLLIN
_OUT = select.EPOLLOUT
_BROKEN = select.EPOLLERR | select.EPOLLHUP
_NONBLOCK = 2  # SPLICE_F_NONBLOCK; no SPLICE_F_MORE: it holds the tail of a burst back for 206 ms
_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST


class Pump:
    """All pairs of the process. Not thread-safe, never blocks; `now` is set by the loop."""

    def __init__(self, ended: Callable[[Link, Reason], None], now: float) -> None:
        self.now = now
        self.poll = select.epoll()
        self.links: dict[int, Link] = {}
        self._ended = ended
        self._halves: list[Half | None] = []  # by descriptor: a third of what a dictionary takes
        self._pipes = PipePool()
        self._offers = Offers()
        self._held = 0
        self.windows = Windows()
        self.rushed = False
        """Whether a large read was among what was served since somebody set this back."""
        self._whole = memoryview(bytearray(COPY_SIZE))
        self._crowded = self._whole[:CROWDED_SIZE]

    def add(self, link: Link, early_a: bytes, early_b: bytes, unsent: int) -> None:
        """Begin to pump a pair; raises OSError when a descriptor is no socket that can be used."""
        a, b = link.a, link.b
        for half in (a, b):
            sock = half.sock
            prepare(sock)
            if unsent and (link.two_way or half is b):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, unsent)
        if link.receive:
            link.bounded.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, link.receive)
        self.links[link.number] = link
        numbers = a.sock.fileno(), b.sock.fileno()
        self._halves += (None,) * (max(numbers) + 1 - len(self._halves))
        self._halves[numbers[0]], self._halves[numbers[1]] = a, b
        if link.two_way:
            self._offers.add(link)
        else:
            b.ended = b.shut = True
            self._offers.match(link)
        for half, early in ((a, early_a), (b, early_b)):
            rest = self._send_early(half, early) if early else b""
            if rest:
                self._keep(half, rest)
            elif not half.ended:
                self._want(half, half.mask | _IN)

    def serve(self, events: list[tuple[int, int]]) -> None:
        """Handle one batch. Descriptors may be closed here, but none that epoll knows is opened."""
        halves = self._halves
        count = len(halves)
        for fd, event in events:
            half = halves[fd] if fd < count else None
            if half is None:
                continue
            mask = half.mask
            if event & _BROKEN:
                event |= _IN | _OUT
            if mask & _OUT and event & _OUT:
                self._flush(half.feeder)
                mask = half.mask
            if mask & _IN and event & _IN:
                bypass = half.link.bypass
                if bypass is not None and not (bypass.open and half is bypass.feed.a):
                    self._heed(half, bypass)
                if half.bulk:
                    self._move(half)
                else:
                    self._copy(half)

    def sweep(self) -> None:
        """End what has been idle or stalled for longer than it may."""
        now = self.now
        self._pipes.hope()
        for link in list(self.links.values()):
            if link.number not in self.links:
                continue  # went with another one
            held = bool(link.a.left or link.b.left)
            active = link.active
            if link.bypass is not None:
                active = max(active, link.bypass.feed.active)
            # Who waits for its destination is not idle, but stalled.
            if link.idle and now - active >= link.idle and not (held and link.stall):
                self.abort(link, Reason.IDLE)
            elif link.stall and (
                (link.a.left and now - link.a.since >= link.stall)
                or (link.b.left and now - link.b.since >= link.stall)
            ):
                self.abort(link, Reason.STALLED)

    def kill(self, number: int, shut: bool) -> None:
        """Cut a pair at once. Of a feed the sockets live on with the caller unless `shut`."""
        link = self.links.get(number)
        if link is None:
            return
        if shut and not link.two_way:
            for half in (link.a, link.b):
                half.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
                _shutdown(half.sock, socket.SHUT_RDWR)
        self.abort(link, Reason.KILLED)

    def reclaim(self, number: int) -> None:
        """Stop reading a feed's source; it ends once what was taken is delivered."""
        link = self.links.get(number)
        if link is None or link.two_way:
            return
        link.reclaim = True
        self._want(link.a, link.a.mask & ~_IN)
        if not link.a.left:
            self._close(link, Reason.RECLAIMED)

    def abort(self, link: Link, reason: Reason) -> None:
        """Close both with RST, as end-to-end TCP would pass a reset on.

        Of a feed only the destination of a failed source is marked, so that its owner's close
        sends the RST.
        """
        if link.two_way or reason is Reason.A_RESET:
            link.b.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        if link.two_way or reason is Reason.B_RESET:
            link.a.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        self._close(link, reason)

    def _send_early(self, half: Half, early: bytes) -> bytes:
        try:
            sent = half.sink.sock.send(early)
        except OSError:  # full, or broken: epoll brings it up again
            return early
        half.octets += sent
        return early[sent:]

    def _want(self, half: Half, mask: int) -> None:
        if mask == half.mask:
            return
        if not mask:
            self.poll.unregister(half.sock)
        elif not half.mask:
            self.poll.register(half.sock, mask)
        else:
            self.poll.modify(half.sock, mask)
        half.mask = mask

    def _read(self, half: Half) -> None:
        if half.bulk:
            self._move(half)
        else:
            self._copy(half)

    def _copy(self, half: Half) -> None:
        view = self._whole if self._held < HELD_MAX else self._crowded
        sink = half.sink
        try:
            count = half.sock.recv_into(view)
        except BlockingIOError:
            return
        except OSError:
            self._fail(half)
            return
        if not count:
            half.ended = True
            self._want(half, half.mask & ~_IN)
            self._finish(half)
            return
        try:
            sent = sink.sock.send(view[:count])
        except BlockingIOError:
            sent = 0
        except OSError:
            self._fail(sink)
            return
        half.octets += sent
        half.link.active = self.now
        if sent < count:
            self._keep(half, bytes(view[sent:count]))
        elif count == COPY_SIZE:
            half.bulk = BULK_TURNS
        if count >= SMALL:
            self.windows.note(half, self.now)
            if count >= LARGE:
                self.rushed = True

    def _move(self, half: Half) -> None:
        self.rushed = True
        self.windows.note(half, self.now)
        pipe = self._pipes.take()
        if pipe is None:
            self._copy(half)
            return
        source, sink, budget = half.sock.fileno(), half.sink, BUDGET
        while True:
            try:
                count = os.splice(source, pipe[1], PIPE_SIZE, flags=_NONBLOCK)
            except BlockingIOError:
                self._pipes.give_back(pipe)
                if budget == BUDGET:
                    self._copy(half)  # readable, and still nothing: an urgent octet
                return
            except OSError:
                self._pipes.give_back(pipe)
                self._fail(half)
                return
            if not count:
                self._pipes.give_back(pipe)
                self._copy(half)  # the end, or an urgent octet before the end
                return
            try:
                sent = os.splice(pipe[0], sink.sock.fileno(), count, flags=_NONBLOCK)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._pipes.discard(pipe)
                self._fail(sink)
                return
            half.octets += sent
            half.link.active = self.now
            if sent < count:
                half.pipe = pipe
                half.left = count - sent
                self._wait(half)
                return
            budget -= count
            if count < SMALL or budget <= 0:
                self._pipes.give_back(pipe)
                half.bulk = half.bulk - 1 if budget > BUDGET - SMALL else BULK_TURNS
                return

    def _keep(self, half: Half, rest: bytes) -> None:
        half.rest = memoryview(rest)
        half.left = len(rest)
        self._held += half.left
        self._wait(half)

    def _wait(self, half: Half) -> None:
        half.since = self.now
        self._want(half, half.mask & ~_IN)
        self._want(half.sink, half.sink.mask | _OUT)

    def _flush(self, half: Half) -> None:
        sink, pipe, rest = half.sink, half.pipe, half.rest
        try:
            if pipe is not None:
                sent = os.splice(pipe[0], sink.sock.fileno(), half.left, flags=_NONBLOCK)
            elif rest is not None:
                sent = sink.sock.send(rest)
                self._held -= sent
            else:
                return
        except BlockingIOError:
            return
        except OSError:
            self._fail(sink)
            return
        half.octets += sent
        half.left -= sent
        half.since = half.link.active = self.now
        if half.left:
            if rest is not None:
                half.rest = rest[sent:]
            return
        if pipe is not None:
            self._pipes.give_back(pipe)
        half.pipe = half.rest = None
        self._want(sink, sink.mask & ~_OUT)
        if half.ended:
            self._finish(half)
        elif half.link.reclaim:
            self._close(half.link, Reason.RECLAIMED)
        else:
            self._want(half, half.mask | _IN)

    def _finish(self, half: Half) -> None:
        link = half.link
        if (link.two_way or link.pass_end) and not _shutdown(half.peer.sock, socket.SHUT_WR):
            self._fail(half.peer)
            return
        half.shut = True
        if half.peer.shut:
            self._close(link, Reason.CLOSED)

    def _fail(self, half: Half) -> None:
        link = half.link
        self.abort(link, Reason.A_RESET if half is link.a else Reason.B_RESET)

    # -- the bypass

    def _heed(self, half: Half, bypass: Bypass) -> None:
        """Open or close a bypass before a half of its links is read."""
        if half is bypass.feed.a:
            if not bypass.open:
                self._try(bypass)
        elif half is bypass.pair.b and bypass.open:
            self._part(bypass)  # an end, or octets of a caller who should have waited

    def _try(self, bypass: Bypass) -> None:
        bypass.tries += 1
        if bypass.tries > BYPASS_TRIES and bypass.tries % BYPASS_TRIES:
            return
        feed, back = bypass.feed, bypass.pair.b
        for _ in range(DRAIN_TURNS):
            if back.left or back.ended or not waiting(back):
                break
            self._read(back)
            if feed.bypass is None:  # the pair ended
                return
        if bypass.drained():
            bypass.begin()

    def _part(self, bypass: Bypass) -> None:
        feed, pair = bypass.feed, bypass.pair
        if bypass.open and feed.a.left:
            self._want(pair.a, pair.a.mask & ~_OUT)
            self._want(feed.b, feed.b.mask | _OUT)
        bypass.end(self.now)

    def _close(self, link: Link, reason: Reason) -> None:
        bypass, orphan = link.bypass, None
        if bypass is not None:
            if bypass.open and link is bypass.pair:
                orphan = bypass.feed
            self._part(bypass)
        self._ended(link, reason)
        self.drop(link)
        if orphan is not None:
            # The far end of its destination is gone, and with it what was on its way.
            self.abort(orphan, Reason.B_RESET)

    def drop(self, link: Link) -> None:
        """Let go of everything a pair holds, without a report."""
        if link.bypass is not None:
            self._part(link.bypass)
        self.links.pop(link.number, None)
        self._offers.remove(link)
        for half in (link.a, link.b):
            self._want(half, 0)
            self.windows.forget(half)
            number = half.sock.fileno()
            if number < len(self._halves):
                self._halves[number] = None
            if half.pipe is not None:
                self._pipes.discard(half.pipe)
            elif half.rest is not None:
                self._held -= half.left
            half.sock.close()
        link.unlink()


def _shutdown(sock: RawSocket, how: int) -> bool:
    try:
        sock.shutdown(how)
    except OSError:
        return False
    return True
