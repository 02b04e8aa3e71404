"""Salted passwords, challenge responses and checks (01 sections 3.4 and 4, 02 section 2.6)."""

from __future__ import annotations

import hashlib

_BASIS, _PRIME, _MASK = 2166136261, 16777619, 0xFFFFFFFF


def fnv1a(data: bytes) -> bytes:
    """Return FNV-1a-32 of the octets, four octets big-endian."""
    value = _BASIS
    for octet in data:
        value = ((value ^ octet) * _PRIME) & _MASK
    return value.to_bytes(4, "big")


def utf16(text: str) -> bytes:
    """Return UTF-16 big-endian code units without mark, lone surrogates as they are."""
    return text.encode("utf-16-be", "surrogatepass")


def salted_password(salt: bytes, password: str) -> bytes:
    """Return the 20 octets that a server stores for an endpoint password."""
    return hashlib.sha1(salt + utf16(password)).digest()


def challenge_response(key1: bytes, key2: bytes, salted: bytes) -> bytes:
    """Return the 20 octets with which an endpoint proves its password."""
    return hashlib.sha1(key1 + key2 + salted).digest()


def proxy_auth_hash(auth_key: bytes, auth_key2: bytes, secret_key: str) -> bytes:
    """Return the 20 octets with which the tracker vouches for an endpoint at a proxy."""
    return hashlib.sha1(auth_key + auth_key2 + utf16(secret_key)).digest()
