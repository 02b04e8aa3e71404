"""Our relays against haproxy, socat and a direct connection: `python -m bench.relay`.

All of them in one network namespace, in shuffled order within each repetition, under the load of
bench/load.c: streams of an RTSP camera that a client plays. Ours are those of bench/ours.py: the
rendezvous relay, the tunnel of a camera, and that tunnel behind our own relay. For each measure
one line of JSON is printed and appended to bench/results/relay.jsonl, with its bar and whether it
is met. Ratios are medians of the ratios within one repetition; CPU is that of all processes of a
relay. Takes about eight minutes; --only names single measures.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.contenders import (
    DIRECT,
    GENERATOR_CORE,
    HAPROXY,
    RELAY_CORE,
    SOCAT,
    SPLICE,
    Camera,
    Client,
    Relay,
    build,
    small_segments,
)
from bench.figures import RESULTS, machine, rounded
from bench.ours import KINDS
from bench.scenes import verify
from bench.stage import alone

MEASURES = ("bulk", "small", "streams", "setup", "idle", "stall", "busy", "verify")
PROGRAMS = ("haproxy", "socat", "gcc")
PEERS = (DIRECT, HAPROXY, SPLICE, SOCAT)
STREAMS, BUSY_STREAMS = 100, 20
AT_ONCE = 32
IDLE = 5_000
IDLE_BAR, SETUP_BAR, STALL_BAR = 1_200, 2_500, 1.0
TUNNELS = ("camera", "gateway")
TWO = "two, one behind the other: the relay's pair and the camera's tunnel"
BUSY = 0.5
BUSY_NOISE = 1.2
"""The p99 of two equal runs differs by that much on a quiet machine of two cores."""

Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One measure of one relay; `at_least` and `at_most` are its bar."""

    measure: str
    relay: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    more: dict[str, Any] | None = None

    @property
    def met(self) -> bool | None:
        """Whether the bar is reached; None where there is none."""
        if self.at_least is None and self.at_most is None:
            return None
        low = self.at_least is None or self.value >= self.at_least
        return low and (self.at_most is None or self.value <= self.at_most)

    def line(self) -> dict[str, Any]:
        """Return it as one JSON object."""
        found: dict[str, Any] = {"measure": self.measure, "relay": self.relay}
        found |= {"value": rounded(self.value), "unit": self.unit}
        found |= {} if self.at_least is None else {"at_least": self.at_least}
        found |= {} if self.at_most is None else {"at_most": self.at_most}
        found |= {} if self.met is None else {"met": self.met}
        for name, value in (self.more or {}).items():
            found[name] = rounded(value) if isinstance(value, float) else value
        return found


