"""Port 80: the camera's own web pages for an Administrator, request by request.

The gateway logs in, so a page of somebody else in the same browser must not be able to ride on
that: requests of foreign origins are refused, and so are foreign host names (DNS rebinding).
Cookies carry the camera's number in their names, because browsers keep those of all ports of one
host together. Page contents are not rewritten.
"""

from __future__ import annotations

import asyncio
import io
import ipaddress
import ssl
from collections.abc import Iterator
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from gateway.base.errors import NotFound
from gateway.cameras.http.serve import sentence
from gateway.cameras.live import LiveCamera
from gateway.driverkit.digest import ChallengeOutcome, LoginAnswerer
from gateway.driverkit.driver import WebTarget
from gateway.driverkit.errors import CredentialsRefused, Misbehaved, Unreachable, Unsupported

BODY_MAX = 4 * 1024 * 1024
"""Octets of a request; it is kept because a login may ask for it twice. Firmware is not sent so."""
HEADER_MAX = 16 * 1024
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
LOGIN_TRIES = 3
CHUNK = 64 * 1024

_HOP_BY_HOP = frozenset(
    "connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer "
    "transfer-encoding upgrade".split()
)
_NOT_TO_CAMERA = _HOP_BY_HOP | frozenset(
    "host authorization cookie content-length origin referer forwarded x-forwarded-for "
    "x-forwarded-host x-forwarded-proto x-real-ip expect".split()
)
_NOT_TO_CLIENT = _HOP_BY_HOP | frozenset(
    "www-authenticate authentication-info set-cookie location content-location content-length "
    "strict-transport-security alt-svc refresh clear-site-data public-key-pins".split()
)
_LOCAL_NAMES = ("localhost", "local", "lan", "internal", "home.arpa", "fritz.box")


class WebProxy:
    """The pages of one camera for one client's connection. Close it when done."""

    def __init__(self, camera: LiveCamera) -> None:
        self._camera = camera
        self._login: LoginAnswerer | None = camera.login()
        self._target: WebTarget | None = None
        self._session: aiohttp.ClientSession | None = None
        self._prefix = f"cam{camera.device.id}."

    async def close(self) -> None:
        """Close the connections to the camera."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Carry one request to the camera and its answer back. Raises the device errors."""
        refusal = _refused(request)
        if refusal is not None:
            return refusal
        if barred := self._camera.barred():
            raise Unreachable(barred)
        if self._target is None:
            self._target = self._camera.web()
        if self._target is None:
            raise NotFound("This camera has no web pages that the gateway knows of.")
        body = await _body(request)
        if body is None:
            return sentence(413, f"More than {BODY_MAX} octets cannot be sent to a camera.")
        try:
            return await self._exchange(request, self._target, body)
        except TimeoutError:
            raise Unreachable("The camera took too long to answer over HTTP.") from None
        except aiohttp.ClientConnectionError:
            raise Unreachable("The camera does not answer over HTTP.") from None
        except (aiohttp.ClientError, ValueError):
            raise Misbehaved("The camera's answer is not proper HTTP.") from None

    async def _exchange(
        self, request: web.BaseRequest, target: WebTarget, body: bytes
    ) -> web.StreamResponse:
        url = _url(target, request.raw_path)
        headers = self._to_camera(request, url)
        for _ in range(LOGIN_TRIES):
            login = None
            if self._login is not None:
                login = self._login.authorization(request.method, url.raw_path_qs)
            headers.popall("Authorization", None)
            if login is not None:
                headers["Authorization"] = login
            # aiohttp sends a file object piece by piece, and octets in one go.
            sent = io.BytesIO(body) if body else None
            async with asyncio.timeout(self._camera.settings.answer_seconds):
                answer = await self._open_session().request(
                    request.method, url, data=sent, headers=headers, allow_redirects=False
                )
            async with answer:
                if answer.status != 401:
                    if self._login is not None:
                        self._login.accepted()
                    return await self._pass_on(request, answer, target)
                challenges = answer.headers.getall("WWW-Authenticate", [])
            self._challenged(challenges, answered=login is not None)
        raise self._refused_login()

    def _challenged(self, challenges: list[str], *, answered: bool) -> None:
        if self._login is None:
            raise self._refused_login()
        outcome = self._login.challenged(challenges, answered=answered)
        if outcome is ChallengeOutcome.UNSUPPORTED:
            raise Unsupported("The camera's pages ask for a kind of login that is not known here.")
        if outcome is ChallengeOutcome.REFUSED:
            raise self._refused_login()

    def _refused_login(self) -> CredentialsRefused:
        return CredentialsRefused("The camera refused the login that the gateway has for it.")

    def _to_camera(self, request: web.BaseRequest, url: URL) -> CIMultiDict[str]:
        headers: CIMultiDict[str] = CIMultiDict()
        named = _named_by_connection(request.headers.getall("Connection", []))
        for name, value in request.headers.items():
            if name.lower() not in _NOT_TO_CAMERA and name.lower() not in named:
                headers.add(name, value)
        cookies = [
            pair[len(self._prefix) :]
            for pair in (part.strip() for part in request.headers.get("Cookie", "").split(";"))
            if pair.startswith(self._prefix)
        ]
        if cookies:
            headers["Cookie"] = "; ".join(cookies)
        # Cameras that check where a request comes from expect themselves there.
        origin = str(url.origin())
        if "Origin" in request.headers:
            headers["Origin"] = origin
        if "Referer" in request.headers:
            try:
                parts = urlsplit(request.headers["Referer"])
                headers["Referer"] = origin + (parts.path or "/")
            except ValueError:
                pass
        return headers

    async def _pass_on(
        self, request: web.BaseRequest, answer: aiohttp.ClientResponse, target: WebTarget
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status)
        named = _named_by_connection(answer.headers.getall("Connection", []))
        for name, value in answer.headers.items():
            if name.lower() not in _NOT_TO_CLIENT and name.lower() not in named:
                response.headers.add(name, value)
        response.headers["Server"] = "Softnet Camera Gateway"
        response.headers["Cache-Control"] = "no-store"
        for cookie in self._cookies(answer):
            response.headers.add("Set-Cookie", cookie)
        place = answer.headers.get("Location")
        if place is not None:
            response.headers["Location"] = self._redirected(place, target, answer.url)
        has_body = request.method != "HEAD" and answer.status not in (204, 304)
        if answer.content_length is not None and has_body:
            response.content_length = answer.content_length
        await response.prepare(request)
        if has_body:
            # write() waits for the client: a slow one slows the camera, nothing piles up here.
            silence = self._camera.settings.silence_seconds
            while True:
                async with asyncio.timeout(silence):
                    chunk = await answer.content.read(CHUNK)
                if not chunk:
                    break
                await response.write(chunk)
        await response.write_eof()
        return response

    def _cookies(self, answer: aiohttp.ClientResponse) -> Iterator[str]:
        for value in answer.headers.getall("Set-Cookie", []):
            try:
                parsed = SimpleCookie(value)
            except CookieError:
                continue
            for name, morsel in parsed.items():
                kept = [f"{self._prefix}{name}={morsel.coded_value}"]
                kept += [
                    f"{key}={morsel[key]}" for key in ("path", "max-age", "expires") if morsel[key]
                ]
                # No page outside may make the browser send it.
                yield "; ".join([*kept, "HttpOnly", "SameSite=Strict"])

    def _redirected(self, place: str, target: WebTarget, url: URL) -> str:
        """Return the place as a path; the camera's own TLS port becomes the target from now on."""
        fresh = url.join(URL(place))
        if fresh.host != url.host or fresh.scheme not in ("http", "https") or fresh.port is None:
            raise Misbehaved("The camera sends us to another host; the gateway does not follow.")
        if (fresh.scheme == "https", fresh.port) != (target.tls, target.port):
            self._target = WebTarget(target.host, fresh.port, tls=fresh.scheme == "https")
        fragment = f"#{fresh.raw_fragment}" if fresh.raw_fragment else ""
        return fresh.raw_path_qs + fragment

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Cameras certify themselves: encryption without a name to check is what they offer.
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=2, ssl=context),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=self._camera.settings.connect_seconds
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                max_line_size=HEADER_MAX,
                max_field_size=HEADER_MAX,
                skip_auto_headers=("User-Agent", "Content-Type", "Accept-Encoding", "Accept"),
            )
        return self._session


