"""Service and client URIs (01 section 1.1)."""

from __future__ import annotations

import ipaddress
import re
import uuid
from dataclasses import dataclass

from gateway.base.errors import InvalidInput
from gateway.model.kinds import ClientCategory

_SCHEMES = {
    ClientCategory.SINGLE_SERVICE: "softnet-s",
    ClientCategory.MULTI_SERVICE: "softnet-m",
    ClientCategory.SINGLE_SERVICE_STATELESS: "softnet-ss",
    ClientCategory.MULTI_SERVICE_STATELESS: "softnet-ms",
}
_CATEGORIES = {scheme: category for category, scheme in _SCHEMES.items()}
_SERVICE_SCHEME = "softnet-srv"
_FORM = re.compile(r"([A-Za-z-]+)://([^@/?#\s]*)@([^/?#\s:]*)(?::\d*)?(?:[/?#]\S*)?\Z")
_SERVER = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\Z")
_KEY = re.compile(r"[A-Za-z0-9]{4,64}\Z")
_URI_MAX = 1024


@dataclass(frozen=True, slots=True)
class ServiceUri:
    """`softnet-srv://<uid>@<server>`."""

    uid: bytes
    server: str

    def __str__(self) -> str:
        return f"{_SERVICE_SCHEME}://{uuid.UUID(bytes=self.uid)}@{self.server}"


@dataclass(frozen=True, slots=True)
class ClientUri:
    """`softnet-s|m|ss|ms://<key>@<server>`."""

    category: ClientCategory
    key: str
    server: str

    def __str__(self) -> str:
        return f"{_SCHEMES[self.category]}://{self.key}@{self.server}"


def _split(text: str) -> tuple[str, str, str]:
    found = _FORM.match(text.strip()) if len(text) <= _URI_MAX else None
    if found is None:
        raise InvalidInput(
            "This is not a Softnet URI. It looks like softnet-m://key@server.", "uri"
        )
    scheme, account, server = found.groups()
    if not _SERVER.match(server) or ".." in server:
        raise InvalidInput(
            "The server part of the URI must be a host name or an IPv4 address.", "uri"
        )
    if re.fullmatch(r"[\d.]+", server) and not _is_ipv4(server):
        raise InvalidInput(f"{server} is not a complete IPv4 address.", "uri")
    return scheme, account, server


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def parse_service_uri(text: str) -> ServiceUri:
    """Return the parts of a service URI; raise InvalidInput with what is wrong."""
    scheme, account, server = _split(text)
    if scheme != _SERVICE_SCHEME:
        raise InvalidInput(f"A service URI begins with {_SERVICE_SCHEME}://.", "uri")
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", account):
        raise InvalidInput("The service UID in the URI is not complete.", "uri")
    return ServiceUri(uuid.UUID(account).bytes, server)


def parse_client_uri(text: str) -> ClientUri:
    """Return the parts of a client URI; raise InvalidInput with what is wrong."""
    scheme, account, server = _split(text)
    category = _CATEGORIES.get(scheme)
    if category is None:
        known = ", ".join(f"{name}://" for name in _CATEGORIES)
        raise InvalidInput(f"A client URI begins with one of {known}", "uri")
    if not _KEY.match(account):
        raise InvalidInput("The client key in the URI must be 4 to 64 letters and digits.", "uri")
    return ClientUri(category, account, server)


def server_name(server: str) -> str | None:
    """Return what a balancer request carries: the lower-case name, None for an address."""
    parts = server.split(".")
    if 1 <= len(parts) <= 4 and all(part.isdigit() for part in parts):
        limit = 256 ** (5 - len(parts))
        if all(int(part) < 256 for part in parts[:-1]) and int(parts[-1]) < limit:
            return None
    try:
        ipaddress.IPv6Address(server)
    except ValueError:
        return server.lower()
    return None
