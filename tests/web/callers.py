"""Who calls the pages and the API in tests: a browser without eyes, a program with a token.

A test that fails closes neither. What runs the server closes them at its end, or they would be
found open, and fail, in the middle of another test.
"""

from __future__ import annotations

import re
from typing import Any

import aiohttp

PASSWORD = "correct horse battery"
_OPEN: list[Browser | Program] = []


async def close_callers() -> None:
    """Close all that are open still."""
    while _OPEN:
        await _OPEN[-1].close()


class Browser:
    """A browser without eyes: cookies, forms with their token, no redirections followed."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        self.csrf = ""
        self.streams: list[aiohttp.ClientResponse] = []
        _OPEN.append(self)

    async def get(self, path: str, **more: Any) -> tuple[int, str, Any]:
        more.setdefault("allow_redirects", False)
        async with self.session.get(self.url + path, **more) as answer:
            text = await answer.text(errors="replace")
            if found := re.search(r'name="csrf" value="([0-9a-f]+)"', text):
                self.csrf = found.group(1)
            return answer.status, text, answer.headers

    async def stream(self, path: str, **more: Any) -> aiohttp.ClientResponse:
        """Return an answer that goes on until it is closed, which closing the browser does too."""
        self.streams.append(await self.session.get(self.url + path, **more))
        return self.streams[-1]

    async def post(self, path: str, data: Any = None, **more: Any) -> tuple[int, str, Any]:
        form = {"csrf": self.csrf, **(data or {})} if not isinstance(data, list) else [
            ("csrf", self.csrf), *data]  # fmt: skip
        async with self.session.post(
            self.url + path, data=form, allow_redirects=False, **more
        ) as answer:
            return answer.status, await answer.text(errors="replace"), answer.headers

    async def sign_in(self, account: str, password: str = PASSWORD) -> None:
        await self.get("/sign-in")
        status, text, _ = await self.post(
            "/sign-in", {"account_name": account, "password": password}
        )
        assert status == 303, text
        await self.get("/account")

    async def claim(self, code: str, account: str = "markus") -> None:
        await self.get("/setup")
        status, text, _ = await self.post(
            "/setup",
            {"code": code, "full_name": "Markus Schmidt", "account_name": account,
             "password": PASSWORD},
        )  # fmt: skip
        assert status == 303, text
        await self.get("/account")

    async def close(self) -> None:
        if self in _OPEN:
            _OPEN.remove(self)
        for answer in self.streams:
            answer.close()
        await self.session.close()


class Program:
    """A program with a token, or with none."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = f"{url}/api/v1"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.session = aiohttp.ClientSession(headers=headers)
        _OPEN.append(self)

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.session.request(method, self.url + path, json=body) as answer:
            if "json" in answer.content_type:
                return answer.status, await answer.json(content_type=None)
            return answer.status, await answer.read()

    async def good(self, method: str, path: str, body: Any = None) -> Any:
        status, found = await self.call(method, path, body)
        assert status < 300, found
        return found

    async def close(self) -> None:
        if self in _OPEN:
            _OPEN.remove(self)
        await self.session.close()
