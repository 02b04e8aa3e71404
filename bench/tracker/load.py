"""Load generator for any Softnet tracker. See README.md; output: one JSON object a line.

python3 load.py run --host 127.0.0.1 --port 7740 --accounts accounts.json --pid 1234
python3 load.py verify --vectors ../../shared/protocol/vectors
python3 load.py median run1.jsonl run2.jsonl run3.jsonl
"""

import argparse
import json
import math
import os
import random
import resource
import statistics
import time
from pathlib import Path

from check import median, verify
from endpoint import KEEP_ALIVE, Endpoint, Loop, clock, event_frame, rpc_echo, rpc_request
from wire import OCT, Structure, seq, tlv

PHASES = ("login", "idle", "rpc", "events", "storm")


def quantile(values: list[float], q: float) -> float:
    """Nearest rank, in milliseconds, of values in seconds."""
    ordered = sorted(values)
    return (
        round(1000 * ordered[max(0, math.ceil(q * len(ordered)) - 1)], 3)
        if ordered
        else float("nan")
    )


class Server:
    """Memory and CPU time of the measured processes, from /proc."""

    def __init__(self, pids: list[int]):
        self.pids = pids

    def pss_kib(self) -> int:
        total = 0
        for pid in self.pids:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        return total

    def cpu(self) -> float:
        ticks = 0
        for pid in self.pids:
            after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(after_name[11]) + int(after_name[12])
        return ticks / os.sysconf("SC_CLK_TCK")


