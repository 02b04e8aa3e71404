"""Every golden vector of the messages: decoded to values, and the values back to the octets."""

from __future__ import annotations

import base64
import ipaddress
import uuid
from typing import Any

import pytest

from gateway.base.errors import InvalidInput
from gateway.model.kinds import EventKind, GuestAccess, GuestSupport
from gateway.model.structure import EventDefinition, SiteStructure
from gateway.wire import catalogue, rendezvous
from gateway.wire.balancer import BalancerAnswer, BalancerRequest
from gateway.wire.catalogue import Direction
from gateway.wire.channel import HashAndKey2, SaltAndKey1
from gateway.wire.digest import challenge_response, fnv1a, proxy_auth_hash, salted_password
from gateway.wire.framing import (
    FRAME_MAX,
    PROXY_ENDPOINT_MAX,
    PROXY_SERVER_MAX,
    FrameBuffer,
    FrameError,
    frame,
)
from gateway.wire.groups import ServiceEntry, ServicesUpdated, hostname_hash, single_group_hash
from gateway.wire.installer import ServiceState, UploadSiteStructure
from gateway.wire.membership import RoleEntry, UserEntry, UserList, user_hash
from gateway.wire.pubsub import subscription_hash
from gateway.wire.structure import structure_hash, structure_hash_input
from gateway.wire.uri import parse_client_uri, parse_service_uri, server_name
from tests.support.recordings import vectors

DIRECTIONS = {
    "client -> tracker": Direction.CLIENT_TO_TRACKER,
    "service -> tracker": Direction.SERVICE_TO_TRACKER,
    "tracker -> client": Direction.TRACKER_TO_CLIENT,
    "tracker -> service": Direction.TRACKER_TO_SERVICE,
}
ALL = [v for name in ("connections", "events", "rpc") for v in vectors(name)["vectors"]]
FRAMED = [v for v in ALL if v["direction"].partition(" (")[0] in DIRECTIONS]
CONTROL = [v for v in ALL if v["id"].startswith("rzv.")]
STRUCTURES = vectors("site_structure")["structures"]
MEMBERSHIP = {v["id"]: v for v in vectors("membership")["vectors"]}
AUTH = vectors("auth")


def payload_of(octets: bytes) -> bytes:
    buffer = FrameBuffer(FRAME_MAX)
    buffer.feed(octets)
    payload = buffer.next_payload()
    assert payload is not None
    assert buffer.pending == 0
    return payload


@pytest.mark.parametrize("vector", FRAMED, ids=lambda v: v["id"])
def test_messages_through_the_tracker(vector: dict[str, Any]) -> None:
    direction = DIRECTIONS[vector["direction"].partition(" (")[0]]
    octets = bytes.fromhex(vector["hex"])
    message = catalogue.decode(direction, payload_of(octets))
    assert catalogue.encode(direction, message) == octets
    fields = {getattr(message, name) for name in message.__dataclass_fields__}
    flat = {value.hex() if isinstance(value, bytes) else value for value in fields}
    for key, value in vector["inputs"].items():
        if key.lower().endswith("uid") or key in ("virtualPort", "serverId", "errorCode"):
            assert (value.replace("-", "") if isinstance(value, str) else value) in flat, key


@pytest.mark.parametrize("vector", CONTROL, ids=lambda v: v["id"])
def test_control_messages_of_the_proxy(vector: dict[str, Any]) -> None:
    types = rendezvous.UDP_TYPES if ".udp." in vector["id"] else rendezvous.TCP_TYPES
    octets = bytes.fromhex(vector["hex"])
    buffer = FrameBuffer(PROXY_ENDPOINT_MAX, 1)
    buffer.feed(octets)
    payload = buffer.next_payload()
    assert payload is not None
    if "-> proxy" in vector["direction"]:
        assert len(payload) <= PROXY_SERVER_MAX
    assert rendezvous.encode_control(types, rendezvous.decode_control(types, payload)) == octets


