"""What the box tells others, and how: the broker and the log."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.secret import Secret
from gateway.base.setting import setting


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """The MQTT broker that is told of the gateway and its cameras; no host, no broker."""

    host: str = setting("", maximum=253, help="Name or address of the broker; empty: none is told.")
    port: int = setting(1883, minimum=1, maximum=65535, help="Port of the broker; TLS often: 8883.")
    version: str = setting("5", choices=("5", "3.1.1"), help="Version of MQTT to speak.")
    tls: bool = setting(False, help="Encrypt the connection and check the broker's certificate.")
    ca_file: str = setting(
        "", maximum=4096, help="Certificates to trust instead of the system's (PEM file)."
    )
    user: str = setting("", maximum=256, help="User name at the broker.")
    password: Secret = setting(Secret(""), secret=True, help="Password at the broker.")
    password_file: str = setting(
        "", maximum=4096, help="File that holds the password, instead of the password here."
    )
    prefix: str = setting(
        "softnet-gw", minimum=1, maximum=64, help="First part of every topic; no + and no #."
    )
    gateway_id: str = setting(
        "", maximum=32, help="Second part of every topic; empty: made once and kept in the state."
    )
    keep_alive: int = setting(
        20, minimum=5, maximum=3600, unit="s", help="How often silence is broken by a ping."
    )
    reconnect_max: int = setting(
        30, minimum=1, maximum=3600, unit="s", help="Longest pause between attempts to connect."
    )
    outbox: int = setting(
        512, minimum=16, maximum=65536, help="Topics that may wait for the broker; newest win."
    )


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is written to the journal or the terminal."""

    level: str = setting(
        "info", choices=("debug", "info", "warning", "error"), help="Least severity written."
    )
    target: str = setting(
        "auto",
        choices=("auto", "journal", "console"),
        help="Where it goes; auto: the journal under systemd, else the terminal.",
    )
    debug: tuple[str, ...] = setting(
        (), maximum=64, help='Parts to write in full, as in ["gateway.tracker"].'
    )
    burst: int = setting(
        20, minimum=1, maximum=10000, help="Lines of one kind written in a period before it is cut."
    )
    period: int = setting(60, minimum=1, maximum=3600, unit="s", help="Length of that period.")


@dataclass(frozen=True, slots=True)
class MailSettings:
    """How patiently mail is sent; which server takes it is set on the pages."""

    time_limit: float = setting(
        20.0, minimum=1, maximum=300, unit="s", help="Longest time one letter may take."
    )
    attempts: int = setting(
        6, minimum=1, maximum=50, help="Attempts before a letter is given up as failed."
    )
    first_pause: float = setting(
        30.0, minimum=1, maximum=3600, unit="s", help="Pause after the first failed attempt."
    )
    longest_pause: float = setting(
        3600.0, minimum=1, maximum=86_400, unit="s", help="Pauses grow fourfold up to this."
    )
    tidy_every: float = setting(
        60.0, minimum=1, maximum=3600, unit="s", help="How often expired letters are looked for."
    )
    ca_file: str = setting(
        "", maximum=4096, help="Certificates to trust instead of the system's (PEM file)."
    )
    helo_name: str = setting(
        "", maximum=253, help="What the box calls itself to the server; empty: the machine's name."
    )
