"""Names and payloads of MQTT messages, one place for all; pure.

    <prefix>/<gateway>/status                      online | offline (last will)
    <prefix>/<gateway>/camera/<camera>/state         a JSON object, see CameraState.payload()
    <prefix>/<gateway>/camera/<camera>/availability  online | offline

Everything is retained. An empty payload takes a retained message away. Nothing that opens a camera
or a page is ever in a payload: whoever may read the broker reads all of it.
"""

from __future__ import annotations

import datetime
import json
import re
from dataclasses import dataclass

from gateway.base.errors import InvalidInput

ONLINE = b"online"
OFFLINE = b"offline"
GONE = b""

TEXT_LENGTH_MAX = 200
"""Names and reasons are for a label on somebody's screen."""

_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PREFIX = re.compile(r"[^+#\x00-\x1f\x7f/][^+#\x00-\x1f\x7f]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraState:
    """What the broker is told of one camera; never credentials or addresses with such."""

    camera_id: str  # stable: of the adopted device, not of its name or address
    name: str
    online: bool
    since: float  # wall clock, Unix seconds, of the last change of `online`
    reason: str = ""  # why it is not online, in words
    viewers: int = 0
    maker: str = ""
    model: str = ""

    def payload(self) -> bytes:
        """Return the state as a JSON object in UTF-8, always with the same members."""
        since = datetime.datetime.fromtimestamp(round(self.since), datetime.UTC)
        members = {
            "online": self.online,
            "since": since.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "reason": self.reason[:TEXT_LENGTH_MAX],
            "viewers": self.viewers,
            "name": self.name[:TEXT_LENGTH_MAX],
            "maker": self.maker[:TEXT_LENGTH_MAX],
            "model": self.model[:TEXT_LENGTH_MAX],
        }
        return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one gateway. Raises InvalidInput for names that no topic can hold."""

    prefix: str
    gateway_id: str

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix) or self.prefix.endswith("/"):
            raise InvalidInput("prefix must not hold + or # nor begin or end with /.", "prefix")
        _word(self.gateway_id, "gateway_id")

    @property
    def status(self) -> str:
        """Where the gateway's own availability stands; also the topic of its last will."""
        return f"{self.prefix}/{self.gateway_id}/status"

    def camera_state(self, camera_id: str) -> str:
        """Where the state of a camera stands."""
        return f"{self.prefix}/{self.gateway_id}/camera/{_word(camera_id, 'camera_id')}/state"

    def camera_availability(self, camera_id: str) -> str:
        """Where online or offline stands for a camera."""
        word = _word(camera_id, "camera_id")
        return f"{self.prefix}/{self.gateway_id}/camera/{word}/availability"

    def of_camera(self, state: CameraState) -> dict[str, bytes]:
        """Return every topic of a camera with its payload."""
        return {
            self.camera_state(state.camera_id): state.payload(),
            self.camera_availability(state.camera_id): ONLINE if state.online else OFFLINE,
        }

    def of_camera_gone(self, camera_id: str) -> dict[str, bytes]:
        """Return every topic of a camera with the payload that removes it."""
        names = (self.camera_state(camera_id), self.camera_availability(camera_id))
        return dict.fromkeys(names, GONE)


def _word(text: str, field: str) -> str:
    if not _WORD.fullmatch(text):
        raise InvalidInput(f"{field} must be 1 to 64 of the characters A-Z a-z 0-9 _ and -.", field)
    return text
