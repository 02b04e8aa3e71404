"""GeneralizedTime, always UTC, milliseconds at most (01 section 2.5)."""

from __future__ import annotations

import datetime
import re

from gateway.asn1.errors import DecodeError

_FORM = re.compile(rb"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d{1,3}))?Z\Z")


def encode_time(moment: datetime.datetime) -> bytes:
    """Return the content octets for an aware moment; sub-millisecond parts are cut off."""
    if moment.tzinfo is None:
        raise ValueError("a moment without time zone cannot be encoded")
    moment = moment.astimezone(datetime.UTC)
    fraction = f"{moment.microsecond // 1000:03d}".rstrip("0")
    text = (
        f"{moment.year:04d}{moment.month:02d}{moment.day:02d}"
        f"{moment.hour:02d}{moment.minute:02d}{moment.second:02d}"
    )
    return f"{text}{'.' + fraction if fraction else ''}Z".encode("ascii")


def decode_time(content: bytes) -> datetime.datetime:
    """Return the aware moment; raise DecodeError for anything but the documented form."""
    found = _FORM.match(content)
    if found is None:
        raise DecodeError("malformed GeneralizedTime")
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    millis = int((found.group(7) or b"0").ljust(3, b"0"))
    try:
        return datetime.datetime(
            year, month, day, hour, minute, second, millis * 1000, tzinfo=datetime.UTC
        )
    except ValueError as error:
        raise DecodeError("impossible date in GeneralizedTime") from error
