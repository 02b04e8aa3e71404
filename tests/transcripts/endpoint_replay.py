"""Plays the server's half of a recording to our endpoint machines and compares what they send.

What the recorded application did (asked, accepted, answered) is done at the same points; random
values are those of the recording. Everything else must come from the machine by itself.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from gateway.access.ports import GuestRule, RolesRule
from gateway.base.secret import Secret
from gateway.endpoint.state import FileQueue
from gateway.model.kinds import ClientCategory, EventKind, GuestAccess, TransportKind
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
    EventArrived,
    MeetClient,
    MeetService,
)
from gateway.protocol.endpoint_requests import ClientMemory, ClientProfile
from gateway.protocol.endpoint_service import ServiceSession
from gateway.wire.catalogue import Direction, decode
from gateway.wire.channel import (
    ClientOpen,
    ClientRestore,
    HashAndKey2,
    Open,
    Restore,
    SaltAndKey1,
)
from gateway.wire.digest import challenge_response, salted_password
from gateway.wire.framing import FRAME_MAX, FrameBuffer
from gateway.wire.installer import ClientState, ServiceState, UploadSiteStructure
from gateway.wire.message import Message
from gateway.wire.pubsub import (
    NewStorageUid,
    Subscriptions,
)
from tests.support.recordings import Step, Way, load
from tests.transcripts.endpoint_application import Application, Endpoint
from tests.transcripts.endpoint_frames import (
    Frames,
    ScriptedEntropy,
    messages,
    of_events,
    structures,
)

ADMINISTRATOR = RolesRule(("Administrator",))
NO_GUESTS = GuestRule(GuestAccess.GUEST_DENIED)
PROCEDURES = {"GetInfo": NO_GUESTS, "AdminInfo": ADMINISTRATOR, "Fail": None, "Trigger": None}
"""The procedures of the recorded camera program and who may call them."""
SUBSCRIBED = {
    "R": (EventKind.REPLACING, "StateChanged"),
    "Q": (EventKind.QUEUEING, "Alarm"),
    "P": (EventKind.PRIVATE, "Note"),
    "BAD": (EventKind.REPLACING, "NoSuchEvent"),
}
"""The events of the recorded remote control by the letters of its command line."""


class Replay:
    """All tracker connections of one recording, in recorded order."""

    def __init__(
        self,
        name: str,
        apart: bool = False,
        piece: int = 1 << 30,
        folder: Path | None = None,
    ) -> None:
        self.recording = load(name)
        self._piece = piece
        self._apart = apart
        self._folder = folder
        self._files: dict[bytes, Endpoint] = {}
        self._stateless: dict[str, Endpoint] = {}
        self.entropy = ScriptedEntropy()
        self._application = Application(self.entropy)
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
        try:
            return self._play(endpoint, session, steps, direction)
        finally:
            for memory in (endpoint.service, endpoint.client):
                if memory is not None and memory.channel_id is not None:
                    self._by_channel[memory.channel_id] = endpoint

    def _play(
        self,
        endpoint: Endpoint,
        session: EndpointSession,
        steps: tuple[Step, ...],
        direction: Direction,
    ) -> str:
        sent = Frames()
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
            elif step.way is Way.TO_SERVER:
                expected.append(step.octets)
                sent.add(session.outgoing())
                if self._behind(sent.found, expected):
                    self._application.command(endpoint, session, step.octets, step.at, direction)
                    sent.add(session.outgoing())
                if self._behind(sent.found, expected):
                    got = b"".join(sent.found[len(expected) - 1 :]).hex()
                    return f"{step.name}: {got} instead of {step.octets.hex()}"
            self._collect(endpoint, session)
        sent.add(session.outgoing())
        more = b"".join(sent.found[len(expected) :]).hex()
        return f"more than expected: {more}" if more else ""

    def end(self) -> None:
        """Close the files of the programs."""
        for endpoint in self._files.values():
            if endpoint.service is not None:
                endpoint.service.outbox.close()

    def _behind(self, found: list[bytes], expected: list[bytes]) -> bool:
        """Tell whether what was found does not begin with what is expected, in each lane."""
        lanes = (False, True) if self._apart else (None,)
        for lane in lanes:
            have = [one for one in found if lane is None or of_events(one) is lane]
            want = [one for one in expected if lane is None or of_events(one) is lane]
            if have[: len(want)] != want:
                return True
        return False

    def _collect(self, endpoint: Endpoint, session: EndpointSession) -> None:
        while (event := session.next_event()) is not None:
            endpoint.events.append(event)
            if isinstance(event, MeetClient):
                endpoint.entries.append(event.entry)
            elif isinstance(event, MeetService):
                endpoint.orders.append(event)
            elif isinstance(event, CallArrived):
                endpoint.calls.append(event)
            elif isinstance(event, EventArrived):
                event.delivery.started = True
                endpoint.deliveries.append(event.delivery)

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
            queue = self._file(endpoint, uid)
            endpoint.service = ServiceMemory.fresh(structure, self.entropy, queue, uid)
            self._offer(endpoint.service, structure)
        for message in said:  # a program that never came online shows its storage later
            if isinstance(message, NewStorageUid):
                endpoint.service.outbox.storage_uid = message.storage_uid
        period = self._ping_period(str(uuid.UUID(bytes=uid)))
        profile = ServiceProfile(uid, password, structure, version or "", period)
        return ServiceSession(profile, endpoint.service, self.entropy)

    def _file(self, endpoint: Endpoint, uid: bytes) -> FileQueue | None:
        account = f"//{uuid.UUID(bytes=uid)}@"
        programs = self.recording.raw["endpoints"]
        if not any("--l2" in p["arguments"] and account in p["arguments"][1] for p in programs):
            return None
        assert self._folder is not None, "a program of this recording keeps its events in a file"
        before = self._files.get(uid)
        if before is not None and before.service is not None:
            before.service.outbox.close()  # the program of before has ended
        self._files[uid] = endpoint
        return FileQueue(self._folder / "events")

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
            for event_kind, name in self._subscribed(key, said):
                endpoint.client.inbox.follow(event_kind, name)
        kind, author, description = "none", "none", None
        for message in said:
            if isinstance(message, ClientState):
                kind, author = message.service_type, message.contract_author
                description = message.description
        period = self._ping_period(key)
        profile = ClientProfile(category, key, password, kind, author, description or "", period)
        return ClientSession(profile, endpoint.client, self.entropy)

    def _subscribed(self, key: str, said: list[Message]) -> list[tuple[EventKind, str]]:
        # Two programs of one client in a recording are told apart by what they say (09e).
        listed = [one for one in said if isinstance(one, Subscriptions)]
        for program in self.recording.raw["endpoints"]:
            arguments = program["arguments"]
            if f"//{key}@" not in arguments[1] or "--subscribe" not in arguments:
                continue
            letters = arguments[arguments.index("--subscribe") + 1].split(",")
            if not listed or len(listed[0].items) == len(letters):
                return [SUBSCRIBED[letter] for letter in letters]
        return []
