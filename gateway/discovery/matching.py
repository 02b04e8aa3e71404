"""Announcements to sightings and candidates, without I/O. Everything announced is hostile.

Names and TXT values are cut, cleaned and never trusted; addresses are ranked so that a camera is
reached where the gateway can really reach it (research on real cameras: several addresses, of
other networks, link-local ones and 127.0.0.1 in one answer).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from gateway.base.errors import Denied, InvalidInput
from gateway.driverkit.addresses import Address, AddressPolicy, parse_address
from gateway.driverkit.manifest import DriverManifest, MdnsMatch, identity_of

PROPERTIES_MAX = 64
"""TXT keys that are kept; real devices have under 20."""

KEY_MAX = 32
"""Characters of a TXT key; RFC 6763 recommends nine."""

VALUE_MAX = 255
"""Octets of a TXT string, by its format."""

NAME_MAX = 63
"""Octets of an instance name, by the format of a DNS label."""

ADDRESSES_MAX = 16
"""Addresses of one device that are looked at."""


@dataclass(frozen=True, slots=True)
class LocalNetwork:
    """One address of the gateway and its subnet, for example 192.168.1.5/24 on eth0."""

    interface: str
    index: int
    address: str
    prefix: int

    @property
    def subnet(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        """The network around the address."""
        return ipaddress.ip_network(f"{self.address.partition('%')[0]}/{self.prefix}", strict=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One clean announcement: type without domain, addresses with the usable ones first."""

    service_type: str
    name: str
    host: str
    addresses: tuple[str, ...]
    port: int
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """What tells announcements apart; labels compare without case."""
        return self.service_type.lower(), self.name.lower()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A driver that might do, and the identity its manifest finds; None when there is none."""

    manifest: DriverManifest
    identity: str | None
    rank: int
    """Place of the matching pattern within the manifest: lower is better."""


def clean_text(text: str, limit: int) -> str:
    """Return the text without anything that is not printable, cut to `limit` characters."""
    return "".join(each for each in text[: 4 * limit] if each.isprintable()).strip()[:limit]


def clean_properties(raw: Mapping[bytes, bytes | None]) -> dict[str, str]:
    """Return TXT properties with lower-case keys; what is no clean text is left out."""
    clean: dict[str, str] = {}
    for raw_key, raw_value in raw.items():
        key = _text(raw_key)
        if key is None or not 0 < len(key) <= KEY_MAX or not key.isascii():
            continue
        key = key.lower()
        value = "" if raw_value is None else _text(raw_value)
        # RFC 6763 6.4: of equal keys the first counts.
        if value is None or key in clean:
            continue
        clean[key] = value
        if len(clean) >= PROPERTIES_MAX:
            break
    return clean


def _text(raw: bytes) -> str | None:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if len(text) <= VALUE_MAX and all(each.isprintable() for each in text) else None


def browse_types(manifests: Iterable[DriverManifest]) -> tuple[str, ...]:
    """Return the union of the manifests' service types, one spelling for each."""
    types: dict[str, str] = {}
    for manifest in manifests:
        for match in manifest.mdns:
            types.setdefault(match.service_type.lower(), match.service_type)
    return tuple(types.values())


def candidates(sighting: Sighting, manifests: Iterable[DriverManifest]) -> tuple[Candidate, ...]:
    """Return the drivers that match, best first."""
    found = []
    for manifest in manifests:
        rank = next(
            (index for index, each in enumerate(manifest.mdns) if _matches(sighting, each)), None
        )
        if rank is not None:
            identity = identity_of(sighting.properties, manifest.identity)
            found.append(Candidate(manifest, identity, rank))
    return tuple(sorted(found, key=preference))


def preference(candidate: Candidate) -> tuple[int, int, str]:
    """Sort key: the best candidate is the smallest."""
    return -candidate.manifest.priority, candidate.rank, candidate.manifest.name


def _matches(sighting: Sighting, match: MdnsMatch) -> bool:
    if sighting.service_type.lower() != match.service_type.lower():
        return False
    if not fnmatchcase(sighting.name.lower(), match.name.lower()):
        return False
    for key, pattern in match.properties.items():
        value = sighting.properties.get(key)
        if value is None or not fnmatchcase(value.lower(), pattern.lower()):
            return False
    return True


def usable_addresses(
    addresses: Iterable[str],
    networks: Iterable[LocalNetwork],
    policy: AddressPolicy,
    *,
    allow_off_subnet: bool = True,
) -> tuple[str, ...]:
    """Return the addresses that may be connected to, the best first.

    Addresses in a subnet of ours shut out all others; then routable ones; link-local ones, IPv4
    before IPv6 with scope, only where nothing better exists. Within a rank the order stays
    (newest first, as the resolver gives them).
    """
    subnets = tuple(network.subnet for network in networks)
    ranked: dict[int, list[str]] = {}
    for text in list(addresses)[:ADDRESSES_MAX]:
        try:
            policy.check(text)
            rank = _rank(parse_address(text), subnets)
        except (Denied, InvalidInput):
            continue
        # An own IPv4 and an own IPv6 subnet stand together: both lead to the device directly.
        ranked.setdefault(rank, []).append(text)
    own = ranked.get(_ON_SUBNET_4, []) + ranked.get(_ON_SUBNET_6, [])
    if own:
        return tuple(dict.fromkeys(own))
    far = ranked.get(_ROUTABLE_4, []) + ranked.get(_ROUTABLE_6, []) if allow_off_subnet else []
    if far:
        return tuple(dict.fromkeys(far))
    return tuple(dict.fromkeys(ranked.get(_LINK_4, []) + ranked.get(_LINK_6, [])))


_ON_SUBNET_4, _ON_SUBNET_6, _ROUTABLE_4, _ROUTABLE_6, _LINK_4, _LINK_6, _USELESS = range(7)


def _rank(
    address: Address, subnets: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
) -> int:
    is_4 = address.version == 4
    if isinstance(address, ipaddress.IPv6Address) and address.is_link_local:
        # Without a scope nobody knows on which interface that is.
        return _LINK_6 if address.scope_id else _USELESS
    if address.is_link_local:
        return _LINK_4
    if any(address.version == each.version and address in each for each in subnets):
        return _ON_SUBNET_4 if is_4 else _ON_SUBNET_6
    return _ROUTABLE_4 if is_4 else _ROUTABLE_6
