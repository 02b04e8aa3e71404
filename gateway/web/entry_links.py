"""What somebody does by a link without signing in: register, get back in, confirm an address.

Opening a link shows something; only sending its form acts. What a visitor asks for is answered the
same whether or not the account exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.base.errors import Conflict, Denied, GatewayError
from gateway.base.secret import Secret
from gateway.model import names
from gateway.model.accounts import Owner
from gateway.net.listener import source_of
from gateway.registry import audit, invitations, self_service
from gateway.registry.action_tokens import Purpose
from gateway.registry.database import Reader, Tx
from gateway.registry.passwords import hash_password
from gateway.registry.self_service import Answer, Registration
from gateway.web import fields
from gateway.web.answers import form_of, json_answer, json_body, see_other
from gateway.web.entry import entry_page
from gateway.web.fields import Field, from_form, from_json
from gateway.web.problems import problem_of
from gateway.web.shapes import ANSWER, DONE

if TYPE_CHECKING:
    from gateway.web.authority import Visitor
    from gateway.web.desk import Desk

_ACCOUNT = (
    fields.text("full_name", maximum=64),
    fields.text("account_name", maximum=64),
    fields.secret("password", maximum=64),
)
LINK = fields.secret("link", maximum=64, help="what follows the last slash of the link")
_LABELS = {
    "full_name": "Your name",
    "account_name": "Account name",
    "password": "Password",
    "email": "Mail address",
    "name": "Account name or mail address",
    "message": "What the administrator should know (optional)",
}


@dataclass(frozen=True, slots=True)
class Link:
    """What one kind of link shows, takes, and does."""

    title: str
    button: str
    look: Callable[[Reader, Secret], str]
    act: Callable[[Tx, Secret, Mapping[str, Any]], Owner]
    done: str
    fields: tuple[Field, ...] = ()
    address: Callable[[Reader, Secret], str] = lambda _reader, _token: ""
    """What stands as a mail address that cannot be changed."""

    async def show(self, desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
        """Show what the link is about and its form. Raises Denied for a link that is not good."""
        return await self._page(desk, request, visitor, {}, {})

    async def take(self, desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
        """Do what the link is for, and lead to the sign-in."""
        posted = await form_of(request)
        token = Secret(request.match_info["key"])
        await desk.read(lambda reader: self.look(reader, token))
        try:
            await self._perform(desk, token, from_form(self.fields, posted), visitor)
        except GatewayError as error:
            problem = problem_of(error)
            if isinstance(error, Denied):
                raise
            kept = {
                field.name: str(posted.get(field.name, ""))[:256]
                for field in self.fields
                if field.name != "password"
            }
            errors = {problem.field: problem.detail, "": "" if problem.field else problem.detail}
            return await self._page(desk, request, visitor, errors, kept, problem.status)
        return see_other(f"/sign-in?done={self.done}")

    async def take_by_program(
        self, desk: Desk, request: web.Request, visitor: Visitor
    ) -> web.Response:
        """Do the same for a program; the link's secret comes in the body."""
        values = from_json((LINK, *self.fields), await json_body(request))
        token: Secret = values.pop("link")
        await desk.read(lambda reader: self.look(reader, token))
        await self._perform(desk, token, values, visitor)
        return json_answer(DONE.of(None))

    async def _perform(
        self, desk: Desk, token: Secret, values: dict[str, Any], visitor: Visitor
    ) -> None:
        if "password" in values:
            minimum = desk.registry.settings.account_password_min_length
            names.account_password(values["password"].reveal(), minimum)
            typed: Secret = values["password"]
            values["record"] = await desk.registry.hash(lambda: hash_password(typed))
        await desk.registry.write(lambda tx: self._told(tx, token, values, visitor))

    def _told(self, tx: Tx, token: Secret, values: Mapping[str, Any], visitor: Visitor) -> Owner:
        owner = self.act(tx, token, values)
        audit.append(tx, owner.id, visitor.address, self.done, f"owner {owner.id}")
        return owner

    async def _page(
        self,
        desk: Desk,
        request: web.Request,
        visitor: Visitor,
        errors: Mapping[str, str],
        typed: Mapping[str, str],
        status: int = 200,
    ) -> web.Response:
        token = Secret(request.match_info["key"])
        about, address = await desk.read(
            lambda reader: (self.look(reader, token), self.address(reader, token))
        )
        more = {"address": address, "title": self.title, "button": self.button, "about": about,
                "fields": self.fields, "labels": _LABELS, "path": request.path}  # fmt: skip
        return await entry_page(
            desk, request, visitor, "link.html", errors, typed, status, more=more
        )


def _nothing_more(reader: Reader, token: Secret) -> str:
    self_service.sign_up_address(reader, token)
    return ""


def _inviter(reader: Reader, token: Secret) -> str:
    return f"{invitations.by_key(reader, token).inviter_name} invites you to register."


def _account(purpose: Purpose) -> Callable[[Reader, Secret], str]:
    def look(reader: Reader, token: Secret) -> str:
        return f"Account {self_service.account_of(reader, purpose, token).account_name}"

    return look


