"""From a view's values to a page: templates, times in words, codes to scan, static files."""

from __future__ import annotations

import datetime
import hashlib
import io
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jinja2
from aiohttp import web
from markupsafe import Markup

from gateway import __version__
from gateway.access.operators import Action, Relation, Standing
from gateway.base.clock import Clock
from gateway.model.kinds import ContactStatus, GuestSupport, SiteKind, UserKind
from gateway.web.authority import Visitor
from gateway.web.problems import Problem
from gateway.web.routing import Credentials, Page, Rendered

STATIC_TYPES = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "txt": "text/plain",
}
NAME_SHOWN = 24
"""Characters of a contact's name shown in a list (04 section 2.1)."""


class StaticFile:
    """A file beside the templates, held in memory; its address carries its checksum."""

    def __init__(self, name: str, octets: bytes) -> None:
        self.octets = octets
        self.content_type = STATIC_TYPES[name.rpartition(".")[2]]
        self.stamp = hashlib.sha256(octets).hexdigest()[:12]


class Renderer:
    """Renders pages; every text is escaped unless it is marked as made here."""

    def __init__(self, clock: Clock, machine_name: str) -> None:
        self._clock = clock
        self.machine_name = machine_name
        self.management_url = ""
        """How links call these pages; "" while nobody has said so: as the visitor does."""
        here = resources.files("gateway.web")
        self.static = {
            entry.name: StaticFile(entry.name, entry.read_bytes())
            for entry in here.joinpath("static").iterdir()
            if entry.name.rpartition(".")[2] in STATIC_TYPES
        }
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("gateway.web"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters.update(
            ago=self._ago, when=_when, iso=_iso, octets=_octets, cut=_cut, duration=_duration
        )
        self._templates.globals.update(
            static=self._static,
            version=__version__,
            Action=Action,
            Relation=Relation,
            Standing=Standing,
            UserKind=UserKind,
            SiteKind=SiteKind,
            GuestSupport=GuestSupport,
            ContactStatus=ContactStatus,
            qr=_qr,
            qr_of=_qr_of,
        )

    def origin(self, request: web.Request) -> str:
        """Return how links call these pages, without a slash at the end."""
        return self.management_url or f"{request.scheme}://{request.host}"

    def page(self, rendered: Rendered, page: Page, status: int = 200) -> web.Response:
        """Return a page of a view."""
        request = page.request
        values = {
            "page": page,
            "notice": page.notice,
            "origin": self.origin(request),
            "visitor": page.call.visitor,
            "topics": rendered.topics if page.request.method == "GET" else (),
            "since": page.since,
            "csrf": page.call.visitor.csrf,
            "here": page.request.path,
            "done": page.request.query.get("done", ""),
            **rendered.values,
        }
        return self._html(rendered.template, values, status)

    def plain_page(
        self, template: str, values: Mapping[str, Any], *, visitor: Visitor, status: int = 200
    ) -> web.Response:
        """Return a page that is no view: signing in, setting up, an error."""
        base = {
            "visitor": visitor, "topics": (), "since": 0, "notice": "", "csrf": visitor.csrf,
            "here": "", "done": "",
        }  # fmt: skip
        return self._html(template, {**base, **values}, status)

    def problem_page(self, problem: Problem, visitor: Visitor) -> web.Response:
        """Return an error for people."""
        return self.plain_page(
            "problem.html", {"problem": problem}, visitor=visitor, status=problem.status
        )

    def _html(self, template: str, values: Mapping[str, Any], status: int) -> web.Response:
        text = self._templates.get_template(template).render(values)
        return web.Response(text=text, content_type="text/html", status=status)

    def _static(self, name: str) -> str:
        return f"/static/{name}?v={self.static[name].stamp}"

    def _ago(self, at: float | None) -> str:
        if at is None:
            return "never"
        seconds = int(self._clock.wall() - at)
        if seconds < 5:
            return "just now"
        return f"{_duration(seconds)} ago"


def _duration(seconds: float) -> str:
    seconds = max(0, int(seconds))
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


def _when(at: float) -> str:
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _iso(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat()


def _octets(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _cut(text: str | None) -> str:
    text = text or ""
    return text if len(text) <= NAME_SHOWN else text[:NAME_SHOWN] + "..."


def _qr(shown: Credentials) -> Markup:
    """Return URI and password as a code to scan."""
    return _qr_of(f"{shown.uri}\npassword: {shown.password.reveal()}")


def _qr_of(text: str) -> Markup:
    """Return a text as a code to scan, drawn as SVG without style attributes."""
    import segno  # some megabytes that most gateways need once a month

    code = segno.make(text, error="m", micro=False)
    out = io.BytesIO()
    code.save(
        out, kind="svg", xmldecl=False, svgns=True, border=4, dark="#000", light="#fff",
        omitsize=True, svgclass="qr", lineclass=None,
    )  # fmt: skip
    return Markup(out.getvalue().decode())  # noqa: S704  (segno's own drawing, no input in it)
