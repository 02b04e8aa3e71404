"""HTTP and RTSP login, the answering side, without I/O: Basic and Digest (RFC 7616, RFC 2069).

:class:`LoginAnswerer` answers one camera's challenges in one protocol. Passwords are never part of
an URL; what a challenge says is untrusted and bounded. The asking side is `login_gate`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum

from gateway.base.entropy import Entropy
from gateway.base.errors import InvalidInput
from gateway.base.secret import Secret

CREDENTIAL_MAX = 256
"""Characters in a user name or password: longer than any camera takes."""

CHALLENGE_HEADER_MAX = 4096
"""Characters of one WWW-Authenticate value; real ones have under 300."""

CHALLENGES_MAX = 8
"""Challenges considered of one answer; a device offers one for each algorithm."""

PARAMETERS_MAX = 24
"""Parameters of one challenge; RFC 7616 defines nine."""


class Scheme(StrEnum):
    """The login schemes that cameras use."""

    BASIC = "Basic"
    DIGEST = "Digest"


class Algorithm(StrEnum):
    """Digest algorithms as they are spelt in a challenge."""

    MD5 = "MD5"
    MD5_SESS = "MD5-sess"
    SHA256 = "SHA-256"
    SHA256_SESS = "SHA-256-sess"

    @property
    def is_session(self) -> bool:
        """Whether the first hash is bound to one nonce pair."""
        return self in (Algorithm.MD5_SESS, Algorithm.SHA256_SESS)

    def hash(self, text: str) -> str:
        """Return the lower-case hex digest of the text's octets."""
        octets = text.encode("utf-8", "surrogateescape")
        if self in (Algorithm.SHA256, Algorithm.SHA256_SESS):
            return hashlib.sha256(octets).hexdigest()
        return hashlib.md5(octets, usedforsecurity=False).hexdigest()


# Plain forms before session forms of equal strength: the session forms are the worse tested ones.
_PREFERENCE = (Algorithm.SHA256, Algorithm.SHA256_SESS, Algorithm.MD5, Algorithm.MD5_SESS)
ALGORITHMS_BY_NAME = {algorithm.value.lower(): algorithm for algorithm in Algorithm}


@dataclass(frozen=True, slots=True)
class CameraCredentials:
    """User name and password of a camera's account. Raises InvalidInput for unusable ones."""

    user: str
    password: Secret

    def __post_init__(self) -> None:
        for name, text in (("user", self.user), ("password", self.password.reveal())):
            if len(text) > CREDENTIAL_MAX:
                raise InvalidInput(
                    f"The camera's {name} is longer than {CREDENTIAL_MAX} characters.", name
                )
            if any(
                ord(each) < 0x20 or ord(each) == 0x7F or 0xD800 <= ord(each) <= 0xDFFF
                for each in text
            ):
                raise InvalidInput(
                    f"The camera's {name} holds control characters; type it again.", name
                )
        if ":" in self.user:
            raise InvalidInput("A camera's user name cannot hold a colon.", "user")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One login offer of a server."""

    scheme: Scheme
    realm: str = ""
    nonce: str = ""
    opaque: str | None = None
    algorithm: Algorithm = Algorithm.MD5
    names_algorithm: bool = False
    has_qop: bool = False
    stale: bool = False


class ChallengeOutcome(Enum):
    """What to do after a 401."""

    RETRY = "retry"
    """Send the request again with a new Authorization value."""
    REFUSED = "refused"
    """The credentials are wrong: do not try again, cameras lock the account."""
    UNSUPPORTED = "unsupported"
    """No offer that we can answer."""


def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """Return the usable challenges of all WWW-Authenticate values, in order; others are skipped."""
    found: list[Challenge] = []
    for value in values:
        if len(value) > CHALLENGE_HEADER_MAX:
            continue
        for scheme, parameters in split_login(value):
            challenge = _challenge(scheme, parameters)
            if challenge is not None:
                found.append(challenge)
            if len(found) >= CHALLENGES_MAX:
                return tuple(found)
    return tuple(found)


def strongest(challenges: Sequence[Challenge]) -> Challenge | None:
    """Return the challenge to answer: SHA-256 before MD5 before Basic, the first of equals."""
    for algorithm in _PREFERENCE:
        for challenge in challenges:
            if challenge.scheme is Scheme.DIGEST and challenge.algorithm is algorithm:
                return challenge
    return next((each for each in challenges if each.scheme is Scheme.BASIC), None)


@dataclass(frozen=True, slots=True)
class LoginGround:
    """What the logins of many connections to one camera have in common."""

    credentials: CameraCredentials
    entropy: Entropy
    allow_basic: bool
    challenge: Challenge | None
    """Without nonce and opaque, which are each connection's own."""
    proved: bool
    seen_digest: bool


