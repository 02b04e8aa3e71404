"""What an endpoint can be told besides its URI; the ports are fixed in the protocol."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.setting import setting
from gateway.protocol.backoff import BackOffTable
from gateway.wire.installer import PING_PERIOD_MAX


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Settings of one endpoint; ports and times differ from the protocol's in tests only."""

    ping_period: int = setting(
        0, minimum=0, maximum=PING_PERIOD_MAX, unit="s", help="0 leaves it to the server"
    )
    direct: bool = setting(
        True, help="Offer to be reached directly; otherwise the relay is asked for at once."
    )
    balancer_port: int = 7737
    tracker_port: int = 7740
    rendezvous_port: int = 7778
    udp_rendezvous_port: int = 7779
    connect_limit: float = 18.0
    """Seconds to connect to the balancer (01 section 3.2), used for the tracker as well."""
    answer_limit: float = 30.0
    """Seconds for the balancer's whole answer."""
    back_off: BackOffTable = BackOffTable()
