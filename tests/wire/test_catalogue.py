"""Every message class survives the wire, and garbage ends in a RemoteError and nothing else."""

from __future__ import annotations

import dataclasses
import datetime
import importlib
import pkgutil
import random
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gateway.wire
from gateway.base.errors import RemoteError
from gateway.model.kinds import EventKind, GuestAccess, GuestSupport
from gateway.model.structure import EventDefinition, SiteStructure
from gateway.wire import catalogue, fields, groups, installer, membership, pubsub, rendezvous
from gateway.wire.catalogue import TABLES, Direction
from gateway.wire.channel import Error
from gateway.wire.message import Message
from gateway.wire.structure import structure_hash
from tests.support import recordings
from tests.support.recordings import Way
from tests.support.spoken import direction_of, frames

ENTRIES = [
    pytest.param(direction, number, message, fixed, id=f"{direction.value}-{number[0]}.{number[1]}")
    for direction, table in TABLES.items()
    for number, (message, fixed) in table.items()
]
PRINTABLE = st.text("ABCxyz0189 '()+,-./:=?", min_size=4, max_size=32)
ASCII = st.characters(min_codepoint=0, max_codepoint=127)
NAMES = st.text(ASCII, min_size=1, max_size=20)


def values_of(codec: fields.Codec) -> st.SearchStrategy[Any]:
    """Return what a codec can carry."""
    if isinstance(codec, fields.Int32 | fields.Int64):
        return st.integers(codec.minimum, codec.maximum)
    if isinstance(codec, fields.Choice):
        return st.sampled_from(list(codec.kind))
    if isinstance(codec, fields.Octets):
        maximum = codec.minimum if codec.maximum is None else codec.maximum
        return st.binary(min_size=codec.minimum, max_size=min(maximum, codec.minimum + 200))
    if isinstance(codec, fields.Ia5):
        return st.text(ASCII, min_size=codec.minimum, max_size=min(codec.maximum, 300))
    if isinstance(codec, fields.Printable):
        return PRINTABLE
    if isinstance(codec, fields.Boolean):
        return st.booleans()
    if isinstance(codec, fields.Moment):
        # Four digits of a year, and years that Python's clock knows.
        return st.datetimes(datetime.datetime(1000, 1, 1), timezones=st.just(datetime.UTC)).map(
            lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
        )
    if isinstance(codec, fields.Nested):
        return instances_of(codec.kind)
    if isinstance(codec, fields.ListOf):
        return st.lists(values_of(codec.element), max_size=5).map(tuple)
    raise AssertionError(codec)


def instances_of(kind: type[Any], **fixed: Any) -> st.SearchStrategy[Any]:
    """Return the values of a dataclass whose annotations name codecs."""
    if kind in OWN_FORM:
        return OWN_FORM[kind](**fixed)
    parts: dict[str, st.SearchStrategy[Any]] = {key: st.just(value) for key, value in fixed.items()}
    hints = get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        if get_origin(hints[field.name]) is not Annotated:
            continue
        marks = get_args(hints[field.name])[1:]
        (codec,) = [mark for mark in marks if isinstance(mark, fields.Codec)]
        optional = any(isinstance(mark, fields.Tag) for mark in marks)
        parts[field.name] = values_of(codec) if not optional else st.none() | values_of(codec)
    return st.builds(kind, **parts)


def user_lists(role_based: bool) -> st.SearchStrategy[membership.UserList]:
    users = users_of(role_based)
    roles = st.lists(instances_of(membership.RoleEntry), max_size=4).map(tuple)
    return st.builds(
        membership.UserList,
        st.just(role_based),
        roles if role_based else st.just(()),
        st.lists(users, max_size=4).map(tuple),
    )


def users_of(role_based: bool) -> st.SearchStrategy[membership.UserEntry]:
    ids = st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=4).map(tuple)
    return st.builds(
        membership.UserEntry,
        st.integers(1, (1 << 63) - 1),
        NAMES,
        ids if role_based else st.just(()),
    )