def _url(target: WebTarget, path: str) -> URL:
    host = f"[{target.host}]" if ":" in target.host else target.host
    scheme = "https" if target.tls else "http"
    return URL(f"{scheme}://{host}:{target.port}{path}", encoded=True)


def _refused(request: web.BaseRequest) -> web.Response | None:
    """Return the answer to a request that must not reach a camera, or None."""
    if request.method not in METHODS or not request.raw_path.startswith("/"):
        return sentence(405, "Ask for a path of this camera.")
    if any(ord(each) <= 0x20 or ord(each) >= 0x7F for each in request.raw_path):
        return sentence(400, "The path holds characters that do not belong there.")
    if "Upgrade" in request.headers:
        return sentence(501, "Only plain HTTP goes through this port.")
    host = request.headers.get("Host", "")
    if not _is_local_name(host):
        return sentence(421, "Open the camera's pages by an IP address or as localhost.")
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != host:
        return sentence(403, "Another page may not use this camera.")
    # Cameras change settings on GET as well, so a link on a foreign page is no way in either.
    site = request.headers.get("Sec-Fetch-Site", "none")
    walks_in = request.headers.get("Sec-Fetch-Mode") == "navigate" and request.method == "GET"
    if site not in ("none", "same-origin") and not (site == "same-site" and walks_in):
        return sentence(403, "Another page may not use this camera.")
    return None


def _is_local_name(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        labels = name.rstrip(".")
        is_plain = bool(labels) and "." not in labels
        return is_plain or labels.endswith(tuple(f".{each}" for each in _LOCAL_NAMES))
    return True


def _named_by_connection(values: list[str]) -> frozenset[str]:
    return frozenset(word.strip().lower() for value in values for word in value.split(","))


async def _body(request: web.BaseRequest) -> bytes | None:
    """Return the request's body, or None when it is too large."""
    if request.content_length is not None and request.content_length > BODY_MAX:
        return None
    body = bytearray()
    async for chunk in request.content.iter_chunked(CHUNK):
        body += chunk
        if len(body) > BODY_MAX:
            return None
    return bytes(body)
