"""The numbers of this room."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.setting import setting


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """How cameras are offered, watched and protected."""

    service_type: str = setting(
        "IP Camera", minimum=1, maximum=256, help="Service type that client programs ask for."
    )
    contract_author: str = setting(
        "Softnet Camera Gateway",
        minimum=1,
        maximum=256,
        help="Contract author that client programs ask for.",
    )
    viewers_per_camera: int = setting(
        8, minimum=1, maximum=1000, help="Clients that watch one camera at once."
    )
    web_per_camera: int = setting(
        16, minimum=1, maximum=1000, help="Connections to each HTTP port of one camera at once."
    )
    viewers: int = setting(
        200, minimum=1, maximum=10_000, help="Connections to all cameras together."
    )
    first_octet_seconds: float = setting(
        15.0, minimum=1, maximum=300, unit="s", help="How long a new connection may say nothing."
    )
    connect_seconds: float = setting(
        5.0, minimum=0.5, maximum=60, unit="s", help="How long a camera may take to accept."
    )
    answer_seconds: float = setting(
        10.0, minimum=1, maximum=120, unit="s", help="How long a camera may take to answer."
    )
    silence_seconds: float = setting(
        30.0, minimum=5, maximum=3600, unit="s", help="A stream without any octet ends after this."
    )
    stall_seconds: float = setting(
        60.0, minimum=5, maximum=3600, unit="s", help="A client that takes nothing is cut off."
    )
    idle_seconds: float = setting(
        120.0, minimum=5, maximum=3600, unit="s", help="A connection without a stream ends."
    )
    receive_buffer: int = setting(
        104 * 1024,
        minimum=8_196,
        maximum=4_194_304,
        unit="octets",
        help="Receive buffer towards cameras: bounds stale video, as relay.receive_octets does.",
    )
    snapshot_seconds: float = setting(
        2.0, minimum=0, maximum=60, unit="s", help="How long a snapshot is given out again."
    )
    health_seconds: float = setting(
        4.0, minimum=0.2, maximum=300, unit="s", help="Time between two looks at a camera."
    )
    health_failures: int = setting(
        2, minimum=1, maximum=20, help="Failed looks in a row until a camera counts as offline."
    )
    health_answer_seconds: float = setting(
        2.0, minimum=0.1, maximum=60, unit="s", help="How long a camera may take in such a look."
    )
    retry_max_seconds: float = setting(
        8.0, minimum=1, maximum=600, unit="s", help="Longest pause between attempts to reach one."
    )
    allow_loopback: bool = setting(
        False, help="Take cameras on this machine itself; for demos and tests."
    )
    adopted_max: int = setting(
        256, minimum=1, maximum=10_000, help="Cameras that this gateway serves at most."
    )
