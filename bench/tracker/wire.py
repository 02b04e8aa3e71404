"""Softnet octets that the load generator needs: DER, frames, hashes, site structure.

Written from 01 (2 encoding, 3.5 frames, 4 hashes, 7.3 upload, 12 hashes) and 03. Nothing here is
shared with the gateway, so that an error there cannot hide behind the same error here.
"""

import hashlib

INT, OCT, IA5, PRINTABLE, SEQ = 0x02, 0x04, 0x16, 0x13, 0x30


def der_length(n: int) -> bytes:
    """Minimal definite length, also the form of the frame prefix."""
    if n < 128:
        return bytes((n,))
    raw = n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(raw),)) + raw


def tlv(tag: int, content: bytes) -> bytes:
    return bytes((tag,)) + der_length(len(content)) + content


def seq(*parts: bytes, tag: int = SEQ) -> bytes:
    return tlv(tag, b"".join(parts))


def integer(value: int, tag: int = INT) -> bytes:
    size = ((value if value >= 0 else -value - 1).bit_length() + 8) // 8
    return tlv(tag, value.to_bytes(size, "big", signed=True))


def ia5(text: str, tag: int = IA5) -> bytes:
    return tlv(tag, text.encode("ascii"))


def frame(module: int, kind: int, body: bytes = b"") -> bytes:
    return der_length(len(body) + 2) + bytes((module, kind)) + body


def header(buf: bytes, pos: int) -> tuple[int, int, int]:
    """(tag, start, end) of the content of the element at pos."""
    first = buf[pos + 1]
    start = pos + 2
    if first >= 0x80:
        start += first & 0x7F
        first = int.from_bytes(buf[pos + 2 : start], "big")
    return buf[pos], start, start + first


def fields(buf: bytes, pos: int = 2) -> list[tuple[int, int, int, int]]:
    """(tag, element start, content start, content end) of the elements of the SEQUENCE at pos."""
    _, at, end = header(buf, pos)
    found = []
    while at < end:
        tag, start, stop = header(buf, at)
        found.append((tag, at, start, stop))
        at = stop
    return found


def salted_password(salt: bytes, password: str) -> bytes:
    return hashlib.sha1(salt + password.encode("utf-16-be")).digest()


def response_hash(key1: bytes, key2: bytes, salted: bytes) -> bytes:
    return hashlib.sha1(key1 + key2 + salted).digest()


def fnv1a(data: bytes) -> bytes:
    value = 2166136261
    for octet in data:
        value = ((value ^ octet) * 16777619) & 0xFFFFFFFF
    return value.to_bytes(4, "big")


def subscription_hash(subscriptions: list[tuple[int, str]]) -> bytes:
    return hashlib.sha1(seq(*(seq(integer(k), ia5(n)) for k, n in sorted(subscriptions)))).digest()


def group_hash_single(hostname: bytes, version: bytes) -> bytes:
    return hashlib.sha1(seq(tlv(IA5, hostname), tlv(IA5, version))).digest()


def user_hash(user_message: bytes) -> bytes:
    """User hash (12.7) from the USER message (10.4): role names go into an OctetString, sorted."""
    parts = fields(user_message)
    out = [user_message[at:stop] for _, at, _, stop in parts[:2]]
    if len(parts) > 2:
        _, at, _, _ = parts[2]
        names = sorted(user_message[a:e] for _, _, a, e in fields(user_message, at))
        out.append(tlv(0x81, seq(*(tlv(IA5, n) for n in names))))
    return hashlib.sha1(seq(*out)).digest()


class Structure:
    """The site structure of the load services: roles and unrestricted replacing events."""

    def __init__(self, d: dict):
        self.service_type, self.author = d["service_type"], d["contract_author"]
        self.version, self.guest = d.get("version") or "", int(d.get("guest_support", 0))
        self.roles, self.owner = list(d.get("roles", [])), d.get("owner_role")
        self.events = sorted(d.get("replacing_events", []))
        name = ia5(self.service_type) + ia5(self.author)
        events = (
            seq(seq(*(seq(ia5(e)) for e in self.events), tag=0xA1), tag=0xA2)
            if self.events
            else b""
        )
        roles = seq(*map(ia5, sorted(self.roles)), tag=0xA1) if self.roles else b""
        self.hash = hashlib.sha1(seq(name, integer(self.guest), roles, events)).digest()
        if self.roles:
            owner = ia5(self.owner, 0x81) if self.owner else b""
            roles = seq(seq(*map(ia5, self.roles)), owner, tag=0xA1)
        self._version = ia5(self.version, 0x81) if self.version else b""
        self.upload = frame(5, 2, seq(seq(name, integer(self.guest), roles, events), self._version))
        self._profile = seq(name, tlv(OCT, self.hash))
        self._name = name

    def service_state(self, users: bytes | None, guest: bool, hostname: bytes | None) -> bytes:
        """STATE of a service; users and hostname are the hashes that it holds, None for none."""
        member = (tlv(0x81, users) if users else b"") + (
            tlv(0x82, b"\xff" if guest else b"\0") if self.guest else b""
        )
        host = tlv(0x82, hostname) if hostname else b""
        return frame(5, 1, seq(self._profile, self._version, tlv(SEQ, member), host))

    def client_state(self, group: bytes | None, user: bytes | None) -> bytes:
        group_field = tlv(0x82, group) if group else b""
        return frame(5, 1, seq(self._name, group_field, tlv(0x83, user) if user else b""))
