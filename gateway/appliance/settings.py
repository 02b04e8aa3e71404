"""What concerns the box itself."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.setting import setting


@dataclass(frozen=True, slots=True)
class ApplianceSettings:
    """How the gateway runs on the machine and reports to its service manager."""

    loop: str = setting(
        "auto",
        choices=("auto", "asyncio", "uvloop"),
        help="Event loop; auto takes uvloop, which needs less CPU, where it is installed.",
    )
    status_interval: float = setting(
        10.0, minimum=1, maximum=3600, unit="s", help="How often the status line is renewed."
    )
    lag_limit: float = setting(
        2.0,
        minimum=0.1,
        maximum=60,
        unit="s",
        help="A busier event loop is not alive: the watchdog is not fed and restarts the service.",
    )
