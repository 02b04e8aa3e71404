"""The scenes of the relay benchmark through the rendezvous relay and through camera tunnels.

Both directions at once, half-close from either side, resets, urgent octets, a stalled reader: what
a plain connection does to octets is what our relays have to do.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from bench.contenders import Relay
from bench.ours import KINDS
from bench.scenes import SCENES, Ends, connected, staged


@pytest.fixture(scope="module", params=KINDS)
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Relay, socket.socket]]:
    host = f"127.12.{KINDS.index(request.param) + 1}.1"
    with staged(request.param, tmp_path_factory.mktemp("scenes"), host) as made:
        yield made


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_octets_end_as_on_a_plain_connection(
    stage: tuple[Relay, socket.socket], scene: Callable[[Ends], None]
) -> None:
    with connected(*stage) as ends:
        scene(ends)
