"""Credentials, read in batches: what waits when a read begins goes into it together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.base.errors import HostError
from gateway.model.kinds import ClientCategory
from gateway.net.tasks import TaskRoom
from gateway.registry import clients, services
from gateway.registry.clients import ClientLogin
from gateway.registry.database import Reader, Registry
from gateway.registry.services import ServiceLogin
from gateway.wire.balancer import BalancerRequest
from gateway.wire.channel import ClientOpen, ClientRestore, Open, Restore
from gateway.wire.codes import ErrorCode

BATCH = 200
"""Lookups in one read; bounds how long one of them can wait for the others."""


@dataclass(frozen=True, slots=True)
class ServiceAsked:
    """Whose service uid is this?"""

    uid: bytes


@dataclass(frozen=True, slots=True)
class ClientAsked:
    """Whose key is this, for a client that claims this category?

    The reference looks a RESTORE up as a stateful key whatever its category (01 section 4.3).
    """

    category: ClientCategory
    key: str
    restoring: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """The code with which the question ends; `early` when a password could not even be asked."""

    code: ErrorCode


Question = ServiceAsked | ClientAsked
Found = ServiceLogin | ClientLogin | Refusal


def question_of(asked: Open | Restore | ClientOpen | ClientRestore | BalancerRequest) -> Question:
    """Return what has to be looked up for a login or a question to the balancer."""
    if isinstance(asked, Open | Restore):
        return ServiceAsked(asked.service_uid)
    if isinstance(asked, ClientOpen | ClientRestore):
        return ClientAsked(asked.category, asked.key, isinstance(asked, ClientRestore))
    if asked.service_uid is not None:
        return ServiceAsked(asked.service_uid)
    assert asked.category is not None
    assert asked.key is not None
    return ClientAsked(asked.category, asked.key)


def answer(reader: Reader, question: Question, *, with_password: bool) -> Found:
    """Look one question up, in the order of the tracker's checks (01 section 4.3)."""
    if isinstance(question, ServiceAsked):
        service = services.login(reader, question.uid)
        if service is None:
            return Refusal(ErrorCode.SERVICE_NOT_REGISTERED)
        if with_password and service.salted_password is None:
            return Refusal(ErrorCode.PASSWORD_NOT_MATCHED)
        return service
    category = question.category
    claimed = ClientCategory.SINGLE_SERVICE if question.restoring else category
    client = clients.login(reader, claimed, question.key)
    if client is None:
        return Refusal(ErrorCode.CLIENT_NOT_REGISTERED)
    stateful = client.client_id != 0
    if with_password and stateful and client.salted_password is None:
        return Refusal(ErrorCode.PASSWORD_NOT_MATCHED)
    if category.stateless is stateful or category.site_kind is not client.site_kind:
        return Refusal(ErrorCode.INVALID_CLIENT_CATEGORY)
    return client


@dataclass(frozen=True, slots=True)
class _Waiting:
    question: Question
    with_password: bool
    receive: Callable[[Found], None]


class LookupDesk:
    """Answers questions about accounts in their order."""

    def __init__(self, registry: Registry, room: TaskRoom) -> None:
        self._registry = registry
        self._room = room
        self._waiting: list[_Waiting] = []
        self._busy = False
        self._changes = 0

    def ask(
        self, question: Question, receive: Callable[[Found], None], *, with_password: bool
    ) -> None:
        """Look a question up; `receive` is called on the loop, later, exactly once."""
        self._waiting.append(_Waiting(question, with_password, receive))
        if not self._busy:
            self._busy = True
            self._room.start(self._work(), name="credential lookups")

    def credentials_changed(self) -> None:
        """Learn that what is being read at this moment may be out of date."""
        self._changes += 1

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                for waiting, found in zip(batch, await self._read(batch), strict=True):
                    waiting.receive(found)
        finally:
            self._busy = False

    async def _read(self, batch: list[_Waiting]) -> list[Found]:
        def look(reader: Reader) -> list[Found]:
            return [answer(reader, w.question, with_password=w.with_password) for w in batch]

        try:
            while True:
                before = self._changes
                found = await self._registry.read(look)
                if before == self._changes:
                    return found
        except HostError:
            return [Refusal(ErrorCode.DBMS_ERROR)] * len(batch)