def test_addresses_of_the_proxy() -> None:
    by_id = {v["id"]: v for v in ALL}
    inputs = by_id["rzv.tcp.CLIENT_P2P.v4"]["inputs"]
    wire = bytes.fromhex(inputs["iepOnWire"])
    address = ipaddress.IPv4Address("192.168.1.20")
    assert rendezvous.pack_private(address, 50123) == wire
    assert rendezvous.unpack_private(wire) == (address, 50123)
    for role, name in (
        (rendezvous.ProxyRole.SERVICE, "service"),
        (rendezvous.ProxyRole.CLIENT, "client"),
    ):
        header = by_id[f"raw.tcp.data-header.{name}"]
        uid = bytes.fromhex(header["inputs"]["connectionUid"])
        assert rendezvous.data_header(role, uid).hex() == header["hex"]
        complement = by_id[f"raw.tcp.complement.to-{name}"]
        other = bytes.fromhex(complement["hex"])
        assert other == rendezvous.data_header(role.other, uid)


def test_computed_vectors() -> None:
    by_id = {v["id"]: v for v in ALL}
    inputs = by_id["auth.hash"]["inputs"]
    key, key2 = bytes.fromhex(inputs["authKey"]), bytes.fromhex(inputs["authKey2"])
    assert proxy_auth_hash(key, key2, inputs["secretKey"]).hex() == by_id["auth.hash"]["hex"]
    vector = by_id["ev.subscription-hash"]
    items = [
        (EventKind.REPLACING, "beta"),
        (EventKind.PRIVATE, "Zeta"),
        (EventKind.REPLACING, "Alpha"),
        (EventKind.QUEUEING, "Q1"),
    ]
    assert vector["inputs"]["subscriptions"].startswith("(1,Alpha),(1,beta),(2,Q1),(4,Zeta)")
    found = subscription_hash(items)
    assert found is not None
    assert found.hex() == vector["hex"]
    assert subscription_hash([]) is None


@pytest.mark.parametrize("name", ["connections", "events", "rpc"])
def test_frames_inside_the_live_conversations(name: str) -> None:
    checked = 0
    for transcript in vectors(name)["transcripts"]:
        for step in transcript["steps"]:
            sides = step.get("dir", "").replace("->", " -> ")
            if sides in DIRECTIONS:
                octets = bytes.fromhex(step["hex"])
                message = catalogue.decode(DIRECTIONS[sides], payload_of(octets))
                assert catalogue.encode(DIRECTIONS[sides], message) == octets
                checked += 1
    assert checked


# -- structures ------------------------------------------------------------------------------------


def structure_of(vector: dict[str, Any]) -> SiteStructure:
    facts = vector["structure"]
    kinds = {
        "replacing_events": EventKind.REPLACING,
        "queueing_events": EventKind.QUEUEING,
        "private_events": EventKind.PRIVATE,
    }
    return SiteStructure(
        vector["service_type"],
        vector["contract_author"],
        GuestSupport(facts["guest_support"]),
        tuple(facts.get("roles", ())),
        facts.get("owner_role"),
        tuple(
            EventDefinition(
                kind,
                event["name"],
                event.get("lifetime", 0),
                event.get("queue_size", 0),
                GuestAccess(event.get("guest_access", 0)),
                tuple(event.get("roles", ())),
            )
            for key, kind in kinds.items()
            for event in facts.get(key, ())
        ),
    )


@pytest.mark.parametrize("vector", STRUCTURES, ids=lambda v: v["id"])
def test_structures_and_their_hash(vector: dict[str, Any]) -> None:
    structure = structure_of(vector)
    assert structure_hash_input(structure).hex() == vector["ss_hash_input_hex"]
    assert structure_hash(structure).hex() == vector["ss_hash_hex"]
    if vector["reference_tracker_agrees"]:
        expected = base64.b64decode(vector["reference_tracker_hash_base64"])
        assert structure_hash(structure) == expected
    upload = bytes.fromhex(vector["site_structure_frame_hex"])
    message = UploadSiteStructure(structure, vector["version"])
    assert catalogue.encode(Direction.SERVICE_TO_TRACKER, message) == upload
    back = catalogue.decode(Direction.SERVICE_TO_TRACKER, payload_of(upload))
    assert isinstance(back, UploadSiteStructure)
    assert back.version == vector["version"]
    assert structure_hash(back.structure) == structure_hash(structure)
    octets = bytes.fromhex(vector["state_frame_hex_blank_membership"])
    state = catalogue.decode(Direction.SERVICE_TO_TRACKER, payload_of(octets))
    assert isinstance(state, ServiceState)
    assert state.profile.ss_hash == structure_hash(structure)
    assert catalogue.encode(Direction.SERVICE_TO_TRACKER, state) == octets


# -- hashes of what the other side knows -----------------------------------------------------------


