"""What each file of golden vectors proves: every entry is dispatched to a check or said to be open.

`read` is octets to values, `written` values to octets; an entry counts once it passed both where it
has both. The checks are those of tests/asn1, tests/wire and tests/protocol where these have them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from _pytest.mark.structures import Mark

from gateway.asn1.writer import SequenceWriter
from gateway.protocol.connector import Connector, DirectOffered
from gateway.wire import catalogue
from gateway.wire.rendezvous import ProxyRole, data_header
from tests.asn1 import test_vectors as dialect
from tests.interop import test_conversations as conversations
from tests.interop.transcripts import Cell, control_frames, count
from tests.protocol import test_balancer as balancer
from tests.protocol import test_siteside as siteside
from tests.support.recordings import vectors
from tests.wire import test_datagrams as datagrams
from tests.wire import test_vectors as wire

Check = Callable[[], None]


def _each(test: Any, cases: list[Any], **more: Any) -> dict[int, Check]:
    """Return a check per case of a parametrized test, by the identity of the case."""
    marks: list[Mark] = test.pytestmark
    name = next(m.args[0] for m in marks if isinstance(m.args[0], str) and m.args[0] != "step")
    return {id(case): lambda c=case: test(**{name: c}, **more) for case in cases}


def _counted(entries: list[Any], checks: dict[int, Check]) -> tuple[int, list[str]]:
    """Run the checks of the entries; return how many ran, and the names of those without one."""
    done, left = 0, []
    for entry in entries:
        check = checks.get(id(entry))
        if check is None:
            left.append(str(entry.get("id") or entry.get("case") or entry.get("uri")))
        else:
            check()
            done += 1
    return done, left


def _cell(parts: dict[str, tuple[int, list[str]]], notes: tuple[str, ...] = ()) -> Cell:
    left = [name for _, names in parts.values() for name in names]
    failure = f"no check for {', '.join(left)}" if left else ""
    texts = [count(done, what) for what, (done, _) in parts.items()]
    return Cell(", ".join(texts), notes, failure)


def asn1() -> Cell:
    """Check every vector of the dialect read and written, and every decoding case."""
    entries = dialect.VECTORS["vectors"]
    written = _each(dialect.test_the_writer_emits_the_octets, dialect.IN_DIALECT)
    read = _each(dialect.test_the_reader_takes_the_values, dialect.IN_DIALECT)
    both = {key: lambda k=key: (written[k](), read[k]()) for key in written}
    both |= _each(dialect.test_foreign_classes_and_explicit_tags_are_passed_over, dialect.BEYOND)
    cases = dialect.VECTORS["decode_cases"]
    decode = _each(dialect.test_decoding_cases_end_as_in_the_stricter_reference, cases)
    beyond = len(dialect.BEYOND)
    return _cell(
        {"value": _counted(entries, both), "decoding case": _counted(cases, decode)},
        (
            (
                f"{count(beyond, 'value')} of explicit tags or foreign classes: read past, never "
                "written; the protocol has none"
            ),
            (
                "where the two references judge a decoding case differently, ours refuses, but for "
                f"{', '.join(sorted(dialect.STRICTER))}, which are harmless"
            ),
        ),
    )


def auth() -> Cell:
    """Check passwords, handshakes, balancer exchanges, probes, checksums and URIs."""
    wire.test_passwords_and_responses()
    wire.test_uris_are_judged_as_by_the_reference_library()
    found = wire.AUTH
    parts = {
        "salted password": (len(found["salted_password"]), []),
        "challenge": (len(found["challenge_response"]), []),
        "checksum": (len(found["fnv1a_32"]), []),
        "URI": (len(found["uri_cases_java"]), []),
        "server name": (len(found["is_literal_ip_java"]), []),
    }
    exchanges = found["balancer_exchanges"]
    wire_side = _each(wire.test_balancer_answers, exchanges)
    server_cases = vectors("auth")["balancer_exchanges"]  # the same file, read a second time
    for step in (1, 2000):
        for case in server_cases:
            balancer.test_answers_are_those_of_the_reference(case, step)
    for what, key, test in (
        ("handshake frame", "handshake_frames", wire.test_handshake_frames),
        ("recorded handshake", "recorded_handshakes", None),
        ("balancer question", "balancer_requests", wire.test_balancer_requests),
    ):
        checked = test or wire.test_recorded_handshakes_prove_their_password
        parts[what] = _counted(found[key], _each(checked, found[key]))
    parts["balancer exchange"] = _counted(exchanges, wire_side)
    probes = found["tracker_probes"]
    parts["probe"] = _counted(probes, _each(siteside.test_probes_of_the_reference_tracker, probes))
    known = {*found} - {"about"}
    counted = {
        "salted_password", "challenge_response", "handshake_frames", "recorded_handshakes",
        "balancer_requests", "balancer_exchanges", "tracker_probes", "fnv1a_32",
        "uri_cases_java", "is_literal_ip_java",
    }  # fmt: skip
    assert known == counted, known ^ counted
    return _cell(
        parts,
        (
            (
                "probe 'header in two segments': the reference closes, ours takes any segmentation "
                "(01 section 3.5)"
            ),
            (
                "probe 'version 2': ours answers with type 1, which endpoints understand "
                "(01 section 3.5)"
            ),
            "URI with an underscore in the host: the reference library refuses, ours accepts",
        ),
    )


# -- messages --------------------------------------------------------------------------------------


def _p2p_keys(entry: dict[str, Any]) -> None:
    orders = {v["id"]: v["inputs"] for v in wire.ALL if v["id"] == "raw.tcp.p2p-key.service"}[
        "raw.tcp.p2p-key.service"
    ]
    side = ProxyRole.SERVICE if entry["id"].endswith("service") else ProxyRole.CLIENT
    connector = Connector(side, bytes(16), direct=True, local_endpoint=bytes(6))
    connector.start(0.0)
    connector.feed(bytes.fromhex("190b30160414" + "00" * 20), 0.0)
    connector.vouch(bytes(20), bytes(20))
    connector.feed(bytes.fromhex(orders[f"CREATE_P2P_to_{side.name.lower()}"]), 0.0)
    offers = []
    while (report := connector.next_event()) is not None:
        offers.append(report)
    offer = next(one for one in offers if isinstance(one, DirectOffered))
    assert offer.secret_key.hex() == entry["hex"]


def _header(entry: dict[str, Any]) -> None:
    uid = bytes.fromhex(entry["inputs"]["connectionUid"])
    assert data_header(ProxyRole(entry["inputs"]["role"]), uid).hex() == entry["hex"]


def _minus_128(entry: dict[str, Any]) -> None:
    octets = SequenceWriter().int32(entry["inputs"]["value"]).encode()
    assert octets.hex() == entry["inputs"]["correct"]
    assert octets.hex() != entry["hex"]


def _check_of(entry: dict[str, Any]) -> Check | None:
    name = entry["id"]
    if name.startswith("raw.udp.P2P"):
        kind = entry["hex"][:2]
        return lambda: datagrams.test_punches_are_as_captured(
            name.removeprefix("raw.udp."), int(kind, 16)
        )
    for start, check in (
        ("rzv.", lambda: wire.test_control_messages_of_the_proxy(entry)),
        ("auth.hash", wire.test_computed_vectors),
        ("ev.subscription-hash", wire.test_computed_vectors),
        ("raw.tcp.p2p-key", lambda: _p2p_keys(entry)),
        ("raw.tcp.", lambda: _header(entry)),
        ("raw.udp.ENDPOINT_INFO.v4",
         datagrams.test_an_endpoint_introduces_itself_over_ipv4_as_captured),
        ("raw.udp.ENDPOINT_INFO.v6",
         datagrams.test_trap_t6_over_ipv6_both_sizes_are_taken_and_the_tail_means_nothing),
        ("trap.asn1.int-minus-128", lambda: _minus_128(entry)),
    ):  # fmt: skip
        if name.startswith(start):
            return check
    if entry["direction"].partition(" (")[0] in wire.DIRECTIONS:
        return lambda: wire.test_messages_through_the_tracker(entry)
    return None


def _live(conversations: list[dict[str, Any]]) -> tuple[int, list[str]]:
    """Check every step of the live conversations; what the application printed is no step."""
    done, left = 0, []
    for conversation in conversations:
        for step in conversation["steps"]:
            if "hex" not in step:
                continue
            octets, sides = bytes.fromhex(step["hex"]), step["dir"]
            if (pair := sides.replace("->", " -> ")) in wire.DIRECTIONS:
                direction = wire.DIRECTIONS[pair]
                message = catalogue.decode(direction, wire.payload_of(octets))
                assert catalogue.encode(direction, message) == octets
            elif "proxy" in sides:
                control_frames(octets, udp="udp" in sides)
            elif sides == "data header":
                assert data_header(ProxyRole(octets[0]), octets[1:]) == octets
            elif sides == "UDP endpoint info":
                info = datagrams.read_endpoint_info(octets, ipv4=True)
                assert info is not None
                local = info.local_endpoint or b""
                assert datagrams.endpoint_info(info.endpoint_uid, local) == octets
            else:
                left.append(f"a step {sides}")
                continue
            done += 1
    return done, left


_PLAYED = "conversation|conversations played to our endpoints, and those over UDP to our proxy"


def messages(name: str) -> Cell:
    """Check every vector of connections, events or rpc, and the steps of its conversations."""
    found = vectors(name)
    checks = {id(v): check for v in found["vectors"] if (check := _check_of(v)) is not None}
    notes = ()
    if name == "rpc":
        notes = (
            "trap.asn1.int-minus-128: the vector is the reference's fault; ours writes 3003020180",
        )
    parts = {
        "vector": _counted(found["vectors"], checks),
        "step of live conversations|steps of live conversations": _live(found["transcripts"]),
    }
    if name == "connections":
        parts[_PLAYED] = (_played(), [])
    return _cell(parts, notes)


def _played() -> int:
    """Play the meetings at a proxy; return how many there are."""
    conversations.test_every_conversation_is_played()
    for role in ProxyRole:
        conversations.test_our_endpoints_meet_over_udp_as_recorded(role)
        conversations.test_our_endpoints_are_relayed_over_udp_as_recorded(role)
        conversations.test_trap_t8_our_endpoints_where_the_recorded_client_died(role)
        for found in conversations.OVER_TCP:
            conversations.test_our_endpoints_meet_over_tcp_as_recorded(found, role)
    for found in conversations.OVER_UDP:
        conversations.test_our_proxy_speaks_over_udp_as_recorded(found)
    return len(conversations.ALL)


def membership() -> Cell:
    """Check every hash of users, groups and hostnames."""
    by_test = {
        wire.test_user_list_hashes: ("service/rbac-user-list", "service/plain-user-list"),
        wire.test_group_and_hostname_hashes: (
            "client/single-group-empty", "client/single-group", "client/single-group-renamed",
            "client/multi-group", "service/hostname:Service1", "service/hostname:Kitchen",
            "service/hostname:H1",
        ),
        wire.test_user_hashes: (
            "client/user-with-roles", "client/user-with-two-roles", "client/user-plain-access",
            "client/user-no-roles-on-rbac-site",
        ),
    }  # fmt: skip
    tests = {name: test for test, names in by_test.items() for name in names}
    entries = vectors("membership")["vectors"]
    checks = {id(v): tests[v["id"]] for v in entries if v["id"] in tests}
    return _cell(
        {"vector": _counted(entries, checks)},
        (
            (
                "the two references differ on plain user lists and on users without roles: both "
                "forms are known (01 sections 12.3, 12.7)"
            ),
        ),
    )


def site_structure() -> Cell:
    """Check every structure: hash, upload and STATE frame, read and written."""
    entries = wire.STRUCTURES
    checks = _each(wire.test_structures_and_their_hash, entries)
    apart = sum(not entry["reference_tracker_agrees"] for entry in entries)
    notes = ()
    if apart:
        notes = (
            (
                f"{count(apart, 'structure')} that the reference tracker hashes in another order "
                "than its endpoints; ours as the endpoints (01 section 12)"
            ),
        )
    return _cell({"structure": _counted(entries, checks)}, notes)


FILES: dict[str, Callable[[], Cell]] = {
    "asn1.json": asn1,
    "auth.json": auth,
    "connections.json": lambda: messages("connections"),
    "events.json": lambda: messages("events"),
    "membership.json": membership,
    "rpc.json": lambda: messages("rpc"),
    "site_structure.json": site_structure,
}
"""The check of each file; a file without one is a row that fails."""
