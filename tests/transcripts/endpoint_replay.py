"""Plays the server's half of a recording to our endpoint machines and compares what they send.

What the recorded application did (asked, accepted, answered) is done at the same points; random
values are those of the recording. Everything else must come from the machine by itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.access.ports import GuestRule, RolesRule
from gateway.base.secret import Secret
from gateway.model.kinds import ClientCategory, GuestAccess, TransportKind
from gateway.model.structure import SiteStructure
from gateway.protocol.endpoint import EndpointSession
from gateway.protocol.endpoint_answers import (
    Procedure,
    ServiceMemory,
    ServiceProfile,
)
from gateway.protocol.endpoint_client import ClientSession
from gateway.protocol.endpoint_events import (
    CallArrived,
    EndpointReport,
    MeetClient,
    MeetService,
    PendingConnection,
)
from gateway.protocol.endpoint_requests import ClientMemory, ClientProfile
from gateway.protocol.endpoint_service import ServiceSession
from gateway.wire.catalogue import Direction, decode
from gateway.wire.channel import (
    ClientOpen,
    ClientRestore,
    HashAndKey2,
    Open,
    Ping,
    Restore,
    SaltAndKey1,
)
from gateway.wire.connect import (
    ClientAuthKey,
    ConnectionRequest,
    ServiceAuthKey,
    ServiceConnectionAccepted,
    ServiceRequestError,
)
from gateway.wire.digest import challenge_response, salted_password
from gateway.wire.framing import FRAME_MAX, FrameBuffer
from gateway.wire.installer import ClientState, ServiceState, UploadSiteStructure
from gateway.wire.message import Message
from gateway.wire.pubsub import LastStorageUid, NewStorageUid
from gateway.wire.rpc import CallRequest, ServiceCallFailed, ServiceCallResult
from tests.support.recordings import Step, Way, load
from tests.transcripts.endpoint_frames import Frames, ScriptedEntropy, messages, structures

ADMINISTRATOR = RolesRule(("Administrator",))
NO_GUESTS = GuestRule(GuestAccess.GUEST_DENIED)
PROCEDURES = {"GetInfo": NO_GUESTS, "AdminInfo": ADMINISTRATOR, "Fail": None, "Trigger": None}
"""The procedures of the recorded camera program and who may call them."""
PING_SLACK = 2.0
"""Seconds by which the recorded program's timers were late."""


@dataclass
class Endpoint:
    """One recorded program: its memory lives as long as it."""

    session: EndpointSession | None = None
    service: ServiceMemory | None = None
    client: ClientMemory | None = None
    entries: list[PendingConnection] = field(default_factory=list)
    orders: list[MeetService] = field(default_factory=list)
    calls: list[CallArrived] = field(default_factory=list)
    events: list[EndpointReport] = field(default_factory=list)