def test_user_list_hashes() -> None:
    vector = MEMBERSHIP["service/rbac-user-list"]
    listed = UserList(
        True,
        tuple(RoleEntry(*role) for role in vector["roles"]),
        tuple(UserEntry(u[0], u[1], tuple(u[2])) for u in vector["users"]),
    )
    frame_octets = bytes.fromhex(vector["user_list_frame_hex"])
    assert catalogue.encode(Direction.TRACKER_TO_SERVICE, listed) == frame_octets
    assert listed.list_hash() == bytes.fromhex(vector["hash_hex"])
    plain_vector = MEMBERSHIP["service/plain-user-list"]
    plain = UserList(False, (), tuple(UserEntry(*user) for user in plain_vector["users"]))
    frame_octets = bytes.fromhex(plain_vector["user_list_frame_hex"])
    assert catalogue.encode(Direction.TRACKER_TO_SERVICE, plain) == frame_octets
    assert plain.list_hash() == bytes.fromhex(plain_vector["tracker_hash_hex"])
    assert plain.nested_list_hash() == bytes.fromhex(plain_vector["java_library_hash_hex"])
    assert UserList(False).list_hash() is None


def test_group_and_hostname_hashes() -> None:
    for key in ("single-group-empty", "single-group", "single-group-renamed"):
        vector = MEMBERSHIP[f"client/{key}"]
        found = single_group_hash(vector["hostname"], vector["version"])
        assert found.hex() == vector["hash_hex"]
    vector = MEMBERSHIP["client/multi-group"]
    group = ServicesUpdated(tuple(ServiceEntry(*service) for service in vector["services"]))
    assert group.group_hash() == bytes.fromhex(vector["hash_hex"])
    assert ServicesUpdated(()).group_hash() is None
    for key in ("Service1", "Kitchen", "H1"):
        expected = bytes.fromhex(MEMBERSHIP[f"service/hostname:{key}"]["hash_hex"])
        assert hostname_hash(key) == expected
    assert hostname_hash("") is None


def test_user_hashes() -> None:
    for key in ("user-with-roles", "user-with-two-roles"):
        vector = MEMBERSHIP[f"client/{key}"]
        roles = tuple(vector["roles"])
        found = user_hash(vector["user_id"], vector["user_name"], roles)
        assert found.hex() == vector["hash_hex"]
    plain = MEMBERSHIP["client/user-plain-access"]
    assert user_hash(plain["user_id"], plain["user_name"], None).hex() == plain["hash_hex"]
    none = MEMBERSHIP["client/user-no-roles-on-rbac-site"]
    named = none["user_id"], none["user_name"]
    assert user_hash(*named, None).hex() == none["java_library_hash_hex"]
    assert user_hash(*named, ()).hex() == none["tracker_hash_hex"]


# -- authentication and the balancer ---------------------------------------------------------------


def test_passwords_and_responses() -> None:
    salted = {}
    for case in AUTH["salted_password"]:
        found = salted_password(bytes.fromhex(case["salt_hex"]), case["password"])
        assert found.hex() == case["salted_password_hex"]
        salted[case["salt_hex"], case["password"]] = found
    for case in AUTH["challenge_response"]:
        stored = salted_password(bytes.fromhex(case["salt_hex"]), case["password"])
        keys = bytes.fromhex(case["key1_hex"]), bytes.fromhex(case["key2_hex"])
        assert challenge_response(*keys, stored).hex() == case["response_hash_hex"]
    for case in AUTH["fnv1a_32"]:
        assert fnv1a(case["ascii"].encode()).hex() == case["big_endian_hex"]


@pytest.mark.parametrize("case", AUTH["handshake_frames"], ids=lambda c: c["name"])
def test_handshake_frames(case: dict[str, Any]) -> None:
    octets = bytes.fromhex(case["frame_hex"])
    service = "service" in case["name"]
    up = Direction.SERVICE_TO_TRACKER if service else Direction.CLIENT_TO_TRACKER
    down = Direction.TRACKER_TO_SERVICE if service else Direction.TRACKER_TO_CLIENT
    header = 2 if "stream header" in case["name"] else 0
    direction = up if header or "HASH" in case["name"] else down
    message = catalogue.decode(direction, payload_of(octets[header:]))
    assert catalogue.encode(direction, message) == octets[header:]


