"""Site structures to octets, back, and their hash (01 sections 7.3 and 12.1)."""

from __future__ import annotations

import dataclasses
import hashlib

from gateway.asn1.errors import DecodeError, EncodeError, OutOfRange
from gateway.asn1.reader import SequenceReader
from gateway.asn1.writer import SequenceWriter
from gateway.base.errors import InvalidInput, ProtocolViolation, RemoteError
from gateway.model import names as rules
from gateway.model.kinds import EventKind, GuestAccess, GuestSupport
from gateway.model.structure import EVENTS_MAX, ROLES_MAX, EventDefinition, SiteStructure

_NAME_MAX = 256
_LIFETIME = (60, 2_592_000)
_QUEUE = (1, 1000)
_KINDS = (EventKind.REPLACING, EventKind.QUEUEING, EventKind.PRIVATE)


class ConstraintViolation(ProtocolViolation):
    """More roles or events than a structure may have; answered with error 102."""


def write_structure(structure: SiteStructure) -> SequenceWriter:
    """Return the SEQUENCE of an upload: roles as declared, events in ordinal name order."""
    writer = SequenceWriter()
    writer.ia5(structure.service_type).ia5(structure.contract_author)
    writer.int32(structure.guest_support)
    if structure.roles:
        names = SequenceWriter()
        for role in structure.roles:
            names.ia5(role)
        definition = SequenceWriter().sequence(names)
        if structure.owner_role is not None:
            definition.ia5(structure.owner_role, 1)
        writer.sequence(definition, 1)
    _write_events(writer, structure)
    return writer


def _write_events(writer: SequenceWriter, structure: SiteStructure) -> None:
    if not structure.events:
        return
    definitions = SequenceWriter()
    for kind in _KINDS:
        events = structure.events_of(kind)
        if not events:
            continue
        category = SequenceWriter()
        for event in events:
            entry = SequenceWriter().ia5(event.name)
            if kind is not EventKind.REPLACING:
                entry.int32(event.lifetime)
            if kind is EventKind.QUEUEING:
                entry.int32(event.queue_size)
            if event.guest_access is not GuestAccess.ALLOWED:
                entry.int32(event.guest_access, 1)
            elif event.roles:
                names = SequenceWriter()
                for role in sorted(event.roles):
                    names.ia5(role)
                entry.sequence(names, 2)
            category.sequence(entry)
        definitions.sequence(category, int(kind))
    writer.sequence(definitions, 2)


def structure_hash_input(structure: SiteStructure) -> bytes:
    """Return the octets that the hash covers: roles sorted and one level up, no owner role."""
    writer = SequenceWriter()
    writer.ia5(structure.service_type).ia5(structure.contract_author)
    writer.int32(structure.guest_support)
    if structure.roles:
        names = SequenceWriter()
        for role in sorted(structure.roles):
            names.ia5(role)
        writer.sequence(names, 1)
    _write_events(writer, structure)
    return writer.encode()


def structure_hash(structure: SiteStructure) -> bytes:
    """Return the 20 octets of the SS hash (01 section 12.1)."""
    return hashlib.sha1(structure_hash_input(structure)).digest()


def check_structure(structure: SiteStructure) -> None:
    """Raise InvalidInput for a structure that no server would take, with what is wrong in it."""
    rules.service_type(structure.service_type)
    rules.contract_author(structure.contract_author)
    for role in structure.roles:
        rules.role_name(role)
    for event in structure.events:
        rules.event_name(event.name)
    try:
        taken = read_structure(SequenceReader.root(write_structure(structure).encode()))
    except (EncodeError, RemoteError, ValueError) as error:
        raise InvalidInput(f"No server takes this site structure: {error}.", "structure") from error
    if {_plain(event) for event in taken.events} != {_plain(event) for event in structure.events}:
        raise InvalidInput(
            "An event of the site structure has a lifetime, a queue size or a rule that its kind"
            " does not have, or two rules.",
            "structure",
        )


def _plain(event: EventDefinition) -> EventDefinition:
    return dataclasses.replace(event, roles=tuple(sorted(event.roles)))


def read_structure(reader: SequenceReader) -> SiteStructure:
    """Take a structure; raise DecodeError or ConstraintViolation as the tracker must judge it."""
    service_type = reader.ia5(1, _NAME_MAX)
    author = reader.ia5(1, _NAME_MAX)
    support = GuestSupport(reader.int32(0, 2))
    roles: tuple[str, ...] = ()
    owner_role: str | None = None
    if reader.has(1):
        definition = reader.sequence()
        roles = _names(definition.sequence(), ROLES_MAX, "roles")
        if definition.has(1):
            owner_role = definition.ia5(1, _NAME_MAX)
        definition.end()
        if len({role.lower() for role in roles}) != len(roles):
            raise DecodeError("two roles have the same name")
        if owner_role is not None and owner_role not in roles:
            raise DecodeError("the owner role is not among the roles")
    events: list[EventDefinition] = []
    if reader.has(2):
        definitions = reader.sequence()
        for kind in _KINDS:
            if definitions.has(int(kind)):
                category = definitions.sequence()
                while category.more:
                    if len(events) >= EVENTS_MAX:
                        raise ConstraintViolation("more than 100 events")
                    events.append(_read_event(kind, category.sequence(), roles))
        definitions.end()
        if len({event.name for event in events}) != len(events):
            raise DecodeError("two events have the same name")
    reader.end()
    return SiteStructure(service_type, author, support, roles, owner_role, tuple(events))


def _names(reader: SequenceReader, maximum: int, noun: str) -> tuple[str, ...]:
    names: list[str] = []
    while reader.more:
        if len(names) >= maximum:
            raise ConstraintViolation(f"more than {maximum} {noun}")
        names.append(reader.ia5(1, _NAME_MAX))
    return tuple(names)


def _read_event(
    kind: EventKind, entry: SequenceReader, declared: tuple[str, ...]
) -> EventDefinition:
    name = entry.ia5(1, _NAME_MAX)
    lifetime = entry.int32(*_LIFETIME) if kind is not EventKind.REPLACING else 0
    queue_size = entry.int32(*_QUEUE) if kind is EventKind.QUEUEING else 0
    access = GuestAccess.ALLOWED
    roles: tuple[str, ...] = ()
    if kind is not EventKind.PRIVATE:
        if entry.has(1):
            access = GuestAccess(entry.int32(1, 2))
        elif entry.has(2):
            roles = _names(entry.sequence(), ROLES_MAX, "roles of an event")
            if not roles or not set(roles) <= set(declared):
                raise OutOfRange("an event names a role that is not declared")
        entry.end()
    return EventDefinition(kind, name, lifetime, queue_size, access, roles)
