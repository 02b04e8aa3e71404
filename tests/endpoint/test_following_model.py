"""Whatever happens in between, each instance is handled once and in order (03 5.4 and 5.5)."""

from __future__ import annotations

import datetime
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.endpoint.state import FilePositions
from gateway.model.kinds import EventKind
from gateway.protocol.endpoint_inbox import Delivery, Inbox, Outcome
from gateway.wire.pubsub import DeliverQueueingEvent, QueueingEventAcknowledged

WHEN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class Following(RuleBasedStateMachine):
    """A client of one queueing event and a tracker with one instance under way (03 section 4.4)."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.stored = 0
        self.cursor = 0
        self.under_way: tuple[int, bytes] | None = None
        self.transactions = 0
        self.working: list[Delivery] = []
        self.begun: list[int] = []
        self.handled: list[int] = []
        self.online = False
        self.start()

    def start(self) -> None:
        self.positions = FilePositions(self.folder / "positions", durable=False)
        self.inbox = Inbox(self.positions, "key@server", stateless=False)
        self.inbox.follow(EventKind.QUEUEING, "Alarm")
        assert self.inbox.take_problems() == []

    def take(self, *outcomes: Outcome, lost: bool = False) -> None:
        for outcome in outcomes:
            if outcome.start is not None:
                outcome.start.started = True
                self.working.append(outcome.start)
                self.begun.append(outcome.start.instance_id)
            if outcome.answer is not None and self.online and not lost:
                assert isinstance(outcome.answer, QueueingEventAcknowledged)
                assert self.under_way is not None
                if outcome.answer.transaction_uid == self.under_way[1]:
                    self.cursor, self.under_way = self.under_way[0], None

    @rule()
    def is_raised(self) -> None:
        self.stored += 1

    @precondition(lambda self: self.online and self.cursor < self.stored)
    @rule(lost=st.booleans())
    def is_delivered(self, lost: bool) -> None:
        """For the first time, or again because there was no acknowledgment for 300 s."""
        self.transactions += 1
        uid = self.transactions.to_bytes(16, "big")
        self.under_way = (self.cursor + 1, uid)
        if not lost:
            message = DeliverQueueingEvent("Alarm", 7, uid, self.cursor + 1, 1, 0, WHEN)
            self.take(self.inbox.deliver(message))

    @precondition(lambda self: self.working)
    @rule(lost=st.booleans())
    def handler_returns(self, lost: bool) -> None:
        delivery = self.working.pop()
        self.handled.append(delivery.instance_id)
        self.take(*self.inbox.handled(delivery), lost=lost)

    @precondition(lambda self: self.working)
    @rule()
    def handler_fails(self) -> None:
        self.take(*self.inbox.failed(self.working.pop()))

    @precondition(lambda self: not self.online)
    @rule()
    def connects(self) -> None:
        self.online = True
        self.inbox.begin()

    @precondition(lambda self: self.online)
    @rule()
    def is_cut(self) -> None:
        self.online = False
        self.under_way = None

    @rule()
    def program_restarts(self) -> None:
        self.online = False
        self.under_way = None
        self.working.clear()
        self.positions.close()
        self.start()

    @invariant()
    def handled_once_and_in_order(self) -> None:
        assert self.handled == list(range(1, len(self.handled) + 1))

    @invariant()
    def one_at_a_time(self) -> None:
        assert len(self.working) <= 1

    def teardown(self) -> None:
        self.program_restarts()
        self.connects()
        while self.cursor < self.stored:
            self.is_delivered(lost=False)
            if self.working:
                self.handler_returns(lost=False)
        self.handled_once_and_in_order()
        assert len(self.handled) == self.stored
        self.inbox.close()
        shutil.rmtree(self.folder)


TestFollowing = Following.TestCase
TestFollowing.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
