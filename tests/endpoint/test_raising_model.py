"""Whatever a network and a power switch do, no raise is lost, doubled or reordered (03 3.4)."""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.base.entropy import SystemEntropy
from gateway.endpoint.state import FileQueue, StateSettings
from gateway.model.kinds import EventKind
from gateway.model.structure import EventDefinition, SiteStructure
from gateway.protocol.endpoint_outbox import RESEND_WAIT, Outbox
from gateway.wire.message import Message
from gateway.wire.pubsub import NewStorageUid, RaiseReplacingEvent, RaiseReplacingNullEvent

KINDS = {
    "Mode": EventKind.REPLACING,
    "State": EventKind.REPLACING,
    "Alarm": EventKind.QUEUEING,
    "Motion": EventKind.QUEUEING,
    "Note": EventKind.PRIVATE,
}
STRUCTURE = SiteStructure(
    "Lamp", "me", events=tuple(EventDefinition(kind, name, 60, 10) for name, kind in KINDS.items())
)
INDEXES = {"Mode": 0, "State": 1, "Alarm": 2, "Motion": 3, "Note": 4}


class Raising(RuleBasedStateMachine):
    """A service, its file, and a tracker that filters repetitions as 03 section 4.1 says."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.entropy = SystemEntropy()
        self.now = 0.0
        self.up: deque[Message] = deque()
        self.down: deque[tuple[int, bytes]] = deque()
        self.raised: dict[str, list[bytes]] = {name: [] for name in KINDS}
        self.accepted: dict[str, list[bytes]] = {name: [] for name in KINDS}
        self.storage: bytes | None = None
        self.online = False
        self.start()

    def start(self) -> None:
        self.queue = FileQueue(self.folder / "events", StateSettings(durable=False))
        self.outbox = Outbox(STRUCTURE, self.queue, b"u" * 16, self.entropy)
        assert self.outbox.take_problems() == []

    def pull(self) -> None:
        for message in self.outbox.pull(self.now):
            if not isinstance(message, NewStorageUid):
                assert message.index in (0, INDEXES[message.name])
            self.up.append(message)

    def tracker_takes(self) -> None:
        message = self.up.popleft()
        if isinstance(message, NewStorageUid):
            self.storage = message.storage_uid
            return
        name, uid = message.name, message.instance_uid
        null_kind = isinstance(message, RaiseReplacingEvent | RaiseReplacingNullEvent)
        assert null_kind == (KINDS[name] is EventKind.REPLACING)
        if self.accepted[name][-1:] != [uid]:
            self.accepted[name].append(uid)
        self.down.append((message.index, uid))

    def service_takes(self) -> None:
        index, uid = self.down.popleft()
        if self.outbox.knows(index):
            self.outbox.acknowledge(uid)
        self.pull()

    @rule(name=st.sampled_from(sorted(KINDS)), null=st.booleans())
    def raises(self, name: str, null: bool) -> None:
        null = null and KINDS[name] is EventKind.REPLACING
        raised = self.outbox.raise_event(KINDS[name], name, None, null=null)
        self.raised[name].append(raised.instance_uid)
        self.pull()

    @precondition(lambda self: self.up)
    @rule(lost=st.booleans())
    def goes_up(self, lost: bool) -> None:
        if lost and not isinstance(self.up[0], NewStorageUid):
            self.up.popleft()
        else:
            self.tracker_takes()

    @precondition(lambda self: self.down)
    @rule(what=st.sampled_from(["arrives", "arrives", "is lost", "is repeated"]))
    def acknowledgment(self, what: str) -> None:
        if what == "is lost":
            self.down.popleft()
        elif what == "is repeated":
            self.down.append(self.down[0])
            self.service_takes()
        else:
            self.service_takes()

    @rule(seconds=st.sampled_from([1.0, RESEND_WAIT]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        due = self.outbox.deadline
        if due is not None and due <= self.now:
            self.pull()
            assert self.outbox.deadline is not None
            assert self.outbox.deadline > self.now

    @precondition(lambda self: not self.online)
    @rule()
    def connects(self) -> None:
        self.online = True
        self.outbox.begin(self.storage)
        waiting = next(iter(self.outbox._order), None)
        self.pull()
        sent = [one for one in self.up if not isinstance(one, NewStorageUid)]
        # Storage mode: one alone, the oldest of all names, under index 0.
        assert [(one.index, one.instance_uid) for one in sent] == (
            [(0, waiting)] if waiting else []
        )

    @precondition(lambda self: self.online)
    @rule(arriving=st.integers(0, 5))
    def is_cut(self, arriving: int) -> None:
        for _ in range(min(arriving, len(self.up))):
            self.tracker_takes()
        self.up.clear()
        self.down.clear()
        self.online = False
        self.outbox.interrupt()

    @rule(orderly=st.booleans(), arriving=st.integers(0, 5))
    def program_restarts(self, orderly: bool, arriving: int) -> None:
        self.is_cut(arriving)
        if orderly:
            self.outbox.close()
        else:
            self.queue._file.close()  # what a killed program leaves
        self.start()

    @invariant()
    def nothing_is_doubled_or_reordered(self) -> None:
        for name, kind in KINDS.items():
            raised, accepted = self.raised[name], self.accepted[name]
            if kind is EventKind.REPLACING:
                places = [raised.index(uid) for uid in accepted]
                assert places == sorted(set(places))
            else:
                assert accepted == raised[: len(accepted)]

    @invariant()
    def replacing_events_do_not_pile_up(self) -> None:
        for name, kind in KINDS.items():
            if kind is EventKind.REPLACING:
                assert len(self.outbox._names.get(name, ())) <= 2

    @invariant()
    def one_of_each_name_is_under_way(self) -> None:
        if not self.outbox._cached:
            assert len(self.outbox._sent) <= 1
        names = [self.outbox._order[uid].name for uid in self.outbox._sent]
        assert len(names) == len(set(names))

    def teardown(self) -> None:
        self.is_cut(0)
        self.connects()
        while self.up or self.down:
            self.tracker_takes() if self.up else self.service_takes()
        assert len(self.outbox) == 0
        for name, kind in KINDS.items():
            if kind is EventKind.REPLACING:
                assert self.accepted[name][-1:] == self.raised[name][-1:]
            else:
                assert self.accepted[name] == self.raised[name]
        self.nothing_is_doubled_or_reordered()
        self.outbox.close()
        shutil.rmtree(self.folder)


TestRaising = Raising.TestCase
TestRaising.settings = settings(
    max_examples=80,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