class Bench:
    """One run."""

    def __init__(self, folder: Path, seconds: float, repetitions: int) -> None:
        self._folder = folder
        self._seconds = seconds
        self._repetitions = repetitions
        self._load = build(folder)

    def run(self, measures: Sequence[str]) -> Iterator[Finding]:
        """Yield what is found, measure by measure."""
        for measure in measures:
            print(f"{measure} ...", file=sys.stderr, flush=True)
            yield from getattr(self, f"_{measure}")()

    def _rounds(
        self, names: Sequence[str], camera: Camera, one: Callable[[Relay], dict[str, Any]],
        times: int, *, pin: bool = False,
    ) -> Rows:  # fmt: skip
        """Have every relay measured once in each round, all of them running all the time."""
        rows: Rows = defaultdict(list)
        with ExitStack() as stack:
            relays = []
            for name in names:
                relays.append(Relay(name, camera.address, self._folder))
                stack.callback(relays[-1].close)
            if pin:
                camera.pin({GENERATOR_CORE})
                for relay in relays:
                    relay.pin({RELAY_CORE})
            for _ in range(times):
                for relay in random.sample(relays, len(relays)):
                    rows[relay.name].append(one(relay))
        return rows

    def _client(self, what: str, relay: Relay, *words: object, pin: bool = False) -> dict[str, Any]:
        with Client(self._load, what, relay, *words, pin=pin) as client:
            return client.result

    def _with_camera(self, work: Callable[[Camera], Rows]) -> Rows:
        camera = Camera(self._load)
        try:
            return work(camera)
        finally:
            camera.close()

    # -- the measures

    def _bulk(self) -> Iterator[Finding]:
        rows = self._with_camera(
            lambda camera: self._rounds((*PEERS, *KINDS), camera, self._one_bulk, self._repetitions)
        )
        yield from self._compare_bulk("bulk", rows, 0.95)

    def _small(self) -> Iterator[Finding]:
        if os.geteuid():
            print("small segments need a link of their own, and that root", file=sys.stderr)
            return
        with small_segments() as (process, host):
            camera = Camera(self._load, host, process)
            try:
                names = (HAPROXY, SPLICE, *KINDS)
                rows = self._rounds(names, camera, self._one_bulk, self._repetitions)
            finally:
                camera.close()
        yield from self._compare_bulk("small", rows, 1.1)

    def _one_bulk(self, relay: Relay) -> dict[str, Any]:
        row = self._client("bulk", relay, self._seconds)
        return {**row, "cpu_GB": row["cpu"] / (row["octets"] / 1e9)}

    def _compare_bulk(self, measure: str, rows: Rows, bar: float) -> Iterator[Finding]:
        for name in rows:
            more = {
                "MB_s": _median(rows[name], "rate"),
                "cpu_s_GB": _median(rows[name], "cpu_GB"),
                "of": SPLICE,
            }
            ours = name in KINDS
            rate = _ratio(rows, name, SPLICE, "rate")
            yield Finding(
                f"{measure} rate", name, rate, "ratio", at_least=bar if ours else None, more=more
            )
            if ours:
                cost = _ratio(rows, name, SPLICE, "cpu_GB")
                most = 1.0 if measure == "bulk" else None
                yield Finding(f"{measure} CPU", name, cost, "ratio", at_most=most, more=more)

    def _streams(self) -> Iterator[Finding]:
        def one(relay: Relay) -> dict[str, Any]:
            row = self._client("paced", relay, self._seconds, STREAMS, pin=True)
            return {**row, "percent": 100 * row["cpu"] / row["seconds"]}

        rows = self._with_camera(
            lambda camera: self._rounds((*PEERS, *KINDS), camera, one, self._repetitions, pin=True)
        )
        for name, found in rows.items():
            more: dict[str, Any] = {
                key: _median(found, key) for key in ("percent", "p50_us", "p99_us", "came")
            }
            if name == DIRECT:
                yield Finding("100 streams CPU", name, 0.0, "ratio", more=more)
                continue
            more["of_splice"] = _ratio(rows, name, SPLICE, "percent")
            ratio = _ratio(rows, name, HAPROXY, "percent")
            most = 1.0 if name in KINDS else None
            yield Finding(
                "100 streams CPU", name, ratio, "ratio", at_most=most, more={**more, "of": HAPROXY}
            )

    def _setup(self) -> Iterator[Finding]:
        def one(relay: Relay) -> dict[str, Any]:
            row = self._client("setup", relay, self._seconds, AT_ONCE)
            row["cpu_us"] = row["cpu"] / max(1, row["done"]) * 1e6
            played = self._client("play", relay, self._seconds, AT_ONCE)
            # What is not timed, the streams' set-up, takes thrice as long: half the seconds do.
            begun = self._client("begin", relay, self._seconds / 2, AT_ONCE)
            begun = {f"begin_{key}": value for key, value in begun.items()}
            return {**row, "play": played["rate"], **begun}

        rows = self._with_camera(
            lambda camera: self._rounds((*PEERS, *KINDS), camera, one, self._repetitions)
        )
        for name, found in rows.items():
            more: dict[str, Any] = {
                key: _median(found, key) for key in ("p99_us", "cpu_us", "play")
            }
            more["failed"] = sum(row["failed"] for row in found)
            least = SETUP_BAR if name in ("relay", "camera") else None
            if name == "gateway":
                more["why_no_bar"] = TWO
            yield Finding("set-up", name, _median(found, "rate"), "1/s", at_least=least, more=more)
        for name, found in rows.items():
            more = {key: _median(found, f"begin_{key}") for key in ("p50_us", "p99_us")}
            more["failed"] = sum(row["begin_failed"] for row in found)
            least = SETUP_BAR if name in TUNNELS else None
            yield Finding(
                "hand-over after PLAY", name, _median(found, "begin_rate"), "1/s",
                at_least=least, more=more,
            )  # fmt: skip

    def _idle(self) -> Iterator[Finding]:
        def one(relay: Relay) -> dict[str, Any]:
            self._client("play", relay, 0.3, AT_ONCE)  # what is allocated once is there before
            time.sleep(0.5)
            before = relay.memory()
            with Client(self._load, "idle", relay, IDLE, pin=False) as client:
                time.sleep(1.0)
                held = client.result["held"]
                parts = [b - a for a, b in zip(before, relay.memory(), strict=True)]
                began = relay.cpu()
                time.sleep(1.0)
                busy = relay.cpu() - began
            return {"held": held, "idle_cpu": busy, "each": sum(parts) / max(1, held),
                    "parts": [round(part / max(1, held)) for part in parts]}  # fmt: skip

        rows = self._with_camera(lambda camera: self._rounds((HAPROXY, *KINDS), camera, one, 1))
        for name, (row,) in rows.items():
            more = {"held": row["held"], "processes": row["parts"], "cpu_s": row["idle_cpu"]}
            more |= {"of": TWO} if name == "gateway" else {}
            most = {"relay": IDLE_BAR, "camera": IDLE_BAR, "gateway": 2 * IDLE_BAR}.get(name)
            yield Finding("idle", name, row["each"], "octets", at_most=most, more=more)

    def _stall(self) -> Iterator[Finding]:
        """What a client that stops reading holds back, in seconds of the stream that it watched."""
        scenes = (("watch", "4 Mbit/s", (DIRECT, HAPROXY, *KINDS), 2),
                  ("stall", "as fast as it goes", (*PEERS, *KINDS), 3))  # fmt: skip
        for path, words, names, times in scenes:
            camera = Camera(self._load)
            try:
                rows = self._rounds(names, camera, partial(self._one_stall, camera, path), times)
            finally:
                camera.close()
            without = _median(rows[DIRECT], "held")
            for name, found in rows.items():
                held = max(row["held"] for row in found) - without
                rate = min(row["octets"] / row["seconds"] for row in found)
                yield Finding(
                    f"stalled client, {words}", name, held / rate, "s of the stream",
                    at_most=STALL_BAR if name in KINDS else None,
                    more={"held_octets": held, "MB_s": rate / 1e6},
                )  # fmt: skip

    def _one_stall(self, camera: Camera, path: str, relay: Relay) -> dict[str, Any]:
        return self._client("stall", relay, *camera.address, path)

    def _busy(self) -> Iterator[Finding]:
        """Pictures while the event loop is busy; haproxy beside the same burner is the control."""
        rows: Rows = defaultdict(list)
        camera = Camera(self._load)
        try:
            for _ in range(self._repetitions):
                for name in random.sample((HAPROXY, *KINDS), 4):
                    for share in random.sample((0.0, BUSY), 2):
                        row = self._one_busy(name, share, camera)
                        rows[f"{name} busy" if share else name].append(row)
        finally:
            camera.close()
        control = [_median(rows[name], "p99_us") for name in (HAPROXY, f"{HAPROXY} busy")]
        for name in KINDS:
            quiet, busy = (_median(rows[key], "p99_us") for key in (name, f"{name} busy"))
            yield Finding(
                "p99 with a busy loop", name, busy / max(quiet, *control), "ratio",
                at_most=BUSY_NOISE,
                more={"quiet_us": quiet, "busy_us": busy, "haproxy_us": control[0],
                      "haproxy_beside_a_burner_us": control[1],
                      "busy_p50_us": _median(rows[f"{name} busy"], "p50_us")},
            )  # fmt: skip

    def _one_busy(self, name: str, share: float, camera: Camera) -> dict[str, Any]:
        with ExitStack() as stack:
            ours = name in KINDS
            options = ("--busy", str(share)) if share else ()
            relay = Relay(name, camera.address, self._folder, *(options if ours else ()))
            stack.callback(relay.close)
            if share and not ours:
                burner = Relay(KINDS[0], camera.address, self._folder, *options)
                stack.callback(burner.close)
            return self._client("paced", relay, self._seconds, BUSY_STREAMS)

    def _verify(self) -> Iterator[Finding]:
        for name in (HAPROXY, SPLICE, SOCAT, *KINDS):
            faults = verify(name, self._folder)
            least = 0 if name in KINDS else None
            yield Finding(
                "verify", name, len(faults), "faults", at_most=least, more={"faults": faults}
            )


