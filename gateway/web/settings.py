"""Settings of the management page and its programs' interface."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.setting import setting


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Where the page is served and how much it takes."""

    bind_addresses: tuple[str, ...] = setting(
        ("0.0.0.0", "::"),  # noqa: S104  (the page is for the whole LAN; sign-in guards it)
        minimum=1,
        maximum=16,
        help="addresses on which the page is served",
    )
    port: int = setting(8080, minimum=0, maximum=65_535, help="port of the page; 0: any free one")
    host_names: tuple[str, ...] = setting(
        (), maximum=32, help="further names and addresses by which browsers may call the page"
    )
    tls_certificate: str = setting(
        "", maximum=4096, help="certificate chain (PEM file); empty: plain HTTP"
    )
    tls_key: str = setting("", maximum=4096, help="private key of the certificate (PEM file)")
    connections_max: int = setting(
        512, minimum=16, maximum=10_000, help="open connections; the oldest idle ones go first"
    )
    event_streams_max: int = setting(
        200, minimum=4, maximum=5000, help="pages that are told of changes at the same time"
    )
    silence_max: float = setting(
        30.0, minimum=1, maximum=600, unit="s", help="time for a browser to say what it wants"
    )