class Run:
    def __init__(self, a: argparse.Namespace):
        data = json.loads(Path(a.accounts).read_text())
        self.a, self.server, self.structure = a, Server(a.pid), Structure(data["structure"])
        self.services, self.clients = [], []
        for index, site in enumerate(data["sites"]):
            single = site.get("kind", "multi") == "single"
            self.services += [Endpoint(index, single, s, True) for s in site["services"]]
            self.clients += [Endpoint(index, single, c, False) for c in site["clients"]]
        self.sites, self.all = len(data["sites"]), self.services + self.clients
        self.loop = Loop(a.host, a.port, self.structure, a.quickack)
        self.round, self.marks = 0, (0.0, 0.0)
        self.start_pss = self.server.pss_kib() if a.pid else None

    # -- output

    def mark(self) -> None:
        self.marks = (self.server.cpu(), time.process_time())

    def emit(self, phase: str, operations: int = 0, **values) -> None:
        line = {
            "phase": phase,
            "label": self.a.label,
            "round": self.round,
            "endpoints": len(self.all),
            "sites": self.sites,
            **values,
        }
        if operations:
            server, own = self.server.cpu() - self.marks[0], time.process_time() - self.marks[1]
            if self.a.pid:
                line.update(
                    server_cpu_s=round(server, 3),
                    server_cpu_us_per_op=round(1e6 * server / operations, 1),
                )
            line["generator_cpu_s"] = round(own, 3)
        print(
            json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in line.items()}),
            flush=True,
        )

    # -- phases

    def online(self, endpoints: list[Endpoint], concurrency: int) -> dict:
        r = self.loop.bring_online(endpoints, concurrency, self.a.limit)
        r["complete"] = r["online"] == len(endpoints)
        return r

    def drop_all(self) -> None:
        for ep in self.all:
            self.loop.drop(ep)
        self.loop.pending.clear()

    def prepare(self) -> None:
        """Untimed: construct the sites, store structures and subscriptions, warm up; then leave."""
        first = list({ep.site: ep for ep in self.services}.values())
        chosen = set(first)
        for group in (first, [ep for ep in self.services if ep not in chosen], self.clients):
            r = self.online(group, self.a.concurrency)
            if not r["complete"]:
                raise SystemExit(
                    f"prepare: only {r['online']} of {len(group)} got online: {r['problems']}"
                )
        subscribed = bool(self.loop.subscription)
        self.loop.run_until(lambda: all(c.synced for c in self.clients) or not subscribed, 10)
        self.settle(1.0)
        self.drop_all()
        time.sleep(self.a.settle)
        if self.a.pid:
            self.emit("prepared", pss_start_kib=self.start_pss, pss_kib=self.server.pss_kib())

    def settle(self, seconds: float) -> None:
        self.loop.run_until(lambda: False, seconds)

    def login(self) -> None:
        for ep in self.all:
            ep.forget()
        self.mark()
        services = self.online(self.services, self.a.concurrency)
        clients = self.online(self.clients, self.a.concurrency)
        lat = [[t for _, t in r["latencies"]] for r in (services, clients)]
        seconds = services["seconds"] + clients["seconds"]
        self.emit(
            "login",
            len(self.all),
            complete=services["complete"] and clients["complete"],
            concurrency=self.a.concurrency,
            seconds=seconds,
            logins_per_s=len(self.all) / seconds,
            p50_ms=quantile(lat[0] + lat[1], 0.5),
            p99_ms=quantile(lat[0] + lat[1], 0.99),
            service_p50_ms=quantile(lat[0], 0.5),
            client_p50_ms=quantile(lat[1], 0.5),
            services_per_s=len(self.services) / services["seconds"],
            clients_per_s=len(self.clients) / max(clients["seconds"], 1e-9),
            problems={**services["problems"], **clients["problems"]},
        )

    def idle(self) -> None:
        left = self.a.hold
        self.mark()
        while left > 0:
            part = min(left, 240.0)
            self.settle(part)
            left -= part
            if left > 0:
                for ep in self.all:
                    if ep.online:
                        self.loop.send(ep, KEEP_ALIVE)
        values = {"hold_s": self.a.hold, "still_online": self.loop.online}
        if self.a.pid:
            pss = self.server.pss_kib()
            values.update(
                pss_kib=pss,
                pss_start_kib=self.start_pss,
                server_cpu_percent=100 * (self.server.cpu() - self.marks[0]) / self.a.hold,
                kib_per_endpoint=(pss - self.start_pss) / len(self.all),
            )
        self.emit("idle", **values)

    def rpc(self) -> None:
        with_service = [c for c in self.clients if c.online and c.service_ids]
        if not with_service:
            self.emit("rpc", skipped="no client sees a service")
            return
        for in_flight in self.a.in_flight:
            self.rpc_at(with_service, in_flight)

    def rpc_at(self, clients: list[Endpoint], in_flight: int) -> None:
        payload = seq(tlv(OCT, os.urandom(self.a.payload)))
        slots = []
        step = max(1, len(clients) // in_flight)
        for i in range(in_flight):
            ep = clients[i * step % len(clients)]
            slots.append(
                (ep, *rpc_request(ep.service_ids[i % len(ep.service_ids)], "Echo", payload))
            )
        open_calls, latencies, errors, loop = {}, [], 0, self.loop
        stop = clock() + 1.0  # the first second is warm-up

        def call(slot: tuple) -> None:
            uid = random.randbytes(16)
            open_calls[uid] = (clock(), slot)
            loop.send(slot[0], slot[1] + uid + slot[2])

        def on_rpc(ep: Endpoint, msg: bytes) -> None:
            nonlocal errors
            if ep.service:
                rpc_echo(loop, ep, msg)
                return
            at = 6 if msg[3] < 128 else 6 + (msg[3] & 0x7F)
            begun, slot = open_calls.pop(msg[at : at + 16], (0.0, None))
            now = clock()
            if slot is None or msg[1] != 1 or not msg.endswith(payload):
                errors += 1
            else:
                latencies.append(now - begun)
            if now < stop and slot is not None:
                call(slot)

        loop.on_rpc = on_rpc
        for slot in slots:
            call(slot)
        self.settle(1.0)
        latencies.clear()
        self.mark()
        begin = clock()
        stop = begin + self.a.seconds
        for uid in [u for u, (t, _) in open_calls.items() if t < begin - 0.5]:
            del open_calls[uid]
        for slot in slots[len(open_calls) :]:
            call(slot)
        self.settle(self.a.seconds)
        seconds, calls = clock() - begin, len(latencies)
        self.emit(
            "rpc",
            max(calls, 1),
            in_flight=in_flight,
            calls=calls,
            calls_per_s=calls / seconds,
            p50_ms=quantile(latencies, 0.5),
            p99_ms=quantile(latencies, 0.99),
            payload=self.a.payload,
            errors=errors,
        )
        loop.run_until(lambda: not open_calls, 5)
        if open_calls:
            self.emit("rpc", in_flight=in_flight, lost=len(open_calls))

    def events(self) -> None:
        counts = {}
        for c in self.clients:
            if c.online and c.synced and self.loop.subscription:
                counts[c.site] = counts.get(c.site, 0) + 1
        raisers = {s.site: s for s in self.services if s.online}
        best = max((s for s in counts if s in raisers), key=lambda s: counts[s], default=None)
        if best is None:
            self.emit("events", skipped="no site with a service and a subscriber online")
            return
        subscribers, loop, name = counts[best], self.loop, self.structure.events[0]
        whole, acks, received, payload = [], [], 0, b""
        last = raised = 0.0

        def on_event(_ep: Endpoint, msg: bytes) -> None:
            nonlocal received, last
            if msg.endswith(payload):
                received, last = received + 1, clock()

        def on_ack(_ep: Endpoint, _msg: bytes) -> None:
            acks.append(clock() - raised)

        loop.on_event, loop.on_ack = on_event, on_ack
        missing = 0
        for number in range(self.a.raises + 1):
            if number == 1:  # the first raise is warm-up
                whole.clear()
                acks.clear()
                self.mark()
                begin = clock()
            received, payload = 0, seq(tlv(OCT, os.urandom(24)))
            raised, before = clock(), len(acks)
            loop.send(raisers[best], event_frame(name, payload))
            loop.run_until(lambda: received >= subscribers and len(acks) > before, 30)  # noqa: B023
            missing += max(0, subscribers - received)
            whole.append(last - raised)
        total = clock() - begin
        per_raise = statistics.median(whole)
        self.emit(
            "events",
            self.a.raises * subscribers,
            subscribers=subscribers,
            raises=self.a.raises,
            missing=missing,
            last_delivery_p50_ms=quantile(whole, 0.5),
            last_delivery_max_ms=quantile(whole, 1.0),
            event_ack_p50_ms=quantile(acks, 0.5),
            deliveries_per_s=subscribers / per_raise,
            deliveries_per_s_with_acks=self.a.raises * subscribers / total,
        )

    def storm(self) -> None:
        for at_once in self.a.storm_concurrency:
            self.storm_at(min(at_once, len(self.all)))

    def storm_at(self, at_once: int) -> None:
        self.mark()
        self.drop_all()
        mixed = random.sample(self.all, len(self.all))
        r = self.online(mixed, at_once)
        lat = [t for _, t in r["latencies"]]
        self.emit(
            "storm",
            len(self.all),
            complete=r["complete"],
            online=r["online"],
            concurrency=at_once,
            seconds=r["seconds"],
            logins_per_s=r["online"] / r["seconds"],
            p50_ms=quantile(lat, 0.5),
            p99_ms=quantile(lat, 0.99),
            problems=r["problems"],
        )

    def go(self) -> None:
        self.loop.on_rpc = lambda ep, msg: rpc_echo(self.loop, ep, msg) if ep.service else None
        self.prepare()
        for number in range(1, self.a.rounds + 1):
            self.round = number
            for phase in ("login", "idle", "rpc", "events", "storm"):
                if phase == "login" or phase in self.a.phases:
                    getattr(self, phase)()
            self.drop_all()
            time.sleep(self.a.settle)
        if self.a.pid:
            self.emit("end", pss_kib=self.server.pss_kib())


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sub = p.add_subparsers(dest="command", required=True)
    r = sub.add_parser("run")
    r.add_argument("--host", required=True)
    r.add_argument("--port", type=int, default=7740)
    r.add_argument("--accounts", required=True)
    r.add_argument(
        "--pid",
        type=int,
        action="append",
        default=[],
        help="process of the tracker; repeat for several",
    )
    r.add_argument("--label", default="")
    r.add_argument("--phases", default=",".join(PHASES), type=lambda t: t.split(","))
    r.add_argument("--rounds", type=int, default=1)
    r.add_argument("--concurrency", type=int, default=64, help="logins in progress")
    r.add_argument(
        "--storm-concurrency",
        default="64,1000000",
        type=lambda t: [int(x) for x in t.split(",")],
        help="one storm for each; a number above the endpoints means all at once",
    )
    r.add_argument("--in-flight", default="1,16,100", type=lambda t: [int(x) for x in t.split(",")])
    r.add_argument("--seconds", type=float, default=5.0, help="length of each RPC measurement")
    r.add_argument("--payload", type=int, default=64, help="octets of RPC arguments")
    r.add_argument("--raises", type=int, default=20)
    r.add_argument("--hold", type=float, default=10.0, help="seconds of idleness")
    r.add_argument("--settle", type=float, default=2.0, help="seconds after everybody left")
    r.add_argument("--limit", type=float, default=120.0, help="seconds for one bring-online")
    r.add_argument(
        "--quickack",
        action="store_true",
        help="acknowledge at once (hides a tracker's missing TCP_NODELAY)",
    )
    v = sub.add_parser("verify")
    v.add_argument("--vectors", required=True, type=Path)
    m = sub.add_parser("median")
    m.add_argument("files", nargs="+")
    a = p.parse_args()
    if a.command == "verify":
        verify(a.vectors)
        return
    if a.command == "median":
        median(a.files)
        return
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Run(a).go()


if __name__ == "__main__":
    main()
