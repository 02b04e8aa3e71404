"""How `ctl` speaks to the running gateway: one HTTP request, an answer or a sentence."""

from __future__ import annotations

import http.client
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from gateway.base.errors import GatewayError

DEFAULT_URL = "http://127.0.0.1:8080"
URL_VARIABLE = "SOFTNET_GATEWAY_URL"
TOKEN_VARIABLE = "SOFTNET_GATEWAY_TOKEN_FILE"  # noqa: S105  (a name)
TOKEN_FILES = ("var/api.token", "/var/lib/softnet-gateway/api.token")
"""Where the daemon leaves its token: started in a checkout, and installed as a service."""
TIMEOUT = 60.0
"""Seconds; asking a slow camera takes the longest."""
ANSWER_MAX = 32 * 1024 * 1024
"""No answer of the gateway is larger; a snapshot has at most 8 MiB."""

EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_DENIED = 4
EXIT_NOT_FOUND = 5
EXIT_BY_STATUS = {401: EXIT_DENIED, 403: EXIT_DENIED, 404: EXIT_NOT_FOUND}


class CtlFault(GatewayError):
    """What is told to the person at the terminal; `code` is the exit code."""

    def __init__(self, message: str, code: int = EXIT_REFUSED) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Gateway:
    """The running gateway at `url`; `token` is empty where none is needed."""

    url: str
    token: str

    def ask(self, path: str, **query: object) -> Any:
        """Return the answer to a question. Raises CtlFault."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._call("GET", f"{path}?{urlencode(given)}" if given else path, None)

    def tell(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Have something changed; return the answer. Raises CtlFault."""
        return self._call(method, path, body or {})

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        status, kind, octets = self._exchange(method, path, body)
        if "json" not in kind:
            if status < 300:
                return octets
            raise CtlFault(f"The gateway answered with status {status}.", EXIT_REFUSED)
        try:
            document = json.loads(octets)
        except ValueError:
            raise CtlFault("What answered does not speak like the gateway.") from None
        if status < 300:
            return document
        said = document.get("detail") if isinstance(document, dict) else None
        sentence = said or f"The gateway answered with status {status}."
        if status == 401:
            sentence += " Give the daemon's token with --token-file, or run this as its account."
        raise CtlFault(sentence, EXIT_BY_STATUS.get(status, EXIT_REFUSED))

    def _exchange(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> tuple[int, str, bytes]:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CtlFault("Give --url like http://127.0.0.1:8080.", EXIT_USAGE)
        maker = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection = maker(parts.hostname, parts.port, timeout=TIMEOUT)
            try:
                payload = None if body is None else json.dumps(body).encode()
                connection.request(method, f"/api/v1{path}", payload, headers)
                answer = connection.getresponse()
                octets = answer.read(ANSWER_MAX)
                return answer.status, answer.headers.get_content_type(), octets
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CtlFault(
                f"No gateway answers at {self.url} ({error}). Is it running? "
                f"Give its address with --url or {URL_VARIABLE}.",
                EXIT_UNREACHABLE,
            ) from None


def find_token(given: str | None) -> str:
    """Return the token of a file: the one given, else where the daemon leaves it; "" without one.

    Raises CtlFault for a file that was named and cannot be read.
    """
    named = given or os.environ.get(TOKEN_VARIABLE)
    for name in (named,) if named else TOKEN_FILES:
        try:
            return Path(name).read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            if named:
                reason = getattr(error, "strerror", None) or error
                raise CtlFault(
                    f"The token file {name} cannot be read: {reason}.", EXIT_DENIED
                ) from None
    return ""


def read_secret(file: str | None, prompt: str) -> str:
    """Return a password from a file, from standard input for '-', or from the terminal.

    Never from the command line, where every account of the machine could read it.
    """
    import getpass
    import sys

    if file == "-" or (file is None and not sys.stdin.isatty()):
        return sys.stdin.readline().rstrip("\r\n")
    if file is not None:
        try:
            return Path(file).read_text(encoding="utf-8").splitlines()[0]
        except (OSError, ValueError, IndexError) as error:
            reason = getattr(error, "strerror", None) or "it is empty or no text"
            raise CtlFault(f"The file {file} cannot be read: {reason}.", EXIT_USAGE) from None
    return getpass.getpass(f"{prompt}: ")