@dataclass(frozen=True, slots=True)
class LoginMemo:
    """A `LoginAnswerer` put aside."""

    ground: LoginGround
    nonce: str = field(repr=False)
    opaque: str | None = field(repr=False)
    uses: int


class LoginAnswerer:
    """Answers one camera's challenges, request by request.

    ``authorization`` for every request, ``challenged`` after a 401, ``accepted`` after any other
    answer. Never answers Basic once Digest was offered, so nobody in between can ask for less.
    """

    def __init__(
        self, credentials: CameraCredentials, *, entropy: Entropy, allow_basic: bool = True
    ) -> None:
        self._credentials = credentials
        self._entropy = entropy
        self._allow_basic = allow_basic
        self._challenge: Challenge | None = None
        self._uses = 0
        self._proved = False
        self._seen_digest = False

    def memo(self) -> LoginMemo:
        """Return all that `recalled` needs to go on where this one stands."""
        challenge = self._challenge
        nonce, opaque = (challenge.nonce, challenge.opaque) if challenge else ("", None)
        if challenge is not None:
            challenge = replace(challenge, nonce="", opaque=None)
        ground = LoginGround(
            self._credentials, self._entropy, self._allow_basic, challenge, self._proved,
            self._seen_digest,
        )  # fmt: skip
        return LoginMemo(ground, nonce, opaque, self._uses)

    @classmethod
    def recalled(cls, memo: LoginMemo) -> LoginAnswerer:
        """Return an answerer that goes on where that of the memo stood."""
        ground = memo.ground
        login = cls(ground.credentials, entropy=ground.entropy, allow_basic=ground.allow_basic)
        if ground.challenge is not None:
            login._challenge = replace(ground.challenge, nonce=memo.nonce, opaque=memo.opaque)
        login._uses = memo.uses
        login._proved = ground.proved
        login._seen_digest = ground.seen_digest
        return login

    @property
    def challenge(self) -> Challenge | None:
        """The challenge in use, or None before the first 401."""
        return self._challenge

    def challenged(self, values: Iterable[str], *, answered: bool) -> ChallengeOutcome:
        """Take a 401's WWW-Authenticate values. ``answered``: the request carried our login."""
        challenges = parse_challenges(values)
        chosen = strongest(challenges)
        if chosen is None:
            return ChallengeOutcome.UNSUPPORTED
        if chosen.scheme is Scheme.BASIC and (self._seen_digest or not self._allow_basic):
            return ChallengeOutcome.UNSUPPORTED
        previous = self._challenge
        if answered and previous is not None and not self._is_renewal(previous, chosen):
            return ChallengeOutcome.REFUSED
        self._seen_digest = self._seen_digest or chosen.scheme is Scheme.DIGEST
        self._challenge = chosen
        self._uses = 0
        self._proved = False
        return ChallengeOutcome.RETRY

    def accepted(self) -> None:
        """Note that the last answer was taken: the credentials are right."""
        self._proved = self._challenge is not None

    def authorization(self, method: str, uri: str) -> str | None:
        """Return the Authorization value of a request, or None while nothing was asked.

        ``uri`` is exactly what stands in the request line.
        """
        challenge = self._challenge
        if challenge is None:
            return None
        if challenge.scheme is Scheme.BASIC:
            return basic_authorization(self._credentials)
        self._uses += 1
        cnonce = self._entropy.octets(16).hex()
        return digest_authorization(
            self._credentials, challenge, method=method, uri=uri, cnonce=cnonce, uses=self._uses
        )

    def _is_renewal(self, previous: Challenge, fresh: Challenge) -> bool:
        # Many cameras send a new nonce without stale=true when the old one has expired: believe
        # it once, when the old one had worked. stale with the very same nonce would loop.
        if fresh.scheme is not Scheme.DIGEST or fresh.nonce == previous.nonce:
            return False
        return fresh.stale or self._proved


def basic_authorization(credentials: CameraCredentials) -> str:
    """Return the Authorization value of RFC 7617."""
    pair = f"{credentials.user}:{credentials.password.reveal()}".encode()
    return "Basic " + base64.b64encode(pair).decode("ascii")