def user_messages(kind: type[Any]) -> Any:
    return lambda role_based: st.builds(kind, st.just(role_based), users_of(role_based))


@st.composite
def structures(draw: st.DrawFn) -> SiteStructure:
    roles = draw(st.lists(NAMES, max_size=5, unique_by=str.lower))
    names = draw(st.lists(NAMES, max_size=6, unique=True))
    events = []
    for name in names:
        kind = draw(st.sampled_from(EventKind))
        access, allowed = GuestAccess.ALLOWED, ()
        if kind is not EventKind.PRIVATE:
            if roles and draw(st.booleans()):
                allowed = tuple(
                    sorted(draw(st.lists(st.sampled_from(roles), min_size=1, unique=True)))
                )
            else:
                access = draw(st.sampled_from(GuestAccess))
        lifetime = draw(st.integers(60, 2_592_000)) if kind is not EventKind.REPLACING else 0
        queue = draw(st.integers(1, 1000)) if kind is EventKind.QUEUEING else 0
        events.append(EventDefinition(kind, name, lifetime, queue, access, allowed))
    events.sort(key=lambda event: (event.kind, event.name))
    owner = draw(st.none() | st.sampled_from(roles)) if roles else None
    support = draw(st.sampled_from(GuestSupport))
    return SiteStructure(draw(NAMES), draw(NAMES), support, tuple(roles), owner, tuple(events))


def direct_openings(kind: type[Any]) -> st.SearchStrategy[Any]:
    uids = st.binary(min_size=16, max_size=16)
    return st.builds(kind, uids, st.none() | st.binary(min_size=6, max_size=6))


OWN_FORM: dict[type[Any], Any] = {
    membership.UserList: user_lists,
    membership.UserIncluded: user_messages(membership.UserIncluded),
    membership.UserUpdated: user_messages(membership.UserUpdated),
    groups.ServicesUpdated: lambda: st.lists(instances_of(groups.ServiceEntry), max_size=4).map(
        lambda found: groups.ServicesUpdated(tuple(found))
    ),
    groups.ServicesOnline: lambda: st.lists(st.integers(0, 1 << 40), max_size=4).map(
        lambda found: groups.ServicesOnline(tuple(found))
    ),
    pubsub.Subscriptions: lambda: st.lists(instances_of(pubsub.Subscription), max_size=4).map(
        lambda found: pubsub.Subscriptions(tuple(found))
    ),
    installer.UploadSiteStructure: lambda: st.builds(
        installer.UploadSiteStructure,
        structures(),
        st.none() | st.text(ASCII, min_size=1, max_size=64),
    ),
    Error: lambda: st.builds(Error, st.integers(0, 65535)),
    rendezvous.ClientP2P: lambda: direct_openings(rendezvous.ClientP2P),
    rendezvous.ServiceP2P: lambda: direct_openings(rendezvous.ServiceP2P),
}


@pytest.mark.parametrize(("direction", "number", "message", "fixed"), ENTRIES)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_message_survives_the_wire(
    direction: Direction,
    number: tuple[int, int],
    message: type[Message],
    fixed: dict[str, Any],
    data: st.DataObject,
) -> None:
    value = data.draw(instances_of(message, **fixed))
    ((frame, payload),) = frames(catalogue.encode(direction, value))
    assert tuple(payload[:2]) == number
    back = catalogue.decode(direction, payload)
    assert back == value
    assert catalogue.encode(direction, back) == frame
    assert catalogue.component_of(direction, value) == number[0]


CONTROL = [
    pytest.param(types, number, message, id=f"{name}-{number}")
    for name, types in (("tcp", rendezvous.TCP_TYPES), ("udp", rendezvous.UDP_TYPES))
    for number, message in types.items()
]


@pytest.mark.parametrize(("types", "number", "message"), CONTROL)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_control_message_survives_the_wire(
    types: dict[int, type[Message]], number: int, message: type[Message], data: st.DataObject
) -> None:
    value = data.draw(instances_of(message))
    frame = rendezvous.encode_control(types, value)
    ((_, payload),) = frames(frame)
    assert payload[0] == number
    back = rendezvous.decode_control(types, payload)
    assert back == value
    assert rendezvous.encode_control(types, back) == frame