@pytest.mark.parametrize("case", AUTH["recorded_handshakes"], ids=lambda c: c["note"][:40])
def test_recorded_handshakes_prove_their_password(case: dict[str, Any]) -> None:
    service = case["endpoint"] == "service"
    up = Direction.SERVICE_TO_TRACKER if service else Direction.CLIENT_TO_TRACKER
    down = Direction.TRACKER_TO_SERVICE if service else Direction.TRACKER_TO_CLIENT
    challenge: SaltAndKey1 | None = None
    for step in case["octets"]:
        octets = bytes.fromhex(step["hex"])
        from_endpoint = step["from"] == "endpoint"
        if from_endpoint and octets[0] == 1 and octets[1] in (1, 2):
            octets = octets[2:]
        buffer = FrameBuffer(FRAME_MAX)
        buffer.feed(octets)
        while (payload := buffer.next_payload()) is not None:
            message = catalogue.decode(up if from_endpoint else down, payload)
            if isinstance(message, SaltAndKey1):
                challenge = message
            elif isinstance(message, HashAndKey2):
                assert challenge is not None
                stored = salted_password(challenge.salt, case["password"])
                expected = challenge_response(challenge.key1, message.key2, stored)
                assert (message.hash == expected) is case["hash_is_valid"]


@pytest.mark.parametrize("case", AUTH["balancer_requests"], ids=lambda c: c["uri"])
def test_balancer_requests(case: dict[str, Any]) -> None:
    text = case["uri"]
    if text.startswith("softnet-srv"):
        service = parse_service_uri(text)
        request = BalancerRequest(server_name(service.server), service.uid)
    else:
        client = parse_client_uri(text)
        request = BalancerRequest(
            server_name(client.server), category=client.category, key=client.key
        )
    octets = request.encode()
    assert octets.hex() == case["request_hex"]
    assert fnv1a(octets).hex() == case["request_fnv1a_hex"]
    assert BalancerRequest.decode(octets) == request


@pytest.mark.parametrize("case", AUTH["balancer_exchanges"], ids=lambda c: c["case"])
def test_balancer_answers(case: dict[str, Any]) -> None:
    if case["response_hex"]:
        request, octets = bytes.fromhex(case["request_hex"]), bytes.fromhex(case["response_hex"])
        answer = BalancerAnswer.decode(octets, request, 4)
        assert answer.encode(request) == octets


def test_uris_are_judged_as_by_the_reference_library() -> None:
    wider = {"softnet-srv://00112233-4455-6677-8899-aabbccddeeff@my_host"}
    for case in AUTH["uri_cases_java"]:
        parse = parse_service_uri if "softnet-srv" in case["uri"].lower() else parse_client_uri
        if case["result"] == "accepted":
            assert parse(case["uri"]).server == case["server"], case["uri"]
        elif case["uri"] not in wider:
            try:
                found = parse(case["uri"])
            except InvalidInput:
                continue
            raise AssertionError(f"accepted: {found}")
    for text, literal in AUTH["is_literal_ip_java"].items():
        assert (server_name(text) is None) is literal, text


# -- framing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", FRAMED[::7], ids=lambda v: v["id"])
def test_framing_octet_by_octet(vector: dict[str, Any]) -> None:
    octets = bytes.fromhex(vector["hex"]) * 3
    buffer = FrameBuffer(FRAME_MAX)
    found = []
    for octet in octets:
        buffer.feed(bytes((octet,)))
        if (payload := buffer.next_payload()) is not None:
            found.append(payload)
    assert found == [payload_of(bytes.fromhex(vector["hex"]))] * 3


def test_lengths_are_judged_before_the_payload_is_there() -> None:
    for bad in ("80", "85", "ff", "01", "00", "8201", "820101"):
        buffer = FrameBuffer(256)
        buffer.feed(bytes.fromhex(bad))
        if bad == "8201":
            assert buffer.next_payload() is None
            continue
        with pytest.raises(FrameError):
            buffer.next_payload()
    buffer = FrameBuffer(256)
    buffer.feed(bytes.fromhex("8200020102"))
    assert buffer.next_payload() == b"\x01\x02"
    assert frame(bytes(300))[:3] == bytes.fromhex("82012c")


def test_uids_are_in_network_order() -> None:
    text = "00112233-4455-6677-8899-aabbccddeeff"
    uri = parse_service_uri(f"softnet-srv://{text}@host")
    assert uri.uid == uuid.UUID(text).bytes
    assert str(uri) == f"softnet-srv://{text}@host"
