"""Checks of the generator itself against recorded vectors, and medians of several runs."""

import json
import statistics
import sys
from pathlib import Path

from endpoint import Endpoint
from wire import (
    Structure,
    fields,
    ia5,
    integer,
    response_hash,
    salted_password,
    seq,
    subscription_hash,
    user_hash,
)


def verify(folder: Path) -> None:
    """Compare our own hashes and frames with the recorded vectors; exit status 1 if any differs."""
    checked = wrong = 0

    def same(what: str, mine: bytes, theirs: str) -> None:
        nonlocal checked, wrong
        checked += 1
        if mine.hex() != theirs:
            wrong += 1
            print(json.dumps({"differs": what, "mine": mine.hex(), "vector": theirs}))

    auth = json.loads((folder / "auth.json").read_text())
    for v in auth["salted_password"]:
        same(
            "salted password",
            salted_password(bytes.fromhex(v["salt_hex"]), v["password"]),
            v["salted_password_hex"],
        )
    for v in auth["challenge_response"]:
        keys = (bytes.fromhex(v["key1_hex"]), bytes.fromhex(v["key2_hex"]))
        same(
            "response",
            response_hash(*keys, salted_password(bytes.fromhex(v["salt_hex"]), v["password"])),
            v["response_hash_hex"],
        )
    account = {
        "uid": "00112233-4455-6677-8899-aabbccddeeff",
        "key": "k1uckqabs",
        "password": "pass1",
    }
    for v in auth["handshake_frames"]:
        category = v["fields"].get("category")
        if v["name"].startswith(("service OPEN", "service RESTORE")) or category in (1, 2):
            ep = Endpoint(0, category == 1, account, category is None)
            ep.channel = bytes.fromhex(v["fields"].get("channel_id_hex", "")) or None
            same(v["name"], ep.hello(), v["frame_hex"])
    for v in auth["recorded_handshakes"]:
        octets = [bytes.fromhex(o["hex"]) for o in v["octets"]]
        if len(octets) > 2 and v["hash_is_valid"]:
            (_, _, a, e), (_, _, b, f) = fields(octets[1], 3)
            (_, _, c, g), (_, _, d, h) = fields(octets[2], 3)
            salted = salted_password(octets[1][a:e], v["password"])
            same(
                f"handshake: {v['note']}",
                response_hash(octets[1][b:f], octets[2][d:h], salted),
                octets[2][c:g].hex(),
            )
    for v in json.loads((folder / "membership.json").read_text())["vectors"]:
        if v["id"] in (
            "client/user-with-roles",
            "client/user-with-two-roles",
            "client/user-plain-access",
        ):
            roles = seq(*map(ia5, v["roles"]), tag=0xA1) if "roles" in v else b""
            same(
                v["id"],
                user_hash(
                    b"\x09\x02" + seq(integer(int(v["user_id"])), ia5(v["user_name"]), roles)
                ),
                v["hash_hex"],
            )
    names = [(4, "Zeta"), (1, "beta"), (2, "Q1"), (1, "Alpha")]
    vectors = {v["id"]: v for v in json.loads((folder / "events.json").read_text())["vectors"]}
    same(
        "subscriptions", subscription_hash(names), vectors["ev.subscription-hash"]["inputs"]["sha1"]
    )
    for v in json.loads((folder / "site_structure.json").read_text())["structures"]:
        d = dict(v["structure"])
        if not set(d) <= {"guest_support", "roles", "owner_role", "replacing_events"}:
            continue
        if any(set(e) != {"name"} for e in d.get("replacing_events", [])):
            continue
        d["replacing_events"] = [e["name"] for e in d.get("replacing_events", [])]
        s = Structure(
            {
                **d,
                "service_type": v["service_type"],
                "contract_author": v["contract_author"],
                "version": v["version"],
            }
        )
        same(f"structure {v['id']}", s.hash, v["ss_hash_hex"])
        same(f"upload {v['id']}", s.upload, v["site_structure_frame_hex"])
        same(
            f"state {v['id']}",
            s.service_state(None, False, None),
            v["state_frame_hex_blank_membership"],
        )
    print(json.dumps({"phase": "verify", "checked": checked, "wrong": wrong}))
    sys.exit(bool(wrong))


def median(files: list[str]) -> None:
    """Medians of the numbers of equal phases (and sizes) over rounds and files."""
    groups: dict = {}
    for name in files:
        for text in Path(name).read_text().splitlines():
            d = json.loads(text)
            key = tuple(
                (k, d.get(k))
                for k in ("phase", "label", "endpoints", "in_flight", "subscribers", "concurrency")
            )
            groups.setdefault(key, []).append(d)
    for key, rows in groups.items():
        out = {k: v for k, v in key if v is not None} | {"rows": len(rows)}
        for k in rows[0]:
            values = [
                r[k]
                for r in rows
                if isinstance(r.get(k), (int, float)) and not isinstance(r[k], bool)
            ]
            if k not in out and k != "round" and values:
                out[k] = round(statistics.median(values), 3)
        problems = [dict(r["problems"]) for r in rows if r.get("problems")]
        if problems or not all(r.get("complete", True) for r in rows):
            out.update(problems=problems, complete=sum(r.get("complete", True) for r in rows))
        print(json.dumps(out))
