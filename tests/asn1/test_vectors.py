"""Every golden vector of the dialect, both ways."""

from __future__ import annotations

import datetime
import hashlib
import struct
import uuid
from typing import Any

import pytest

from gateway.asn1.errors import DecodeError
from gateway.asn1.reader import SequenceReader, float32
from gateway.asn1.writer import SequenceWriter, encode_length
from tests.support.recordings import vectors

VECTORS = vectors("asn1")
CLASSES = {"application": 0x40, "context": 0x80, "private": 0xC0}


def value_of(field: dict[str, Any]) -> Any:
    kind = field["type"]
    if "value_rule" in field:
        count = field["value_length"]
        if kind == "octet_string":
            return bytes(i % 256 for i in range(count))
        return "a" * count
    if kind in ("int32", "int64"):
        return int(field["value"])
    if kind == "octet_string":
        return bytes.fromhex(field["value_hex"])
    if kind == "uuid":
        return uuid.UUID(field["value"]).bytes
    if kind == "generalized_time":
        return datetime.datetime.fromisoformat(field["value"])
    if kind == "real32":
        return struct.unpack(">f", bytes.fromhex(field["ieee754_hex"]))[0]
    if kind == "real64":
        return struct.unpack(">d", bytes.fromhex(field["ieee754_hex"]))[0]
    return field.get("value")


def write(writer: SequenceWriter, field: dict[str, Any]) -> None:
    kind = field["type"]
    tag = field.get("tag") if field.get("tag_class") == "context" else None
    value = value_of(field)
    match kind:
        case "int32":
            writer.int32(value, tag)
        case "int64":
            writer.int64(value, tag)
        case "boolean":
            writer.boolean(value, tag)
        case "octet_string" | "uuid":
            writer.octets(value, tag)
        case "null":
            writer.null(tag)
        case "utf8_string":
            writer.utf8(value, tag)
        case "ia5_string":
            writer.ia5(value, tag)
        case "printable_string":
            writer.printable(value, tag)
        case "bmp_string":
            writer.bmp(value, tag)
        case "generalized_time":
            writer.time(value, tag)
        case "real32" | "real64":
            writer.real(value, tag)
        case "sequence" | "sequence_of":
            inner = SequenceWriter()
            for part in field["fields"]:
                write(inner, part)
            writer.sequence(inner, tag)
        case _:
            raise AssertionError(kind)


def read(reader: SequenceReader, field: dict[str, Any]) -> None:
    if "tag" in field:
        assert reader.has(field["tag"])
    value = value_of(field)
    match field["type"]:
        case "int32":
            assert reader.int32() == value
        case "int64":
            assert reader.int64() == value
        case "boolean":
            assert reader.boolean() == value
        case "octet_string" | "uuid":
            assert reader.octets() == value
        case "null":
            assert reader.is_null()
            reader.null()
        case "utf8_string":
            assert reader.utf8() == value
        case "ia5_string":
            assert reader.ia5() == value
        case "printable_string":
            assert reader.printable() == value
        case "bmp_string":
            assert reader.bmp() == value
        case "generalized_time":
            assert reader.time() == value
        case "real32":
            assert struct.pack(">f", float32(reader.real())) == struct.pack(">f", value)
        case "real64":
            assert struct.pack(">d", reader.real()) == struct.pack(">d", value)
        case "sequence" | "sequence_of":
            inner = reader.sequence()
            for part in field["fields"]:
                read(inner, part)
            inner.end()
        case _:
            raise AssertionError(field["type"])


def beyond_the_dialect(fields: list[dict[str, Any]]) -> bool:
    """Tell whether a vector needs what only one codec knows and the protocol never uses."""
    return any(
        field["type"] == "explicit"
        or field.get("tag_class") in ("application", "private")
        or beyond_the_dialect(field.get("fields", []))
        for field in fields
    )