def _addresses(reader: Reader, token: Secret) -> str:
    old, new = self_service.addresses_of(reader, token)
    return f"The mail address {old or '(none)'} becomes {new}."


SIGN_UP = Link(
    "Sign up", "create account", _nothing_more,
    lambda tx, token, values: self_service.sign_up(
        tx, token, values["account_name"], values["full_name"], values["record"]
    ),
    "account.created", _ACCOUNT, self_service.sign_up_address,
)  # fmt: skip
INVITATION = Link(
    "Sign up by invitation", "create account", _inviter,
    lambda tx, token, values: invitations.accept(
        tx, token, values["account_name"], values["full_name"], values["record"], values["email"]
    ),
    "account.created", (*_ACCOUNT, fields.text("email", required=False)),
)  # fmt: skip
RESET = Link(
    "Choose a new password", "save the password", _account(Purpose.RESET_PASSWORD),
    lambda tx, token, values: self_service.reset_password(tx, token, values["record"]),
    "account.reset", (fields.secret("password", maximum=64),),
)  # fmt: skip
UNLOCK = Link(
    "Unlock your account", "unlock", _account(Purpose.UNLOCK),
    lambda tx, token, _: self_service.unlock(tx, token), "account.unlocked",
)  # fmt: skip
CONFIRM = Link(
    "Confirm your mail address", "apply", _addresses,
    lambda tx, token, _: self_service.confirm_address(tx, token), "account.address",
)  # fmt: skip


# -- asking for a link ---------------------------------------------------------------------------

ANSWERS: Mapping[str, str] = {
    Answer.ON_ITS_WAY: "If there is such an account or address, a message is on its way.",
    Answer.ASK_OPERATOR: "This box sends no mail. Ask its operator for your link.",
}


class Fault(str):
    """An answer that says what was wrong; what was asked stays counted, so it is no error."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Asking:
    """A form that has a link sent."""

    title: str
    button: str
    fields: tuple[Field, ...]
    ask: Callable[[Tx, Mapping[str, Any], str], str]
    registers: bool = False

    async def show(self, desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
        """Show the form; registering leads away while nobody may register."""
        if self.registers and (await desk.read(self_service.registration) is Registration.CLOSED):
            return see_other("/")
        return await self._page(desk, request, visitor, {}, {})

    async def take(self, desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
        """Have the link sent."""
        posted = await form_of(request)
        typed = {field.name: str(posted.get(field.name, ""))[:256] for field in self.fields}
        try:
            values = from_form(self.fields, posted)
            source = source_of(visitor.address)
            answer = await desk.registry.write(lambda tx: self.ask(tx, values, source))
        except GatewayError as error:
            problem = problem_of(error)
            errors = {problem.field: problem.detail, "": "" if problem.field else problem.detail}
            return await self._page(desk, request, visitor, errors, typed, problem.status)
        if isinstance(answer, Fault):
            return await self._page(
                desk, request, visitor, {self.fields[0].name: answer}, typed, 409
            )
        return await self._page(desk, request, visitor, {}, {}, answer=answer)

    async def take_by_program(
        self, desk: Desk, request: web.Request, visitor: Visitor
    ) -> web.Response:
        """Do the same for a program; the answer is the sentence that people read."""
        values = from_json(self.fields, await json_body(request))
        source = source_of(visitor.address)
        answer = await desk.registry.write(lambda tx: self.ask(tx, values, source))
        if isinstance(answer, Fault):
            raise Conflict(answer)
        return json_answer(ANSWER.of(answer))

    async def _page(
        self,
        desk: Desk,
        request: web.Request,
        visitor: Visitor,
        errors: Mapping[str, str],
        typed: Mapping[str, str],
        status: int = 200,
        answer: str = "",
    ) -> web.Response:
        more = {"title": self.title, "button": self.button, "about": "", "fields": self.fields,
                "labels": _LABELS, "path": request.path, "answer": answer,
                "address": ""}  # fmt: skip
        return await entry_page(
            desk, request, visitor, "link.html", errors, typed, status, more=more
        )


def _register(tx: Tx, values: Mapping[str, Any], source: str) -> str:
    if self_service.registration(tx) is Registration.BY_REQUEST:
        invitations.ask_for_account(tx, values["email"], values["message"], source)
        return "The administrator of this box will see your request."
    answer = self_service.ask_to_sign_up(tx, values["email"], source)
    if answer is Answer.ADDRESS_IN_USE:
        return Fault("This mail address belongs to an account already. Log in, or use another.")
    return ANSWERS[answer]


REGISTER = Asking(
    "New user", "send confirmation mail",
    (fields.text("email"), fields.text("message", required=False)), _register, registers=True,
)  # fmt: skip
FORGOT = Asking(
    "Forgot your password?", "send a link", (fields.text("name"),),
    lambda tx, values, source: ANSWERS[
        self_service.ask_for_password(tx, values["name"], source)
    ],
)  # fmt: skip
LOCKED = Asking(
    "Unlock your account", "send a link", (fields.text("name"),),
    lambda tx, values, source: ANSWERS[self_service.ask_to_unlock(tx, values["name"], source)],
)  # fmt: skip