def _median(rows: list[dict[str, Any]], key: str) -> float:
    return float(statistics.median(row[key] for row in rows))


def _ratio(rows: Rows, name: str, other: str, key: str) -> float:
    # Each is compared with its neighbour in time: other work on the machine comes and goes.
    pairs = zip(rows[name], rows[other], strict=True)
    return float(statistics.median(a[key] / b[key] if b[key] else 0.0 for a, b in pairs))


def main(arguments: list[str] | None = None) -> int:
    """Measure and report; returns the exit status: 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.relay", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each single measurement")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", default="", help=f"some of {','.join(MEASURES)}, by comma")
    given = sys.argv[1:] if arguments is None else arguments
    chosen = parser.parse_args(given)
    measures = [name for name in MEASURES if not chosen.only or name in chosen.only.split(",")]
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        print(f"These programs are needed: {' '.join(missing)}", file=sys.stderr)
        return 2
    status = alone("bench.relay", given)
    if status is not None:
        return status
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and leave no relay behind
    stamp = {"date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **machine()}
    missed = 0
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        (RESULTS / "relay.jsonl").open("a", encoding="utf-8") as results,
    ):
        for found in Bench(Path(folder), chosen.seconds, chosen.repetitions).run(measures):
            line = found.line()
            missed += found.met is False
            print(json.dumps(line), flush=True)
            results.write(json.dumps(line | stamp) + "\n")
    print(f"{missed} bars missed", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
