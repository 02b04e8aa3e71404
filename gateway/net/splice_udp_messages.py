"""What the datagram path and its process say to each other, one SOCK_SEQPACKET packet each.

Both processes come from the same installation and the same start, so there is no version in it.
Imported by the relay's process: nothing heavy may be imported here.
"""

from __future__ import annotations

import struct
from enum import IntEnum


class Command(IntEnum):
    """Datagram path to process."""

    LIMITS = 1  # HEADER, LIMITS
    DOOR = 2  # HEADER with the door's index; one descriptor: a bound UDP socket
    EXPECT = 3  # HEADER, endpoint uid: report where its ENDPOINT_INFO comes from
    FORGET = 4  # HEADER, endpoint uid
    JOIN = 5  # HEADER, SPOT a, SPOT b: datagrams of each go to the other
    KILL = 6  # HEADER


class Report(IntEnum):
    """Process to datagram path."""

    READY = 1  # HEADER
    SIGHTED = 2  # HEADER, SPOT, the whole ENDPOINT_INFO
    JOINED = 3  # HEADER
    ENDED = 4  # HEADER, END


class Reason(IntEnum):
    """Why a pair of sources is not relayed any more."""

    IDLE = 1  # no datagram from either side for the idle limit
    REPLACED = 2  # one of the sources was registered anew
    KILLED = 3
    REFUSED = 4  # no room


HEADER = struct.Struct("!BQ")  # kind, number
# idle s, sizes up to, packets/s and octets/s of a pair, packets/s and octets/s of all, pairs
LIMITS = struct.Struct("!dIIQIQI")
# door, family (4 or 6), address (the first 4 octets of it over IPv4), port, scope (IPv6), and our
# own address, to which the datagram was sent, where the door is bound to every address
SPOT = struct.Struct("!BB16sHI16s")
# reason, octets from a, octets from b, datagrams from a, from b, datagrams dropped
END = struct.Struct("!BQQQQQ")

UID_SIZE = 16
PACKET_MAX = HEADER.size + 2 * SPOT.size + 64
