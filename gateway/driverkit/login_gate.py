"""HTTP and RTSP login, the asking side, without I/O: challenges and their verification.

Used by the virtual camera and wherever the gateway itself asks an RTSP or HTTP client to log in.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from enum import Enum

from gateway.base.entropy import Entropy
from gateway.driverkit.digest import (
    ALGORITHMS_BY_NAME,
    CHALLENGE_HEADER_MAX,
    Algorithm,
    CameraCredentials,
    digest_response,
    quoted,
    split_login,
)

GATE_NONCES_MAX = 256
"""Nonces that a gate remembers; older ones become stale."""


class Admission(Enum):
    """A gate's verdict on one request."""

    ADMITTED = "admitted"
    MISSING = "missing"
    REFUSED = "refused"
    STALE = "stale"


class LoginGate:
    """The asking side: makes challenges and verifies answers.

    ``offers`` lists digest algorithms in the order sent; Basic is added with ``basic``.
    ``nonce_uses`` 0 means that a nonce lasts until it is pushed out by newer ones.
    """

    def __init__(
        self,
        credentials: CameraCredentials,
        *,
        realm: str,
        entropy: Entropy,
        offers: Sequence[Algorithm] = (Algorithm.SHA256, Algorithm.MD5),
        basic: bool = False,
        with_qop: bool = True,
        nonce_uses: int = 0,
    ) -> None:
        self.credentials = credentials
        self.nonce_uses = nonce_uses
        self._realm = realm
        self._entropy = entropy
        self._offers = tuple(offers)
        self._basic = basic
        self._with_qop = with_qop
        self._nonces: OrderedDict[str, list[int]] = OrderedDict()

    def challenges(self, *, stale: bool = False) -> tuple[str, ...]:
        """Return the WWW-Authenticate values of a 401, each one header."""
        values: list[str] = []
        if self._offers:
            nonce = self._entropy.octets(16).hex()
            self._nonces[nonce] = [0, 0]
            while len(self._nonces) > GATE_NONCES_MAX:
                self._nonces.popitem(last=False)
            for algorithm in self._offers:
                value = f'Digest realm={quoted(self._realm)}, nonce="{nonce}"'
                if algorithm is not Algorithm.MD5 or self._with_qop:
                    value += f", algorithm={algorithm.value}"
                if self._with_qop:
                    value += ', qop="auth"'
                values.append(value + (", stale=true" if stale else ""))
        if self._basic:
            values.append(f"Basic realm={quoted(self._realm)}")
        return tuple(values)

    def check(self, method: str, uri: str, authorization: str | None) -> Admission:
        """Judge one request by its Authorization value; ``uri`` is that of the request line."""
        if authorization is None or len(authorization) > CHALLENGE_HEADER_MAX:
            return Admission.MISSING
        scheme, _, rest = authorization.partition(" ")
        if scheme.lower() == "basic" and self._basic:
            return self._check_basic(rest.strip())
        if scheme.lower() != "digest" or not self._offers:
            return Admission.MISSING
        parts = split_login(authorization)
        return self._check_digest(method, uri, parts[0][1]) if parts else Admission.REFUSED

    def _check_basic(self, token: str) -> Admission:
        try:
            pair = base64.b64decode(token, validate=True)
        except (binascii.Error, ValueError):
            return Admission.REFUSED
        expected = f"{self.credentials.user}:{self.credentials.password.reveal()}".encode()
        return Admission.ADMITTED if hmac.compare_digest(pair, expected) else Admission.REFUSED

    def _check_digest(self, method: str, uri: str, sent: Mapping[str, str]) -> Admission:
        algorithm = ALGORITHMS_BY_NAME.get(sent.get("algorithm", "MD5").lower())
        nonce = sent.get("nonce", "")
        counts = self._nonces.get(nonce)
        if algorithm is None or algorithm not in self._offers:
            return Admission.REFUSED
        if sent.get("uri") != uri or sent.get("realm") != self._realm:
            return Admission.REFUSED
        has_qop = "qop" in sent
        if has_qop is not self._with_qop or (has_qop and sent["qop"].lower() != "auth"):
            return Admission.REFUSED
        expected = digest_response(
            algorithm,
            user=self.credentials.user,
            realm=self._realm,
            password=self.credentials.password,
            method=method,
            uri=uri,
            nonce=nonce,
            count=sent.get("nc", "") if has_qop else "",
            cnonce=sent.get("cnonce", ""),
        )
        given = sent.get("response", "").lower().encode("utf-8", "surrogateescape")
        if sent.get("username") != self.credentials.user or not hmac.compare_digest(
            expected.encode(), given
        ):
            return Admission.REFUSED
        if counts is None:
            return Admission.STALE
        if has_qop:
            try:
                count = int(sent.get("nc", ""), 16)
            except ValueError:
                return Admission.REFUSED
            if count <= counts[1]:
                return Admission.STALE
            counts[1] = count
        counts[0] += 1
        if self.nonce_uses and counts[0] > self.nonce_uses:
            del self._nonces[nonce]
            return Admission.STALE
        return Admission.ADMITTED
