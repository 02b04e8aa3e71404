"""The pages of administrators: users, invitations, settings, outbox, audit."""

from __future__ import annotations

import csv
import datetime
import functools
import io
from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.access.operators import Action
from gateway.model.accounts import InvitationState
from gateway.registry import administration, audit, invitations, outbox, owners, server_settings
from gateway.registry.database import Reader
from gateway.web.authority import Kind, Visitor, authorize
from gateway.web.operations_box import list_audit
from gateway.web.operations_contacts import page_keys
from gateway.web.pages_contacts import search_of
from gateway.web.routing import Page, Rendered, View

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.web.desk import Desk

AUDIT_ROWS = 100
CSV_ROWS_MAX = 200_000
"""What a spreadsheet still opens; older rows are had with the filter."""
TOPICS = ("administration",)


async def users(desk: Desk, page: Page) -> Rendered:
    """User management: the search."""
    wanted = search_of(page)
    after, before = page_keys(wanted)
    found = await desk.read(
        lambda reader: administration.search(reader, wanted["q"], after=after, before=before)
    )
    return Rendered("admin_users.html", {"found": found, "wanted": wanted})


async def user(desk: Desk, page: Page) -> Rendered:
    """The page of an account."""
    owner_id = page.call.id(Kind.OWNER)
    found = await desk.read(lambda reader: administration.user_page(reader, owner_id))
    return Rendered("admin_user.html", {"found": found, "owner": found.owner})


async def invitation_list(desk: Desk, page: Page) -> Rendered:
    """Invitations to register, and the accounts that were asked for."""

    def read(reader: Reader) -> Mapping[str, Any]:
        return {
            "lists": [
                (name, words, invitations.list_all(reader, state))
                for name, words, state in (
                    ("valid", "Valid", InvitationState.VALID),
                    ("accepted", "Accepted", InvitationState.ACCEPTED),
                    ("account-gone", "Accepted, account deleted", InvitationState.ACCOUNT_GONE),
                    ("expired", "Expired", InvitationState.EXPIRED),
                )
            ],
            "requests": invitations.requests(reader),
            "chosen": server_settings.load(reader),
        }

    values = {"opened": page.opened(Kind.INVITATION, "open")}
    return Rendered("admin_invitations.html", {**values, **await desk.read(read)}, TOPICS)


async def settings(desk: Desk, page: Page) -> Rendered:
    """Settings: one row for each value."""
    del page
    rows, mode = await desk.read(lambda reader: (server_settings.rows(reader), outbox.mode(reader)))
    return Rendered(
        "admin_settings.html",
        {"rows": rows, "mode": mode, "has_password": desk.mail.has_password()},
    )


async def letters(desk: Desk, page: Page) -> Rendered:
    """The outbox."""
    before = page.number("before") or None
    rows, mode = await desk.read(
        lambda reader: (outbox.list_all(reader, before_id=before), outbox.mode(reader))
    )
    values = {"rows": rows, "mode": mode, "open_code": page.number("qr")}
    return Rendered("admin_outbox.html", values, TOPICS)


# -- audit ---------------------------------------------------------------------------------------


def _day(text: str, *, following: bool = False) -> int | None:
    try:
        day = datetime.date.fromisoformat(text)
        day += datetime.timedelta(days=1 if following else 0)
    except (ValueError, OverflowError):
        return None
    moment = datetime.datetime.combine(day, datetime.time(), datetime.UTC)
    return max(0, int(moment.timestamp()))


def _filter(query: Mapping[str, str]) -> dict[str, Any]:
    """Return the filter of an address, as typed and as the registry takes it."""
    actor = query.get("actor_id", "")
    return {
        "object": query.get("object", "")[:256],
        "action": query.get("action", "")[:64],
        "outcome": query.get("outcome", "")[:32],
        "text": query.get("text", "")[:256],
        "actor_id": int(actor) if actor.isascii() and actor.isdigit() and len(actor) < 19 else 0,
        "since": _day(query.get("from", "")),
        "until": _day(query.get("to", ""), following=True),
    }


async def audit_list(desk: Desk, page: Page) -> Rendered:
    """What was done, newest first."""
    chosen = _filter(page.query)
    before = page.number("before")
    asked = {"limit": AUDIT_ROWS + 1, "before": before, **chosen}

    def read(reader: Reader) -> tuple[Any, ...]:
        named = {owner.id: owner.full_name for owner in owners.list_all(reader)}
        chain = audit.verify(reader) if page.query.get("check") else None
        return list_audit(reader, asked), named, audit.actions(reader), chain

    rows, named, actions, chain = await desk.read(read)
    names = ("action", "object", "outcome", "text", "actor_id", "from", "to")
    address = {name: page.query[name][:256] for name in names if page.query.get(name)}
    return Rendered(
        "audit.html",
        {
            "rows": rows[:AUDIT_ROWS],
            "more": len(rows) > AUDIT_ROWS,
            "owners": named,
            "actions": actions,
            "chain": chain,
            "wanted": chosen,
            "address": address,
        },
        () if before else ("audit",),
    )


async def audit_csv(desk: Desk, request: web.Request, visitor: Visitor) -> web.StreamResponse:
    """Answer with the rows of the filter for a spreadsheet, newest first."""

    def first(reader: Reader) -> dict[int, str]:
        authorize(reader, visitor, Action.VIEW_AUDIT, Kind.NONE, changes=False)
        return {owner.id: owner.full_name for owner in owners.list_all(reader)}

    named = await desk.read(first)
    chosen = _filter(request.query)
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": 'attachment; filename="audit.csv"',
        }
    )
    await response.prepare(request)
    before, told = 2**62, 0
    header = [audit.CSV_HEADER]
    while told < CSV_ROWS_MAX:
        asked = {"limit": audit.PAGE_MAX, **chosen, "before": before}
        rows = await desk.read(functools.partial(list_audit, values=asked))
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerows(header)
        header = []
        for row in rows:
            at = datetime.datetime.fromtimestamp(row.at, datetime.UTC).isoformat()
            writer.writerow(audit.csv_row(row, at, named.get(row.actor_id or 0, "")))
        await response.write(text.getvalue().encode())
        if len(rows) < audit.PAGE_MAX:
            break
        told, before = told + len(rows), rows[-1].id
    return response


USERS = View(Action.MANAGE_OWNERS, Kind.NONE, users)
USER = View(Action.MANAGE_OWNERS, Kind.OWNER, user)
INVITATIONS = View(Action.MANAGE_SERVER, Kind.NONE, invitation_list)
SETTINGS = View(Action.MANAGE_SERVER, Kind.NONE, settings)
OUTBOX = View(Action.MANAGE_SERVER, Kind.NONE, letters)
AUDIT = View(Action.VIEW_AUDIT, Kind.NONE, audit_list)
