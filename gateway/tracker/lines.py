"""One endpoint's connection at the tracker, from accept to close, and the board of all of them."""

from __future__ import annotations

import collections
import functools
import ipaddress
import logging
from collections.abc import Callable, Sequence

from gateway.base.clock import Clock
from gateway.base.errors import GatewayError, LocalError, RemoteError
from gateway.base.notices import NoticeHub, Severity
from gateway.model.kinds import EndpointType
from gateway.net.stream import Pump
from gateway.net.unsent import Unsent
from gateway.protocol.siteside import (
    TURNS,
    Authenticated,
    CredentialsAsked,
    Departed,
    Received,
    TrackerConnection,
    TrackerEvent,
)
from gateway.registry.clients import ClientLogin
from gateway.registry.services import ServiceLogin
from gateway.site.calls import SERVICE_QUEUE
from gateway.site.happenings import (
    ClientArrived,
    ConnectionEnded,
    Input,
    IpAddress,
    MessageArrived,
    Path,
    ServiceArrived,
)
from gateway.tracker.lookups import Found, LookupDesk, Refusal, question_of
from gateway.tracker.notices import PeerMisbehaved
from gateway.wire import catalogue
from gateway.wire.catalogue import Direction
from gateway.wire.channel import ClientOpen, ClientRestore, Restore
from gateway.wire.codes import ErrorCode
from gateway.wire.message import Message

_log = logging.getLogger(__name__)

SERVICE_PATIENCE = SERVICE_QUEUE + 1024 * 1024
"""Octets unread by a service before no more is read of it. What waits for it is its clients' doing,
and they are refused before: the server never stops listening to a service because of them."""
NOTICE_PERIOD = 60.0
"""Seconds between two notices about one address that breaks the rules."""
ADDRESSES_WATCHED = 1_000
"""Addresses whose offences are counted; the one not seen for longest is forgotten."""