IN_DIALECT = [v for v in VECTORS["vectors"] if not beyond_the_dialect(v["fields"])]
BEYOND = [v for v in VECTORS["vectors"] if beyond_the_dialect(v["fields"])]


def test_only_a_handful_of_vectors_lies_beyond_the_dialect() -> None:
    assert len(IN_DIALECT) + len(BEYOND) == 206
    assert len(BEYOND) == 6


@pytest.mark.parametrize("vector", IN_DIALECT, ids=lambda v: v["id"])
def test_the_writer_emits_the_octets(vector: dict[str, Any]) -> None:
    writer = SequenceWriter()
    for field in vector["fields"]:
        write(writer, field)
    octets = writer.encode()
    if "hex" in vector:
        assert octets.hex() == vector["hex"]
    else:
        assert len(octets) == vector["size"]
        assert octets.hex().startswith(vector["hex_prefix"])
        assert hashlib.sha1(octets).hexdigest() == vector["sha1"]


@pytest.mark.parametrize("vector", IN_DIALECT, ids=lambda v: v["id"])
def test_the_reader_takes_the_values(vector: dict[str, Any]) -> None:
    writer = SequenceWriter()
    if "hex" in vector:
        octets = bytes.fromhex(vector["hex"])
    else:
        for field in vector["fields"]:
            write(writer, field)
        octets = writer.encode()
    reader = SequenceReader.root(octets)
    for field in vector["fields"]:
        read(reader, field)
    reader.end()


@pytest.mark.parametrize("vector", BEYOND, ids=lambda v: v["id"])
def test_foreign_classes_and_explicit_tags_are_passed_over(vector: dict[str, Any]) -> None:
    reader = SequenceReader.root(bytes.fromhex(vector["hex"]))
    while reader.more:
        reader.skip()
    reader.end()


STRICTER = {"dec:application-for-universal", "dec:private-for-universal"}
"""Classes that one codec takes and the protocol never uses: accepting them is harmless."""


def perform(text: str, octets: bytes) -> Any:
    reader = SequenceReader.root(octets)
    result: Any = None
    for step in text.split("; "):
        match step:
            case "Int32":
                result = str(reader.int32())
            case "Int64":
                result = str(reader.int64())
            case "Boolean":
                result = str(reader.boolean()).lower()
            case "Sequence":
                reader.sequence()
            case "end":
                reader.end()
            case "exists(1)" | "exists(2)":
                result = str(reader.has(int(step[7]))).lower()
            case "IA5String":
                result = reader.ia5()
            case "IA5String(1,3)":
                result = reader.ia5(1, 3)
            case "IA5String(1,256)":
                result = reader.ia5(1, 256)
            case "UTF8String":
                result = "".join(f"U+{ord(c):04X}" for c in reader.utf8())
            case "OctetString(20)":
                result = reader.octets(20, 20)
            case "PrintableString":
                result = reader.printable()
            case "GndTime":
                result = reader.time()
            case "isNull":
                result = str(reader.is_null()).lower()
            case _:
                raise AssertionError(step)
    return result


@pytest.mark.parametrize("case", VECTORS["decode_cases"], ids=lambda c: c["id"])
def test_decoding_cases_end_as_in_the_stricter_reference(case: dict[str, Any]) -> None:
    octets = bytes.fromhex(case["hex"])
    results = {case["java_result"], case["csharp_result"]}
    if results == {"ok"}:
        values = {case["java_value"], case["csharp_value"]}
        assert perform(case["read"], octets) in values
    elif results == {"error"}:
        with pytest.raises(DecodeError):
            perform(case["read"], octets)
    elif case["id"] in STRICTER:
        assert perform(case["read"], octets) == case["java_value"]
    else:
        with pytest.raises(DecodeError):
            perform(case["read"], octets)


def test_lengths_are_minimal() -> None:
    expected = {0: "00", 127: "7f", 128: "8180", 255: "81ff", 256: "820100", 65536: "83010000"}
    assert {count: encode_length(count).hex() for count in expected} == expected