class Replay:
    """All tracker connections of one recording, in recorded order."""

    def __init__(
        self,
        name: str,
        ignore: Callable[[bytes], bool] = lambda _: False,
        piece: int = 1 << 30,
    ) -> None:
        self.recording = load(name)
        self._piece = piece
        self.ignore = ignore
        self._stateless: dict[str, Endpoint] = {}
        self.entropy = ScriptedEntropy()
        self._by_channel: dict[bytes, Endpoint] = {}
        self.endpoints: dict[int, Endpoint] = {}

    def run(self, connection: int) -> str:
        """Play one connection; return '' or what was different."""
        steps = self.recording.of(connection)
        speaker = self.recording.connections[connection].speaker
        direction = (
            Direction.SERVICE_TO_TRACKER if speaker == "service" else Direction.CLIENT_TO_TRACKER
        )
        said = messages(self.recording, connection, Way.TO_SERVER, direction)
        endpoint = self._endpoint(said)
        self.endpoints[connection] = endpoint
        session = self._open(endpoint, connection, said)
        self._know_storage(endpoint, connection, said)
        try:
            return self._play(endpoint, session, steps, direction)
        finally:
            for memory in (endpoint.service, endpoint.client):
                if memory is not None and memory.channel_id is not None:
                    self._by_channel[memory.channel_id] = endpoint

    def _know_storage(self, endpoint: Endpoint, connection: int, said: list[Message]) -> None:
        # A program with a file knows the storage uid that the server remembers, and says nothing.
        if endpoint.service is None or any(isinstance(one, NewStorageUid) for one in said):
            return
        heard = messages(self.recording, connection, Way.TO_ENDPOINT, Direction.TRACKER_TO_SERVICE)
        for message in heard:
            if isinstance(message, LastStorageUid):
                endpoint.service.storage_uid = message.storage_uid

    def _play(
        self,
        endpoint: Endpoint,
        session: EndpointSession,
        steps: tuple[Step, ...],
        direction: Direction,
    ) -> str:
        sent = Frames(self.ignore)
        expected: list[bytes] = []
        session.start(steps[0].at)
        for step in steps:
            if step.way in (Way.TO_ENDPOINT, Way.TO_SERVER):
                while session.deadline is not None and session.deadline <= step.at:
                    session.tick(session.deadline)
            if step.way is Way.TO_ENDPOINT:
                for at in range(0, len(step.octets), self._piece):
                    session.feed(step.octets[at : at + self._piece], step.at)
            elif step.way in (Way.SERVER_ENDED, Way.SERVER_RESET, Way.CUT):
                session.feed(b"", step.at)
            elif step.way is Way.TO_SERVER and not self.ignore(step.octets):
                expected.append(step.octets)
                sent.add(session.outgoing())
                if len(sent.found) < len(expected):
                    self._command(endpoint, session, step.octets, step.at, direction)
                    sent.add(session.outgoing())
                if sent.found[: len(expected)] != expected:
                    got = b"".join(sent.found[len(expected) - 1 :]).hex()
                    return f"{step.name}: {got} instead of {step.octets.hex()}"
            self._collect(endpoint, session)
        sent.add(session.outgoing())
        more = b"".join(sent.found[len(expected) :]).hex()
        return f"more than expected: {more}" if more else ""

    def _collect(self, endpoint: Endpoint, session: EndpointSession) -> None:
        while (event := session.next_event()) is not None:
            endpoint.events.append(event)
            if isinstance(event, MeetClient):
                endpoint.entries.append(event.entry)
            elif isinstance(event, MeetService):
                endpoint.orders.append(event)
            elif isinstance(event, CallArrived):
                endpoint.calls.append(event)

    # -- who speaks

    def _endpoint(self, said: list[Message]) -> Endpoint:
        first = said[0]
        if isinstance(first, Restore | ClientRestore):
            return self._by_channel[first.channel_id]
        if isinstance(first, ClientOpen) and first.category.stateless:
            return self._stateless.setdefault(first.key, Endpoint())
        return Endpoint()

    def _passwords(self) -> list[str]:
        found = [account.password for account in self.recording.services + self.recording.clients]
        for endpoint in self.recording.raw["endpoints"]:
            found += endpoint["arguments"]
        return found

    def _password(self, connection: int, said: list[Message]) -> Secret | None:
        answer = next((message for message in said if isinstance(message, HashAndKey2)), None)
        if answer is None:
            return None
        frames = FrameBuffer(FRAME_MAX)
        frames.feed(self.recording.stream(connection, Way.TO_ENDPOINT))
        payload = frames.next_payload()
        assert payload is not None
        challenge = decode(Direction.TRACKER_TO_SERVICE, payload)
        assert isinstance(challenge, SaltAndKey1)
        self.entropy.next_octets = [answer.key2]
        for password in self._passwords():
            salted = salted_password(challenge.salt, password)
            if challenge_response(challenge.key1, answer.key2, salted) == answer.hash:
                return Secret(password)
        raise AssertionError("no password of the recording fits")

    def _ping_period(self, account: str) -> int:
        for program in self.recording.raw["endpoints"]:
            arguments = program["arguments"]
            if f"//{account}@" in arguments[1] and "--ping" in arguments:
                return int(arguments[arguments.index("--ping") + 1])
        return 0

    def _open(self, endpoint: Endpoint, connection: int, said: list[Message]) -> EndpointSession:
        password = self._password(connection, said)
        first = said[0]
        if isinstance(first, Open | Restore):
            assert password is not None
            return self._open_service(endpoint, first.service_uid, password, said)
        assert isinstance(first, ClientOpen | ClientRestore)
        return self._open_client(endpoint, first.category, first.key, password, said)

    def _open_service(
        self, endpoint: Endpoint, uid: bytes, password: Secret, said: list[Message]
    ) -> EndpointSession:
        structure = SiteStructure("none", "none")
        version: str | None = None
        for message in said:
            if isinstance(message, UploadSiteStructure):
                structure, version = message.structure, message.version
            elif isinstance(message, ServiceState):
                structure, version = structures()[message.profile.ss_hash], message.version
        if endpoint.service is None:
            for message in said:
                if isinstance(message, NewStorageUid):
                    self.entropy.next_uids.append(message.storage_uid)
            endpoint.service = ServiceMemory.fresh(structure, self.entropy)
            self._offer(endpoint.service, structure)
        for message in said:  # a program that never came online shows its storage later
            if isinstance(message, NewStorageUid):
                endpoint.service.storage_uid = message.storage_uid
        period = self._ping_period(str(uuid.UUID(bytes=uid)))
        profile = ServiceProfile(uid, password, structure, version or "", period)
        return ServiceSession(profile, endpoint.service, self.entropy)

    @staticmethod
    def _offer(memory: ServiceMemory, structure: SiteStructure) -> None:
        # The ports and procedures of the recorded camera program.
        rule = ADMINISTRATOR if structure.roles else None
        for transport, number, guard in (
            (TransportKind.TCP, 554, None),
            (TransportKind.TCP, 1554, rule),
            (TransportKind.UDP, 5004, None),
            (TransportKind.UDP, 5005, rule),
        ):
            port = memory.ports.open(transport, number, 10, guard)
            port.armed = 1
        for name, guard in PROCEDURES.items():
            plain = guard is ADMINISTRATOR and rule is None
            memory.procedures[name] = Procedure(None if plain else guard)

    def _open_client(
        self,
        endpoint: Endpoint,
        category: ClientCategory,
        key: str,
        password: Secret | None,
        said: list[Message],
    ) -> EndpointSession:
        if endpoint.client is None:
            endpoint.client = ClientMemory.fresh(category)
        kind, author, description = "none", "none", None
        for message in said:
            if isinstance(message, ClientState):
                kind, author = message.service_type, message.contract_author
                description = message.description
        period = self._ping_period(key)
        profile = ClientProfile(category, key, password, kind, author, description or "", period)
        return ClientSession(profile, endpoint.client, self.entropy)

    # -- what the application did

    def _command(
        self,
        endpoint: Endpoint,
        session: EndpointSession,
        octets: bytes,
        now: float,
        direction: Direction,
    ) -> None:
        frames = FrameBuffer(FRAME_MAX)
        frames.feed(octets)
        payload = frames.next_payload()
        assert payload is not None
        wanted = decode(direction, payload)
        if isinstance(wanted, Ping):
            due = session.deadline
            assert due is not None
            assert abs(due - now) <= PING_SLACK
            session.tick(due)
        elif isinstance(session, ServiceSession):
            self._command_service(endpoint, session, wanted, now)
        elif isinstance(session, ClientSession):
            self._command_client(endpoint, session, wanted, now)

    def _command_service(
        self, endpoint: Endpoint, session: ServiceSession, wanted: Message, now: float
    ) -> None:
        if isinstance(wanted, ServiceAuthKey):
            entry = next(e for e in endpoint.entries if e.connection_uid == wanted.connection_uid)
            session.ask_for_hash(entry, wanted.auth_key, now)
        elif isinstance(wanted, ServiceConnectionAccepted):
            entry = next(e for e in endpoint.entries if e.request_uid == wanted.request_uid)
            assert session.connected(entry) is not None
            session.accept(entry, now)
        elif isinstance(wanted, ServiceRequestError):
            entry = next(e for e in endpoint.entries if e.request_uid == wanted.request_uid)
            session.not_connected(entry, now)
        elif isinstance(wanted, ServiceCallResult | ServiceCallFailed):
            uid = wanted.transaction_uid
            call = next(c for c in endpoint.calls if c.transaction_uid == uid)
            if isinstance(wanted, ServiceCallResult):
                session.answer(call, wanted.result, now)
            else:
                session.answer_error(call, wanted.error_code, wanted.error, now)

    def _command_client(
        self, endpoint: Endpoint, session: ClientSession, wanted: Message, now: float
    ) -> None:
        if isinstance(wanted, ConnectionRequest):
            self.entropy.next_uids.insert(0, wanted.request_uid)
            session.request(
                wanted.transport,
                wanted.service_id,
                wanted.virtual_port,
                limit=30,
                now=now,
                session_tag=wanted.session_tag,
            )
        elif isinstance(wanted, ClientAuthKey):
            order = next(o for o in endpoint.orders if o.request_uid == wanted.request_uid)
            session.ask_for_hash(order, wanted.auth_key, now)
        elif isinstance(wanted, CallRequest):
            self.entropy.next_uids.insert(0, wanted.transaction_uid)
            session.call(
                wanted.service_id,
                wanted.procedure,
                wanted.arguments,
                limit=30,
                now=now,
                session_tag=wanted.session_tag,
            )
