"""Guest Clients by EMail: the pages of people without an account (guide 11.1.2, 12.2).

The forms are bound to the browser like those of the sign-in; a link that is not good is refused
with its reason.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.base.errors import Denied, GatewayError
from gateway.base.secret import Secret
from gateway.registry import guest_mail, guests
from gateway.registry.database import Reader
from gateway.registry.guests import GuestSite
from gateway.web import operations_guests as ops
from gateway.web.answers import form_of, see_other
from gateway.web.entry import entry_page
from gateway.web.entry_links import ANSWERS, LINK
from gateway.web.fields import from_form
from gateway.web.operations_contacts import panel_view
from gateway.web.operations_people import client_row
from gateway.web.problems import problem_of
from gateway.web.routing import Call, Operation

if TYPE_CHECKING:
    from gateway.web.authority import Visitor
    from gateway.web.desk import Desk

Values = Mapping[str, Any]
Make = Callable[["Desk", web.Request, "Visitor"], Awaitable[tuple[str, dict[str, Any]]]]


def _link(request: web.Request) -> Secret:
    return Secret(request.match_info["key"])


def _call(desk: Desk, request: web.Request, visitor: Visitor, values: Values) -> Call:
    return desk.call(
        request, visitor, {"link": Secret(request.match_info.get("key", "")), **values}
    )


async def _show(
    desk: Desk, request: web.Request, visitor: Visitor, make: Make, status: int = 200, **more: Any
) -> web.Response:
    template, values = await make(desk, request, visitor)
    base = {
        "here": request.path,
        "path": request.path,
        "offered": await desk.read(guest_mail.offered),
        "shown": None,
    }
    errors, typed = more.pop("errors", {}), more.pop("typed", {})
    return await entry_page(
        desk, request, visitor, template, errors, typed, status, more={**base, **values, **more}
    )


async def _do(
    desk: Desk, request: web.Request, visitor: Visitor, operation: Operation, make: Make
) -> tuple[Any, web.Response | None]:
    """Perform what a form asks for; return its result, or the page that says what was wrong."""
    posted = await form_of(request)
    taken = tuple(field for field in operation.fields if field is not LINK)
    typed = {field.name: str(posted.get(field.name, ""))[:256] for field in taken}
    try:
        values = from_form(taken, posted)
        return await desk.perform(operation, _call(desk, request, visitor, values)), None
    except GatewayError as error:
        if isinstance(error, Denied):
            raise
        problem = problem_of(error)
        errors = {problem.field: problem.detail}
        if problem.field not in typed:
            errors[""] = problem.detail
        page = await _show(desk, request, visitor, make, problem.status, errors=errors, typed=typed)
        return None, page


# -- asking for a link ---------------------------------------------------------------------------


async def _asking_to_create(
    desk: Desk, request: web.Request, visitor: Visitor
) -> tuple[str, dict[str, Any]]:
    del visitor
    key = request.query.get("site", "")
    if request.method == "POST":
        key = str((await form_of(request)).get("site_key", ""))
    site = await desk.read(lambda reader: guests.guest_page(reader, key))
    return "guest_ask.html", {"site": site, "title": "New guest client"}


async def _asking_to_browse(
    desk: Desk, request: web.Request, visitor: Visitor
) -> tuple[str, dict[str, Any]]:
    del desk, request, visitor
    return "guest_ask.html", {"site": None, "title": "Guest Clients by EMail"}


async def show_ask(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Show the mail box that asks for a creating link."""
    return await _show(desk, request, visitor, _asking_to_create)