def digest_authorization(
    credentials: CameraCredentials,
    challenge: Challenge,
    *,
    method: str,
    uri: str,
    cnonce: str,
    uses: int,
) -> str:
    """Return the Authorization value of RFC 7616; without qop the five fields of RFC 2069."""
    count = f"{uses:08x}" if challenge.has_qop else ""
    uses_cnonce = challenge.has_qop or challenge.algorithm.is_session
    response = digest_response(
        challenge.algorithm,
        user=credentials.user,
        realm=challenge.realm,
        password=credentials.password,
        method=method,
        uri=uri,
        nonce=challenge.nonce,
        count=count,
        cnonce=cnonce if uses_cnonce else "",
    )
    fields = [
        f"username={quoted(credentials.user)}",
        f"realm={quoted(challenge.realm)}",
        f"nonce={quoted(challenge.nonce)}",
        f"uri={quoted(uri)}",
        f'response="{response}"',
    ]
    if challenge.names_algorithm:
        fields.append(f"algorithm={challenge.algorithm.value}")
    if challenge.opaque is not None:
        fields.append(f"opaque={quoted(challenge.opaque)}")
    if challenge.has_qop:
        fields += ["qop=auth", f"nc={count}"]
    if uses_cnonce:
        fields.append(f'cnonce="{cnonce}"')
    return "Digest " + ", ".join(fields)


def digest_response(
    algorithm: Algorithm,
    *,
    user: str,
    realm: str,
    password: Secret,
    method: str,
    uri: str,
    nonce: str,
    count: str,
    cnonce: str,
) -> str:
    """Return the `response` hash; an empty ``count`` gives the form without qop (RFC 2069)."""
    first = algorithm.hash(f"{user}:{realm}:{password.reveal()}")
    if algorithm.is_session:
        first = algorithm.hash(f"{first}:{nonce}:{cnonce}")
    second = algorithm.hash(f"{method}:{uri}")
    middle = f"{nonce}:{count}:{cnonce}:auth" if count else nonce
    return algorithm.hash(f"{first}:{middle}:{second}")


def _challenge(scheme: str, parameters: Mapping[str, str]) -> Challenge | None:
    realm = parameters.get("realm", "")
    if scheme.lower() == "basic":
        return Challenge(scheme=Scheme.BASIC, realm=realm)
    algorithm = ALGORITHMS_BY_NAME.get(parameters.get("algorithm", "MD5").lower())
    if scheme.lower() != "digest" or algorithm is None or not parameters.get("nonce"):
        return None
    qop = parameters.get("qop")
    offered = {each.strip().lower() for each in (qop or "").split(",")} - {""}
    if offered and "auth" not in offered:
        return None
    return Challenge(
        scheme=Scheme.DIGEST,
        realm=realm,
        nonce=parameters["nonce"],
        opaque=parameters.get("opaque"),
        algorithm=algorithm,
        names_algorithm="algorithm" in parameters,
        has_qop="auth" in offered,
        stale=parameters.get("stale", "").lower() == "true",
    )


def quoted(text: str) -> str:
    """Return the text as an HTTP quoted-string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def split_login(value: str) -> list[tuple[str, dict[str, str]]]:
    """Split a header value into (scheme, parameters) pairs; stops at the first nonsense."""
    pairs: list[tuple[str, dict[str, str]]] = []
    at = 0
    while at < len(value):
        while at < len(value) and value[at] in ", \t":
            at += 1
        start = at
        while at < len(value) and value[at] not in ', \t="':
            at += 1
        word = value[start:at]
        while at < len(value) and value[at] in " \t":
            at += 1
        if not word:
            break
        if at < len(value) and value[at] == "=":
            text, at = _parameter_value(value, at + 1)
            if not pairs or text is None or len(pairs[-1][1]) >= PARAMETERS_MAX:
                break
            # The first of two equal names counts: a second one could only be there to confuse.
            pairs[-1][1].setdefault(word.lower(), text)
        else:
            pairs.append((word, {}))
    return pairs


def _parameter_value(value: str, at: int) -> tuple[str | None, int]:
    while at < len(value) and value[at] in " \t":
        at += 1
    if at >= len(value) or value[at] != '"':
        start = at
        while at < len(value) and value[at] not in ", \t":
            at += 1
        return value[start:at], at
    at += 1
    end = value.find('"', at)
    if end >= 0 and "\\" not in value[at:end]:
        return value[at:end], end + 1
    characters: list[str] = []
    while at < len(value) and value[at] != '"':
        if value[at] == "\\" and at + 1 < len(value):
            at += 1
        characters.append(value[at])
        at += 1
    return ("".join(characters), at + 1) if at < len(value) else (None, at)
