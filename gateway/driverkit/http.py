"""HTTP to one device, through aiohttp: login, caps, time limits, and one address only.

The device's address is pinned: a name is never looked up, a redirect is followed only to the same
host, and what the address policy forbids is refused before anything is sent.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from gateway.base.entropy import Entropy
from gateway.base.errors import InvalidInput
from gateway.driverkit.addresses import AddressPolicy
from gateway.driverkit.digest import CameraCredentials, ChallengeOutcome, LoginAnswerer
from gateway.driverkit.errors import CredentialsRefused, Misbehaved, Unreachable, Unsupported

CONNECT_SECONDS = 5.0
"""A camera on the same LAN answers a connect in milliseconds; five seconds cover a weak Wi-Fi."""

BODY_MAX = 2 * 1024 * 1024
"""Octets of an answer unless the caller allows more: device descriptions are under 100 KiB."""

REDIRECTS_MAX = 3
"""Redirects on the same host: http to https, then to a start page."""

CHUNK = 64 * 1024

HEADER_LINE_MAX = 16 * 1024
"""Octets of one header line or field of a device's answer."""

_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A whole answer. Status is never 401; every other status is the caller's to judge."""

    status: int
    content_type: str
    body: bytes = field(repr=False)
    headers: CIMultiDictProxy[str] = field(repr=False)


class HttpAccess:
    """HTTP requests to one pinned address with one login, one at a time. Close it when done."""

    def __init__(
        self,
        address: str,
        *,
        credentials: CameraCredentials | None,
        policy: AddressPolicy,
        entropy: Entropy,
    ) -> None:
        policy.check(address)
        self.address = address
        self._login = None if credentials is None else LoginAnswerer(credentials, entropy=entropy)
        self._refused = False
        self._session: aiohttp.ClientSession | None = None
        # One request at a time: a login is one conversation, and small cameras like it so.
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def get(
        self,
        path: str,
        *,
        port: int = 80,
        tls: bool = False,
        max_octets: int = BODY_MAX,
        timeout_s: float = 10.0,
    ) -> HttpReply:
        """GET a path (with its query). Raises the device errors; InvalidInput for a bad path."""
        return await self.request(
            "GET", path, port=port, tls=tls, max_octets=max_octets, timeout_s=timeout_s
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        port: int = 80,
        tls: bool = False,
        body: bytes | None = None,
        content_type: str = "",
        max_octets: int = BODY_MAX,
        timeout_s: float = 10.0,
    ) -> HttpReply:
        """Send one request; logs in and follows same-host redirects within the time limit.

        Raises Unreachable, CredentialsRefused, Unsupported (a login we cannot do), Misbehaved
        (too large, not HTTP, redirect to elsewhere).
        """
        url = self._url(path, port, tls)
        try:
            async with asyncio.timeout(timeout_s), self._turn:
                return await self._follow(method, url, body, content_type, max_octets)
        except TimeoutError:
            raise Unreachable("The camera took too long to answer over HTTP.") from None
        except aiohttp.ClientConnectionError:
            raise Unreachable("The camera does not answer over HTTP.") from None
        except (aiohttp.ClientError, ValueError):
            raise Misbehaved("The camera's answer is not proper HTTP.") from None
        except OSError:
            raise Unreachable("The camera cannot be reached over HTTP.") from None

    async def close(self) -> None:
        """Close the connections; safe more than once."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _url(self, path: str, port: int, tls: bool) -> URL:
        if not path.startswith("/") or any(ord(each) <= 0x20 or ord(each) == 0x7F for each in path):
            raise InvalidInput("An HTTP path begins with / and holds no spaces.", "path")
        if not 0 < port < 65536:
            raise InvalidInput("A port is a number from 1 to 65535.", "port")
        scheme = "https" if tls else "http"
        bare = f"[{self.address}]" if ":" in self.address else self.address
        return URL(f"{scheme}://{bare}:{port}{path}", encoded=True)

    async def _follow(
        self, method: str, url: URL, body: bytes | None, content_type: str, max_octets: int
    ) -> HttpReply:
        for _ in range(REDIRECTS_MAX + 1):
            reply = await self._with_login(method, url, body, content_type, max_octets)
            place = reply.headers.get("Location")
            if reply.status not in _REDIRECTS or not place:
                return reply
            url = self._redirected(url, place)
            if reply.status == 303:
                method, body = "GET", None
        raise Misbehaved("The camera sends us from page to page without end.")

    def _redirected(self, url: URL, place: str) -> URL:
        try:
            fresh = url.join(URL(place))
        except ValueError:
            raise Misbehaved("The camera sends us to a malformed address.") from None
        if fresh.host != url.host or fresh.scheme not in ("http", "https"):
            raise Misbehaved("The camera sends us to another host; we do not follow.")
        if url.scheme == "https" and fresh.scheme != "https":
            raise Misbehaved("The camera sends us from a secured to an open page.")
        return fresh

    async def _with_login(
        self, method: str, url: URL, body: bytes | None, content_type: str, max_octets: int
    ) -> HttpReply:
        if self._refused:
            raise CredentialsRefused("The camera refused this user name and password.")
        # Two tries suffice for a fresh login, a third for a nonce that has just gone stale.
        for _ in range(3):
            headers = {"Content-Type": content_type} if content_type else {}
            authorization = None
            if self._login is not None:
                authorization = self._login.authorization(method, url.raw_path_qs)
            if authorization is not None:
                headers["Authorization"] = authorization
            reply = await self._exchange(method, url, body, headers, max_octets)
            if reply.status != 401:
                if self._login is not None:
                    self._login.accepted()
                return reply
            if self._login is None:
                raise CredentialsRefused("The camera asks for a user name and password.")
            outcome = self._login.challenged(
                reply.headers.getall("WWW-Authenticate", []), answered=authorization is not None
            )
            if outcome is ChallengeOutcome.UNSUPPORTED:
                raise Unsupported("The camera asks for a kind of login that we do not know.")
            if outcome is ChallengeOutcome.REFUSED:
                break
        self._refused = True
        raise CredentialsRefused("The camera refused this user name and password.")

    async def _exchange(
        self, method: str, url: URL, body: bytes | None, headers: dict[str, str], max_octets: int
    ) -> HttpReply:
        session = self._open_session()
        if "%" in self.address:
            # A scope means something on this machine only (RFC 6874 section 4).
            headers["Host"] = f"[{self.address.partition('%')[0]}]:{url.port}"
        async with session.request(
            method, url, data=body, headers=headers, allow_redirects=False
        ) as answer:
            if answer.content_length is not None and answer.content_length > max_octets:
                raise Misbehaved(f"The camera's answer is larger than {max_octets} octets.")
            parts = bytearray()
            async for chunk in answer.content.iter_chunked(CHUNK):
                parts += chunk
                if len(parts) > max_octets:
                    raise Misbehaved(f"The camera's answer is larger than {max_octets} octets.")
            return HttpReply(answer.status, answer.content_type, bytes(parts), answer.headers)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Cameras certify themselves: encryption without a name to check is what they offer.
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=4, ssl=context, use_dns_cache=False),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                max_line_size=HEADER_LINE_MAX,
                max_field_size=HEADER_LINE_MAX,
            )
        return self._session