@functools.lru_cache(maxsize=1024)
def ip_of(text: str) -> IpAddress | None:
    """Return the address of a socket name, an IPv4 one also where it is written as IPv6."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


class Offences:
    """One notice a minute for each address that breaks the rules, whatever it does."""

    def __init__(self, notices: NoticeHub, clock: Clock) -> None:
        self._notices = notices
        self._clock = clock
        self._seen: collections.OrderedDict[str, list[float]] = collections.OrderedDict()

    def note(self, address: str, reason: object) -> None:
        """Count an offence and say so when it is time."""
        now = self._clock.monotonic()
        entry = self._seen.setdefault(address, [float("-inf"), 0.0])
        self._seen.move_to_end(address)
        if len(self._seen) > ADDRESSES_WATCHED:
            self._seen.popitem(last=False)
        entry[1] += 1
        if now - entry[0] >= NOTICE_PERIOD:
            times, entry[0], entry[1] = int(entry[1]), now, 0.0
            text = str(reason)
            _log.warning("%s breaks the protocol (%d times): %s", address, times, text)
            self._notices.post(
                PeerMisbehaved(severity=Severity.WARNING, address=address, times=times, reason=text)
            )


class Line:
    """One connection; `site_id` while an endpoint of it belongs to a site."""

    def __init__(self, number: int, peer: str, machine: TrackerConnection) -> None:
        self.number = number
        self.peer = peer
        self.machine = machine
        self.pump: Pump[TrackerEvent] | None = None
        self.account: ServiceLogin | ClientLogin | None = None
        self.site_id: int | None = None
        self.stranger = True

    def command(self, act: Callable[[float], None]) -> None:
        """Command the machine and send what follows."""
        if self.pump is not None:
            self.pump.command(act)


class Board:
    """All connections to the tracker, found by their numbers; hands on what they say.

    `deliver(site_id, input)` takes what belongs to a site.
    """

    def __init__(
        self,
        desk: LookupDesk,
        deliver: Callable[[int, Input], None],
        offences: Offences,
        clock: Clock,
        unsent: Unsent,
    ) -> None:
        self._desk = desk
        self._deliver = deliver
        self._offences = offences
        self._clock = clock
        self._unsent = unsent
        self._lines: dict[int, Line] = {}
        self._strangers: collections.Counter[str] = collections.Counter()
        self._next = 1

    @property
    def count(self) -> int:
        """Return how many connections there are."""
        return len(self._lines)

    def strangers(self, peer: str | None = None) -> int:
        """Return how many connections have not logged in, of one address or in all."""
        return self._strangers.total() if peer is None else self._strangers[peer]

    def open(
        self, peer: str, machine: TrackerConnection, released: Callable[[str], None]
    ) -> Pump[TrackerEvent]:
        """Return the protocol for a new connection; `released(peer)` is called at its end."""
        line = Line(self._next, peer, machine)
        self._next += 1
        self._lines[line.number] = line
        self._strangers[peer] += 1

        def handle(_pump: Pump[TrackerEvent], event: TrackerEvent) -> None:
            self._handle(line, event)

        def closed(_pump: Pump[TrackerEvent], reason: GatewayError | None) -> None:
            self._closed(line, reason)
            released(peer)

        line.pump = Pump(machine, self._clock, handle, closed, self._unsent)
        return line.pump

    # -- what connections say ------------------------------------------------------------------

    def _handle(self, line: Line, event: TrackerEvent) -> None:
        if type(event) is Received:
            if line.site_id is not None:
                self._deliver(line.site_id, MessageArrived(line.number, event.message))
        elif isinstance(event, CredentialsAsked):
            self._desk.ask(
                question_of(event.login),
                lambda found: self._looked_up(line, found),
                with_password=True,
            )
        elif isinstance(event, Authenticated):
            self._logged_in(line, event)
        elif isinstance(event, Departed):
            self._offences.note(line.peer, event.reason)
            self._leave_site(line)

    def _looked_up(self, line: Line, found: Found) -> None:
        if line.number not in self._lines:
            return
        if isinstance(found, Refusal):
            if found.code is not ErrorCode.DBMS_ERROR:
                self._offences.note(line.peer, f"refused with {found.code.name}")
            line.command(lambda now: line.machine.refuse(found.code, now))
            return
        line.account = found
        salt, salted = found.salt, found.salted_password
        if salt is None or salted is None:
            line.command(line.machine.admit)
        else:
            line.command(lambda now: line.machine.challenge(salt, salted, now))

    def _logged_in(self, line: Line, event: Authenticated) -> None:
        self._no_stranger(line)
        local = ip_of(line.pump.local[0]) if line.pump is not None else None
        path = Path(line.peer, local)
        account, login = line.account, event.login
        if isinstance(account, ServiceLogin):
            if line.pump is not None:
                line.pump.patience = SERVICE_PATIENCE
            line.site_id = account.site_id
            arrival: Input = ServiceArrived(
                line.number,
                account.service_id,
                event.channel_id,
                isinstance(login, Restore),
                path,
            )
        elif isinstance(account, ClientLogin) and isinstance(login, ClientOpen | ClientRestore):
            line.site_id = account.site_id
            arrival = ClientArrived(
                line.number,
                account.client_id,
                account.user_id,
                account.user_kind,
                login.category,
                event.channel_id,
                isinstance(login, ClientRestore),
                path,
                account.ping_period,
                account.service_type,
                account.contract_author,
                account.description,
            )
        else:
            return
        self._deliver(line.site_id, arrival)

    def _no_stranger(self, line: Line) -> None:
        if line.stranger:
            line.stranger = False
            self._strangers[line.peer] -= 1
            if self._strangers[line.peer] <= 0:
                del self._strangers[line.peer]

    def _closed(self, line: Line, reason: GatewayError | None) -> None:
        self._lines.pop(line.number, None)
        line.pump = None  # no cycle is left for the collector
        if line.stranger and isinstance(reason, RemoteError):
            self._offences.note(line.peer, reason)
        self._no_stranger(line)
        self._leave_site(line)

    def _leave_site(self, line: Line) -> None:
        site_id, line.site_id = line.site_id, None
        if site_id is not None:
            self._deliver(site_id, ConnectionEnded(line.number))

    # -- what sites want done (the switchboard of a seat) --------------------------------------

    def send(self, connections: Sequence[int], to: EndpointType, message: Message) -> None:
        """Send one message to several connections; it is encoded once."""
        direction = Direction.TRACKER_TO_CLIENT
        if to is EndpointType.SERVICE:
            direction = Direction.TRACKER_TO_SERVICE
        try:
            frame = catalogue.encode(direction, message)
        except LocalError as error:
            # A text from management that the protocol cannot carry must not stop the others.
            _log.error("%s cannot be sent: %s", type(message).__name__, error)
            return
        turns = type(message) in TURNS
        for number in connections:
            line = self._lines.get(number)
            if line is None or line.pump is None:
                continue
            if turns:
                line.machine.send(message, self._clock.monotonic(), frame=frame)
            else:
                line.machine.pass_on(frame)
            line.pump.flush()

    def unsent(self, connection: int) -> int:
        """Return how many octets wait for an endpoint that does not take them."""
        line = self._lines.get(connection)
        return 0 if line is None or line.pump is None else line.pump.unsent

    def open_events(self, connection: int) -> None:
        """Let a connection speak of events."""
        line = self._lines.get(connection)
        if line is not None:
            line.machine.open_events()

    def fail(self, connection: int, code: ErrorCode) -> None:
        """Tell a code; the connection belongs to no site any more."""
        line = self._lines.get(connection)
        if line is not None:
            line.site_id = None
            line.command(lambda now: line.machine.fail(code, now))

    def close(self, connection: int) -> None:
        """Close a connection silently; it belongs to no site any more."""
        line = self._lines.get(connection)
        if line is not None:
            line.site_id = None
            line.command(lambda _now: line.machine.close())

    # -- management ----------------------------------------------------------------------------

    def credentials_void(self, *, service_id: int = 0, client_id: int = 0) -> None:
        """Have those judged anew who are between the lookup and the login (error 245)."""
        for line in list(self._lines.values()):
            account = line.account
            if not line.stranger or account is None:
                continue
            if isinstance(account, ServiceLogin):
                hit = account.service_id == service_id
            else:
                hit = client_id != 0 and account.client_id == client_id
            if hit:
                line.command(lambda now, m=line.machine: m.refuse(ErrorCode.RESTART, now))  # type: ignore[misc]

    def abort_all(self) -> None:
        """Cut every connection without a message: the tracker stops (01 section 9.2)."""
        for line in list(self._lines.values()):
            line.site_id = None
            if line.pump is not None:
                line.pump.abort()