def test_no_message_is_left_out() -> None:
    """Whatever is a message of the wire is in a table that the tests above go through."""
    for found in pkgutil.iter_modules(gateway.wire.__path__):
        importlib.import_module(f"gateway.wire.{found.name}")
    # By name: a slotted dataclass is made twice, and its first form may still be about.
    waiting, known = [Message], set[str]()
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind is not Message and not kind.__name__.startswith("_"):
            known.add(f"{kind.__module__}.{kind.__name__}")
    listed = {message for table in TABLES.values() for message, _ in table.values()}
    listed |= {*rendezvous.TCP_TYPES.values(), *rendezvous.UDP_TYPES.values()}
    listed.add(pubsub.SyncStateless)  # see test_the_two_forms_of_sync
    assert known == {f"{kind.__module__}.{kind.__name__}" for kind in listed}


@given(structures())
@settings(max_examples=60, deadline=None)
def test_a_structure_keeps_its_hash(structure: SiteStructure) -> None:
    shuffled = dataclasses.replace(
        structure,
        roles=tuple(reversed(structure.roles)),
        events=tuple(reversed(structure.events)),
        owner_role=None,
    )
    assert structure_hash(shuffled) == structure_hash(structure)


def test_the_two_forms_of_sync() -> None:
    for form in (pubsub.SyncStateless(), pubsub.SyncStateful(None), pubsub.SyncStateful(b"h" * 20)):
        ((_, payload),) = frames(catalogue.encode(Direction.TRACKER_TO_CLIENT, form))
        assert catalogue.decode(Direction.TRACKER_TO_CLIENT, payload) == form


def test_unknown_numbers_and_short_payloads_are_refused() -> None:
    for direction in Direction:
        for payload in (b"", b"\x01", b"\x03\x01", b"\x0f\x63", b"\xff\xff"):
            with pytest.raises(RemoteError):
                catalogue.decode(direction, payload)


def genuine() -> list[tuple[Direction, bytes]]:
    """Return payloads of the recordings as seeds for damage."""
    found = []
    for name in ("01", "05b", "09", "12", "15"):
        recording = recordings.load(name)
        for connection in recording.tracker_connections():
            for way in (Way.TO_SERVER, Way.TO_ENDPOINT):
                octets = recording.stream(connection.id, way)
                start = 2 if way is Way.TO_SERVER else 0
                direction = direction_of(connection, way)
                found += [(direction, payload) for _, payload in frames(octets[start:])]
    return found


def test_damaged_messages_end_in_a_remote_error_only() -> None:
    rng = random.Random(2026)
    seeds = genuine()
    assert len(seeds) > 100
    refused = 0
    for _ in range(6000):
        direction, payload = rng.choice(seeds)
        damaged = bytearray(payload)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(damaged))
            match rng.randrange(4):
                case 0:
                    damaged[at] ^= 1 << rng.randrange(8)
                case 1:
                    del damaged[at]
                case 2:
                    damaged.insert(at, rng.randrange(256))
                case _:
                    del damaged[at:]
            if not damaged:
                break
        try:
            catalogue.decode(direction, bytes(damaged))
        except RemoteError:
            refused += 1
    assert refused > 1000


def test_pure_garbage_ends_in_a_remote_error_only() -> None:
    rng = random.Random(7740)
    for _ in range(6000):
        head = bytes((rng.randrange(16), rng.randrange(10)))
        body = (
            b"\x30" + rng.randbytes(rng.randrange(60)) if rng.random() < 0.8 else rng.randbytes(9)
        )
        for direction in Direction:
            try:
                catalogue.decode(direction, head + body)
            except RemoteError:
                continue
        for types in (rendezvous.TCP_TYPES, rendezvous.UDP_TYPES):
            try:
                rendezvous.decode_control(types, head[1:] + body)
            except RemoteError:
                continue
