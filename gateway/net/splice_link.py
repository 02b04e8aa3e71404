"""The pairs of the relay process: their halves, and the bypass between two of them.

One socket of a pair and the direction that starts at it are one `Half`. A `Link` is a pair.

The gateway's own services sit behind the gateway's own relay: a camera's octets go through a feed
to one end of a loopback connection, whose other end the relay joins to the client, both in this
process. A `Bypass` takes them from the camera's socket to the client's directly, past that
connection, which carries nothing then and stays for everything else: answers before and after,
the end, resets and the other direction.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios

RawSocket = socket.SocketType  # the plain C object: 48 octets, where socket.socket takes 100

KEEPALIVE_IDLE = 60  # seconds; a vanished peer is noticed after 60 + 4 * 15 s
KEEPALIVE_INTERVAL = 15
KEEPALIVE_COUNT = 4

_ESTABLISHED = b"\x01"  # the first octet of TCP_INFO is the connection's state
_NOTHING = bytes(4)


class Half:
    """One socket of a pair, and the direction from it to its sink."""

    __slots__ = (
        "bulk",
        "ended",
        "feeder",
        "left",
        "link",
        "mask",
        "octets",
        "pipe",
        "rest",
        "shut",
        "since",
        "sink",
        "sock",
    )

    def __init__(self, sock: RawSocket, link: Link, now: float) -> None:
        self.sock = sock  # its descriptor is asked for: a number kept would be 32 octets more
        self.link = link
        self.sink: Half = self  # where the octets go: the peer, but for a bypass
        self.feeder: Half = self  # where octets for this socket come from: the peer, as above
        self.mask = 0  # what epoll is asked for; 0: not in epoll
        self.pipe: tuple[int, int] | None = None  # held only with a left-over in it
        self.rest: memoryview | None = None
        self.left = 0  # octets in pipe or rest
        self.bulk = 0  # > 0: splice
        self.ended = False  # the source came to its end
        self.shut = False  # and that was passed on
        self.octets = 0  # delivered to the sink's socket
        self.since = now  # last progress of the left-over

    @property
    def peer(self) -> Half:
        """The other socket of the pair."""
        return self.link.b if self is self.link.a else self.link.a


class Link:
    """A pair of sockets, both ways or (a feed) from `a` to `b` only."""

    __slots__ = (
        "a",
        "active",
        "b",
        "began",
        "bypass",
        "idle",
        "number",
        "offered",
        "pass_end",
        "receive",
        "reclaim",
        "stall",
        "two_way",
    )

    def __init__(self, number: int, a: RawSocket, b: RawSocket, two_way: bool, now: float) -> None:
        self.number = number
        self.two_way = two_way
        self.began = self.active = now
        self.idle = self.stall = 0.0
        self.receive = 0  # SO_RCVBUF of `b`, of a feed of `a`; 0: the system's
        self.reclaim = False
        self.pass_end = True
        self.bypass: Bypass | None = None
        self.offered = 0  # the key under which `Offers` knows it
        self.a = Half(a, self, now)
        self.b = Half(b, self, now)
        self.a.sink = self.a.feeder = self.b
        self.b.sink = self.b.feeder = self.a

    @property
    def bounded(self) -> Half:
        """The half whose window `receive` bounds: it faces the service or the camera."""
        return self.b if self.two_way else self.a

    @property
    def octets_back(self) -> int:
        """Octets delivered to `a`, those that came past `b` among them."""
        bypass = self.bypass
        return self.b.octets + (bypass.carried if bypass and bypass.pair is self else 0)

    def unlink(self) -> None:
        """Undo the cycles by hand: the collector is off in the relay process."""
        for half in (self.a, self.b):
            del half.sink, half.feeder, half.link


class Bypass:
    """A feed whose destination is the other end of the connection at a pair's `b`."""

    __slots__ = ("feed", "mark", "open", "pair", "tries")

    def __init__(self, feed: Link, pair: Link) -> None:
        self.feed = feed
        self.pair = pair
        self.open = False
        self.tries = 0
        self.mark = 0  # the feed's octets when it was opened
        feed.bypass = pair.bypass = self

    @property
    def carried(self) -> int:
        """Octets that went past the pair's `b`."""
        return self.feed.a.octets - self.mark if self.open else 0

    def drained(self) -> bool:
        """Tell whether everything ever sent into the connection has been taken out of it again.

        Only right while nobody writes to the feed's destination but the feed: its contract.
        """
        back, into = self.pair.b, self.feed.b
        if back.left or back.ended or self.feed.a.left:
            return False
        if _count(into, termios.TIOCOUTQ):
            # All may be there and only the acknowledgement be late: have it sent.
            back.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            if _count(into, termios.TIOCOUTQ):
                return False
        # In this order: what was acknowledged is in the other end's queue, or was read.
        return not waiting(back) and _established(back) and _established(into)

    def begin(self) -> None:
        """Send the feed's octets straight to the pair's `a`; the connection must be drained."""
        self.mark = self.feed.a.octets
        self.open = True
        self.feed.a.sink = self.pair.a
        self.pair.a.feeder = self.feed.a

    def end(self, now: float) -> None:
        """Send them through the connection again; both links are strangers afterwards."""
        feed, pair = self.feed, self.pair
        if self.open:
            pair.b.octets += self.carried
            pair.active = now
            feed.a.sink = feed.b
            pair.a.feeder = pair.b
            self.open = False
        feed.bypass = pair.bypass = None


class Offers:
    """The pairs whose `b` is one end of a connection within this machine, by its far port."""

    def __init__(self) -> None:
        self._pairs: dict[int, Link] = {}

    def add(self, pair: Link) -> None:
        """Remember a pair if its `b` leads to this very machine."""
        own, far = _names(pair.b.sock)
        if own[0] == far[0] and far[1]:
            pair.offered = far[1]
            # Where two addresses have the same port, the earlier pair is only never bypassed.
            self._pairs[pair.offered] = pair

    def remove(self, pair: Link) -> None:
        """Forget a pair."""
        if pair.offered and self._pairs.get(pair.offered) is pair:
            del self._pairs[pair.offered]

    def match(self, feed: Link) -> Bypass | None:
        """Return the bypass for a feed into the other end of a remembered pair's `b`, or None."""
        own, far = _names(feed.b.sock)
        pair = self._pairs.get(own[1])
        # Two live connections of one machine never have the same four values.
        if pair is None or pair.bypass is not None or _names(pair.b.sock) != (far, own):
            return None
        return Bypass(feed, pair)


def prepare(sock: RawSocket) -> None:
    """Set what every socket of the relay process has; raises OSError for what is no TCP socket."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_COUNT)


def waiting(half: Half) -> int:
    """Return how many octets can be read from a half's socket."""
    return _count(half, termios.FIONREAD)


def _count(half: Half, what: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(half.sock.fileno(), what, _NOTHING))[0])


def _established(half: Half) -> bool:
    return half.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == _ESTABLISHED


def _names(sock: RawSocket) -> tuple[tuple[str, int], tuple[str, int]]:
    try:
        own, far = sock.getsockname(), sock.getpeername()
    except OSError:  # not connected any more
        return ("", 0), ("", 0)
    return own[:2], far[:2]
