"""Plays the endpoints' side of a recording against our machines and sites, without sockets.

The accounts, structures and users are those of the recording; salts, keys, ids and times are given
to our server as the reference had them, so that what it sends can be compared octet for octet.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import itertools
from collections import defaultdict, deque
from collections.abc import Callable

from gateway.base.secret import Secret
from gateway.model.kinds import UserKind
from gateway.model.snapshot import SiteSnapshot
from gateway.model.structure import SiteStructure
from gateway.protocol.siteside import (
    Authenticated,
    CredentialsAsked,
    Departed,
    Login,
    Received,
    TrackerConnection,
)
from gateway.site import happenings
from gateway.site.happenings import (
    BuildEnded,
    ClientArrived,
    ClientExpelled,
    ClientPingPeriodSet,
    ConnectionEnded,
    Effect,
    Input,
    MessageArrived,
    Path,
    ServiceArrived,
    SiteEnded,
    SnapshotTaken,
)
from gateway.site.proxies import ProxyDirectory, ProxyEntry
from gateway.site.retained import EventStore
from gateway.site.site import Resources, Site
from gateway.wire.channel import (
    ClientOpen,
    ClientRestore,
    Open,
    OpenOk,
    Restore,
    SaltAndKey1,
)
from gateway.wire.codes import ErrorCode
from tests.support.recorded_events import (
    RAISES,
    ScriptedEntropy,
    creation_times,
    retained,
    scripted,
    start_of,
)
from tests.support.recorded_state import built, initial, managed
from tests.support.recordings import Account, Recording, Step, Way
from tests.support.spoken import Spoken

PROXY_IPV4 = "127.0.0.5"
CUT_TOGETHER = 0.01
"""Connections that the recorder cut within this many seconds were cut at one moment."""


@dataclasses.dataclass
class _Line:
    machine: TrackerConnection
    sent: bytearray = dataclasses.field(default_factory=bytearray)
    site_id: int | None = None
    closed: bool = False
    account: Account | None = None


class Replay:
    """One recording played; afterwards `sent` holds what our tracker said on each connection."""

    def __init__(
        self,
        recording: Recording,
        *,
        stateless_guests_pass: bool = False,
        octet_by_octet: bool = False,
    ) -> None:
        self.spoken = spoken = Spoken.of(recording)
        self.recording = recording = spoken.recording
        self._octet_by_octet = octet_by_octet
        self._lines: dict[int, _Line] = {}
        secret = Secret(recording.raw["accounts"]["proxy"]["secret_key"])
        entry = ProxyEntry(1, secret, ipaddress.IPv4Address(PROXY_IPV4))
        self._shared = Resources(
            scripted(spoken),
            ProxyDirectory((entry,)),
            itertools.count(1),
            frozenset(account.uid for account in recording.services if stateless_guests_pass),
        )
        self.snapshots = {
            site["site_id"]: initial(spoken, site) for site in recording.raw["accounts"]["sites"]
        }
        self._salts = {a.id: (a.salt, a.salted_password) for a in recording.services}
        self._client_salts = {a.id: (a.salt, a.salted_password) for a in recording.clients}
        self._sites: dict[int, Site] = {}
        self._stores: dict[int, EventStore] = {}
        self._client_pings: dict[int, int] = defaultdict(int)
        self._now = 0.0
        self._structures: dict[int, SiteStructure] = {}
        self._created = creation_times(spoken)
        self._cuts = {s.connection: s.at for s in recording.steps if s.way is Way.CUT}
        self._offset = start_of(spoken)

    # -- playing -------------------------------------------------------------------------------

    def run(self) -> Replay:
        """Play everything in recorded order."""
        actions = deque(self.recording.raw.get("management_actions") or [])
        for step in self.recording.steps:
            while actions and actions[0]["t"] <= step.at:
                self._now = actions[0]["t"]
                self._command(actions.popleft()["command"])
            self._now = step.at
            connection = self.recording.connections.get(step.connection)
            if connection is not None and connection.to_tracker:
                self._play(step)
        return self

    def sent(self, connection: int) -> bytes:
        """Return what our tracker said on a connection."""
        return bytes(self._lines[connection].sent)

    def _play(self, step: Step) -> None:
        if step.way is Way.OPENED:
            entropy = ScriptedEntropy()
            for said, message in self.spoken.to_endpoint:
                if said.connection != step.connection:
                    continue
                if isinstance(message, SaltAndKey1):
                    entropy.keys.append(message.key1)
                elif isinstance(message, OpenOk):
                    entropy.uids.append(message.channel_id)
            line = self._lines[step.connection] = _Line(TrackerConnection(entropy))
            line.machine.start(self._now)
            return
        line = self._lines[step.connection]
        if step.way is Way.TO_SERVER and not line.machine.finished:
            size = 1 if self._octet_by_octet else len(step.octets)
            for at in range(0, len(step.octets), size):
                line.machine.feed(step.octets[at : at + size], self._now)
                self._settle(step.connection)
        elif step.way in (Way.ENDPOINT_ENDED, Way.CUT, Way.ENDPOINT_RESET):
            line.machine.feed(b"", self._now)
            self._settle(step.connection)

    def _settle(self, number: int) -> None:
        line = self._lines[number]
        while (event := line.machine.next_event()) is not None:
            if isinstance(event, CredentialsAsked):
                self._look_up(line, event.login)
            elif isinstance(event, Authenticated):
                self._arrive(number, line, event)
            elif isinstance(event, Received) and line.site_id is not None:
                self._deliver(line.site_id, MessageArrived(number, event.message))
            elif isinstance(event, Departed):
                self._leave(number, line)
        line.sent += line.machine.outgoing()
        if line.machine.finished and not line.closed:
            line.closed = True
            self._leave(number, line)

    def _leave(self, number: int, line: _Line) -> None:
        site_id, line.site_id = line.site_id, None
        if site_id is not None:
            self._deliver(site_id, ConnectionEnded(number))

    def _look_up(self, line: _Line, login: Login) -> None:
        if isinstance(login, Open | Restore):
            line.account = next(
                (a for a in self.recording.services if a.uid == login.service_uid), None
            )
            missing = ErrorCode.SERVICE_NOT_REGISTERED
            salts = self._salts
        else:
            missing = ErrorCode.CLIENT_NOT_REGISTERED
            salts = self._client_salts
            keys = {s["site_key"] for s in self.recording.raw["accounts"]["sites"]}
            if login.category.stateless and login.key in keys:
                line.machine.admit(self._now)
                return
            line.account = next((a for a in self.recording.clients if a.key == login.key), None)
            if (
                line.account is not None
                and login.category.site_kind is not self.snapshots[line.account.site_id].kind
            ):
                line.machine.refuse(ErrorCode.INVALID_CLIENT_CATEGORY, self._now)
                return
        if line.account is None:
            line.machine.refuse(missing, self._now)
        else:
            line.machine.challenge(*salts[line.account.id], self._now)

    def _arrive(self, number: int, line: _Line, event: Authenticated) -> None:
        path = Path("127.0.0.1", ipaddress.IPv4Address("127.0.0.1"))
        login, account = event.login, line.account
        if isinstance(login, ClientOpen | ClientRestore):
            if account is None:
                sites = self.recording.raw["accounts"]["sites"]
                line.site_id = next(s["site_id"] for s in sites if s["site_key"] == login.key)
                user, kind = 0, UserKind.STATELESS_GUEST
            else:
                line.site_id, user = account.site_id, account.user_id
                kind = self.snapshots[account.site_id].users[user].kind
            client_id = account.id if account else 0
            arrival: Input = ClientArrived(
                number, client_id, user, kind, login.category, event.channel_id,
                isinstance(login, ClientRestore), path, self._client_pings[client_id],
            )  # fmt: skip
        else:
            assert account is not None
            line.site_id = account.site_id
            arrival = ServiceArrived(
                number, account.id, event.channel_id, isinstance(login, Restore), path
            )
        self._deliver(line.site_id, arrival)

    # -- sites and their storage ---------------------------------------------------------------

    def _wall(self, happening: Input) -> float:
        if isinstance(happening, MessageArrived) and isinstance(happening.message, RAISES):
            (store,) = self._stores.values()
            created = self._created.get(store.last_instance_id + 1)
            if created is not None:
                self._offset = created - self._now
                return created
        return self._now + self._offset

    def _deliver(self, site_id: int, happening: Input) -> None:
        site = self._sites.get(site_id)
        if site is None:
            if isinstance(happening, ConnectionEnded):
                return
            if site_id not in self._stores:
                self._stores[site_id] = retained(self.spoken, self.snapshots[site_id].structure)
            site = Site(self.snapshots[site_id], self._shared, self._stores[site_id])
            self._sites[site_id] = site
        for effect in site.handle(happening, self._now, self._wall(happening)):
            self._carry_out(site_id, effect)

    def _carry_out(self, site_id: int, effect: Effect) -> None:
        snapshot = self.snapshots[site_id]
        if isinstance(effect, happenings.Send):
            for number in effect.connections:
                self._command_machine(number, lambda m: m.send(effect.message, self._now))
        elif isinstance(effect, happenings.OpenEvents):
            self._lines[effect.connection].machine.open_events()
        elif isinstance(effect, happenings.Fail):
            self._lines[effect.connection].site_id = None
            self._command_machine(effect.connection, lambda m: m.fail(effect.code, self._now))
        elif isinstance(effect, happenings.Close):
            self._lines[effect.connection].site_id = None
            self._command_machine(effect.connection, lambda m: m.close())
        elif isinstance(effect, happenings.StoreStructure):
            self._structures[effect.service_id] = effect.structure
            self._store(
                snapshot, effect.service_id,
                service_type=effect.structure.service_type,
                contract_author=effect.structure.contract_author,
                ss_hash=effect.ss_hash, version=effect.version,
            )  # fmt: skip
        elif isinstance(effect, happenings.StoreSeen):
            values = {"version": effect.version, "storage_uid": effect.storage_uid}
            known = {key: value for key, value in values.items() if value is not None}
            self._store(snapshot, effect.service_id, **known)
        elif isinstance(effect, happenings.BuildSite):
            structure = self._structures[effect.service_id]
            self.snapshots[site_id] = built(self.spoken, snapshot, structure)
            self._deliver(site_id, BuildEnded(effect.service_id, True))
        elif isinstance(effect, happenings.KeepEvents):
            batch = self._stores[site_id].take_batch()
            self._deliver(site_id, happenings.EventsKept(batch.number))
        elif isinstance(effect, happenings.SiteDropped):
            self._sites.pop(site_id, None)

    def _command_machine(self, number: int, act: Callable[[TrackerConnection], None]) -> None:
        line = self._lines[number]
        act(line.machine)
        octets = line.machine.outgoing()
        if self._now < self._cuts.get(number, float("inf")) - CUT_TOGETHER:
            line.sent += octets

    def _store(self, snapshot: SiteSnapshot, service_id: int, **values: object) -> None:
        services = tuple(
            dataclasses.replace(s, **values) if s.id == service_id else s  # type: ignore[arg-type]
            for s in snapshot.services
        )
        self.snapshots[snapshot.id] = dataclasses.replace(snapshot, services=services)
        self._reload(snapshot.id)

    def _reload(self, site_id: int) -> None:
        if site_id in self._sites:
            self._deliver(site_id, SnapshotTaken(self.snapshots[site_id]))

    # -- management ----------------------------------------------------------------------------

    def _command(self, command: str) -> None:
        verb, *words = command.split()
        if verb == "(relay)":
            return
        site_id, words = int(words[0]), words[1:]
        site = self.snapshots[site_id]
        if verb in ("setClientPassword", "setClientPingPeriod"):
            client_id = int(words[0])
            told: Input = ClientExpelled(client_id, ErrorCode.RESTART)
            if verb == "setClientPingPeriod":
                self._client_pings[client_id] = int(words[1])
                told = ClientPingPeriodSet(client_id, int(words[1]))
            self._deliver(site_id, told)
            return
        self.snapshots[site_id] = managed(self.spoken, site, verb, words, self._structures)
        if verb == "applyStructure":
            self._deliver(site_id, SiteEnded())
        else:
            self._reload(site_id)
