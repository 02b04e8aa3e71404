"""What can be wrong with the virtual camera, switchable while it runs.

A spec is a list like ``busy,slow=2,stale_every=3``; a JSON object of the same names does as well.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """All faults; the default is a camera in good health."""

    refuse: bool = False
    """Reset every new connection at once."""
    stall: bool = False
    """Send no media, keep connections open."""
    drop_after: float = 0.0
    """Close a connection this many seconds after PLAY."""
    wrong_password: bool = False
    """Refuse every login."""
    slow: float = 0.0
    """Wait this many seconds before every answer."""
    busy: bool = False
    """Answer SETUP with 453."""
    one_session: bool = False
    """Answer SETUP with 453 while another session is open."""
    leak_credentials: bool = False
    """Put user and password into Content-Base and control lines, as some cameras do."""
    foreign_control: bool = False
    """Point absolute control lines at another host."""
    garbage: bool = False
    """Answer with octets that are neither RTSP nor HTTP."""
    stale_every: int = 0
    """Let a nonce go stale after this many requests; 0 never."""

    def changed(self, spec: str) -> Self:
        """Return a copy with the spec applied; "none" clears all. Raises ValueError."""
        text = spec.strip()
        if text.startswith("{"):
            wanted = json.loads(text)
        else:
            pairs = [each.strip().partition("=") for each in text.split(",") if each.strip()]
            wanted = {
                name.strip(): (value.strip() if mark else True) for name, mark, value in pairs
            }
        if wanted.pop("none", None):
            return type(self)(**{name: self._value(name, each) for name, each in wanted.items()})
        return dataclasses.replace(
            self, **{name: self._value(name, each) for name, each in wanted.items()}
        )

    def _value(self, name: str, value: object) -> Any:
        fields = {field.name: field for field in dataclasses.fields(self)}
        if name not in fields:
            raise ValueError(f"there is no fault {name!r}; there are {', '.join(fields)}")
        default = fields[name].default
        if isinstance(default, bool):
            return value in (True, "true", "1", "yes", "on")
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise ValueError(f"the fault {name} needs a number")  # noqa: TRY004  (a wrong spec)
        number = float(value)
        if not 0 <= number <= 3600:
            raise ValueError(f"the fault {name} goes from 0 to 3600")
        return int(number) if isinstance(default, int) else number

    def as_json(self) -> dict[str, bool | float | int]:
        """Return all faults as plain values."""
        return dataclasses.asdict(self)