async def ask(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Have a creating link sent."""
    asked, fault = await _do(desk, request, visitor, ops.ASK_TO_CREATE, _asking_to_create)
    return fault or await _show(
        desk, request, visitor, _asking_to_create, answer=ANSWERS[asked.outcome]
    )


async def show_browse_ask(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Show the mail box that asks for a browsing link."""
    return await _show(desk, request, visitor, _asking_to_browse)


async def browse_ask(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Have a browsing link sent."""
    asked, fault = await _do(desk, request, visitor, ops.ASK_TO_BROWSE, _asking_to_browse)
    return fault or await _show(
        desk, request, visitor, _asking_to_browse, answer=ANSWERS[asked.outcome]
    )


# -- creating ------------------------------------------------------------------------------------


async def _creating(
    desk: Desk, request: web.Request, visitor: Visitor
) -> tuple[str, dict[str, Any]]:
    link = _link(request)

    def read(reader: Reader) -> tuple[GuestSite, str]:
        return guest_mail.creation_form(reader, link)

    site, email = await desk.read(read)
    view = panel_view(desk, _call(desk, request, visitor, {}), site.panel)
    return "guest_create.html", {"site": site, "view": view, "email": email}


async def show_create(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """NEW GUEST CLIENT BY an address: the site and one button. Raises Denied."""
    return await _show(desk, request, visitor, _creating)


async def create(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Create the client and show its URI and password once. Raises Denied."""
    template, values = await _creating(desk, request, visitor)

    async def kept(*_: object) -> tuple[str, dict[str, Any]]:
        # The link is used up now: the page cannot be read by it again.
        return template, values

    shown, fault = await _do(desk, request, visitor, ops.CREATE, kept)
    return fault or await _show(desk, request, visitor, kept, shown=shown)


# -- browsing ------------------------------------------------------------------------------------


async def _browsing(
    desk: Desk, request: web.Request, visitor: Visitor
) -> tuple[str, dict[str, Any]]:
    found = await desk.perform(ops.LIST, _call(desk, request, visitor, {}))
    given = request.match_info.get("domain", "0")
    domain_id = int(given)
    entries = [one for one in found.entries if one.site.domain.id == domain_id]
    places = {one.site.domain.id: one.site for one in found.entries}
    counts = {
        number: sum(len(one.site.clients) for one in found.entries if one.site.domain.id == number)
        for number in places
    }
    opened = request.query.get("open", "")
    return "guest_browse.html", {
        "email": found.email,
        "entries": entries,
        "places": places,
        "counts": counts,
        "domain_id": domain_id,
        "base": f"/guest/browse/{request.match_info['key']}",
        "opened": int(opened) if opened.isascii() and opened.isdigit() and len(opened) < 19 else 0,
    }


async def browse(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Show the owners and domains, or one domain, that hold an address' clients. Raises Denied."""
    return await _show(desk, request, visitor, _browsing)


async def edit_ask(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Have the link sent that edits one client. Raises Denied."""
    asked, fault = await _do(desk, request, visitor, ops.ASK_TO_EDIT, _browsing)
    return fault or await _show(desk, request, visitor, _browsing, answer=ANSWERS[asked.outcome])


async def another(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Have the link sent that creates another client. Raises Denied."""
    asked, fault = await _do(desk, request, visitor, ops.ASK_FOR_ANOTHER, _browsing)
    return fault or await _show(desk, request, visitor, _browsing, answer=ANSWERS[asked.outcome])


# -- editing -------------------------------------------------------------------------------------


async def _editing(
    desk: Desk, request: web.Request, visitor: Visitor
) -> tuple[str, dict[str, Any]]:
    link = _link(request)
    client = await desk.read(lambda reader: guest_mail.edited(reader, link))
    return "guest_edit.html", {
        "client": client,
        "row": client_row(desk, _call(desk, request, visitor, {}), client),
        "base": f"/guest/edit/{request.match_info['key']}",
        "tab": "ping" if request.path.endswith("/ping-period") else request.query.get("tab", ""),
    }


async def show_edit(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Show the editor of one client. Raises Denied."""
    return await _show(desk, request, visitor, _editing)


async def password(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Give the client another password and show it once. Raises Denied."""
    shown, fault = await _do(desk, request, visitor, ops.PASSWORD, _editing)
    return fault or await _show(desk, request, visitor, _editing, shown=shown)


async def ping_period(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Set the client's ping period. Raises Denied."""
    _, fault = await _do(desk, request, visitor, ops.PING, _editing)
    return fault or see_other(f"/guest/edit/{request.match_info['key']}?tab=ping&done=saved")


async def delete(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Delete the client. Raises Denied."""
    _, fault = await _do(desk, request, visitor, ops.DELETE, _editing)
    return fault or see_other("/guest/browse?done=client.delete")
