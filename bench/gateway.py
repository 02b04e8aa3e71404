"""The whole gateway against a direct connection to the camera: `python -m bench gateway`.

A real daemon, cameras that send as fast as their reader reads, and one client that reaches them
through a Softnet client endpoint: client <- relay <- bridge <- camera. Takes about two minutes;
compare runs of a quiet machine only.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, Record
from bench.stage import Stage, Viewer, alone, settled

STREAMS = 20
MBIT = 4.0
IDLE_CAMERAS = 16
SET_UPS = 100
AT_ONCE = 16
WARM_UP_SET_UPS = 20
RATIO_BAR = 0.4
MEMORY_BAR = 90.0


def quantile(values: list[float], share: float) -> float:
    """Return a quantile of sorted values."""
    return values[min(len(values) - 1, int(len(values) * share))]


class Bench:
    """One run: a stage, a viewer, and what is asked of them."""

    def __init__(self, stage: Stage, seconds: float, repetitions: int) -> None:
        self._stage = stage
        self._seconds = seconds
        self._repetitions = repetitions

    def run(self) -> Iterator[Figure]:
        """Yield every figure, the idle daemon first."""
        stage = self._stage
        yield Figure("start until it greets", stage.start_seconds, "s")
        yield from self._memory("idle daemon, no camera", MEMORY_BAR)
        stage.claim()
        bulk, paced = stage.camera(), stage.camera(MBIT)
        for number in range(IDLE_CAMERAS):
            stage.adopt(paced, f"paced{number}")
        stage.wait_online()
        yield from self._memory(f"idle daemon, {IDLE_CAMERAS} cameras", MEMORY_BAR)
        stage.adopt(bulk, "bulk")
        stage.wait_online()
        viewer = stage.viewer()
        direct = {"bulk": ["127.0.0.1", bulk], "paced": ["127.0.0.1", paced]}
        yield from self._bulk(viewer, direct, 1, RATIO_BAR)
        yield from self._bulk(viewer, direct, STREAMS, None)
        yield from self._paced(viewer, direct)
        yield from self._set_ups(viewer)
        yield from self._memory(f"after all that, {IDLE_CAMERAS + 1} cameras", None)

    def _memory(self, what: str, bar: float | None) -> Iterator[Figure]:
        with settled(self._stage):
            found = self._stage.memory()
        more = {name: value for name, value in found.items() if name != "rss"}
        yield Figure(f"memory: {what}", found["rss"], "MiB", bar=bar, more=more)

    def _bulk(
        self, viewer: Viewer, direct: dict[str, list], count: int, bar: float | None
    ) -> Iterator[Figure]:
        rates: dict[str, list[float]] = {"direct": [], "gateway": []}
        costs: list[list[float]] = []
        ways = {"direct": direct["bulk"], "gateway": viewer.services["bulk"]}
        for _ in range(self._repetitions):
            for way, where in ways.items():
                viewer.begin("streams", where=where, count=count, seconds=self._seconds, mbit=0)
                assert viewer.answer() == "begun"
                before = self._stage.cpu()
                result = viewer.answer()
                spent = [b - a for a, b in zip(before, self._stage.cpu(), strict=True)]
                rates[way].append(result["octets"] / result["seconds"] / 1e6)
                if way == "gateway":
                    costs.append([one / (result["octets"] / 1e9) for one in spent])
        plain, ours = (statistics.median(rates[way]) for way in ways)
        # Each is compared with its neighbour in time: other work on the machine comes and goes.
        pairs = zip(rates["gateway"], rates["direct"], strict=True)
        ratio = statistics.median(one / other for one, other in pairs)
        name = "1 stream" if count == 1 else f"{count} streams"
        yield Figure(
            f"{name} as fast as it goes", ours, "MB/s", ratio=ratio, bar=bar,
            more={"direct_MB_s": plain, "best_MB_s": max(rates["gateway"])},
        )  # fmt: skip
        daemon, *others = (statistics.median(column) for column in zip(*costs, strict=True))
        yield Figure(
            f"CPU of daemon and relay process, {name}", daemon + sum(others), "s/GB",
            more={"daemon": daemon},
        )  # fmt: skip

    def _paced(self, viewer: Viewer, direct: dict[str, list]) -> Iterator[Figure]:
        seconds = 2 * self._seconds
        due = STREAMS * MBIT * 1e6 / 8 * seconds
        for way, where in (("direct", direct["paced"]), ("gateway", viewer.services["paced0"])):
            viewer.begin("streams", where=where, count=STREAMS, seconds=seconds, mbit=MBIT)
            assert viewer.answer() == "begun"
            before = self._stage.cpu()
            result = viewer.answer()
            spent = sum(self._stage.cpu()) - sum(before)
            delays = [1000 * delay for delay in result["delays"]]
            yield Figure(
                f"{STREAMS} streams of {MBIT:g} Mbit/s, {way}: picture p50",
                quantile(delays, 0.5), "ms",
                more={"p99_ms": quantile(delays, 0.99), "came": result["octets"] / due,
                      "cpu_percent": 100 * spent / result["seconds"]},
            )  # fmt: skip

    def _set_ups(self, viewer: Viewer) -> Iterator[Figure]:
        # All over the cameras: each of their ports has its own backlog.
        where = list(viewer.services.values())
        viewer.order("set_ups", wheres=where, times=WARM_UP_SET_UPS, at_once=1)
        for at_once in (1, AT_ONCE):
            before = sum(self._stage.cpu())
            times = SET_UPS * (1 if at_once == 1 else 3)
            result = viewer.order("set_ups", wheres=where, times=times, at_once=at_once)
            spent = sum(self._stage.cpu()) - before
            answers = [1000 * one for one in result["answers"]]
            tunnels = [1000 * one for one in result["tunnels"]]
            name = "one after the other" if at_once == 1 else f"{at_once} at once"
            yield Figure(
                f"set-up to the first answer, {name}: p50", quantile(answers, 0.5), "ms",
                more={"p99_ms": quantile(answers, 0.99), "tunnel_p50_ms": quantile(tunnels, 0.5),
                      "tunnel_p99_ms": quantile(tunnels, 0.99),
                      "gateway_cpu_ms": 1000 * spent / times},
            )  # fmt: skip
            yield Figure(f"tunnels a second, {name}", times / result["seconds"], "1/s")


def main(arguments: list[str] | None = None) -> int:
    """Measure and report; returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m bench gateway", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each single measurement")
    parser.add_argument("--repetitions", type=int, default=5)
    chosen = parser.parse_args(given)
    status = alone("bench.gateway", given)
    if status is not None:
        return status
    record = Record("gateway")
    with tempfile.TemporaryDirectory() as folder, Stage(Path(folder)) as stage:
        for figure in Bench(stage, chosen.seconds, chosen.repetitions).run():
            record.add(figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
