"""What the data path and its relay process say to each other, one SOCK_SEQPACKET packet each.

Both processes come from the same installation and the same start, so there is no version in it.
Imported by the relay process: nothing heavy may be imported here.
"""

from __future__ import annotations

import struct
from enum import IntEnum


class Command(IntEnum):
    """Data path to relay process."""

    JOIN = 1  # START, early octets; two descriptors a, b: octets flow both ways
    FEED = 2  # START, early octets; two descriptors source, destination: one way
    KILL = 3  # HEADER; flags SHUT: shut the sockets of a feed down as well
    RECLAIM = 4  # HEADER; a feed stops reading, delivers what it took and is forgotten
    COUNT = 5  # HEADER; asks for one REPORT of kind COUNTS, number = where to go on
    EARLY = 6  # HEADER, octets; flags = side; precedes the JOIN or FEED of that number


class Report(IntEnum):
    """Relay process to data path."""

    READY = 1  # HEADER; number = how many pairs it can carry
    END = 2  # HEADER with the number of records, then END records
    COUNTS = 3  # HEADER; flags LAST: the round is complete; number = next; then COUNT records


class Reason(IntEnum):
    """Why a pair ended. `a` is the first socket given (of a feed the source), `b` the second."""

    CLOSED = 1  # every direction came to its end and was delivered
    A_RESET = 2  # the connection of `a` failed or was reset
    B_RESET = 3
    KILLED = 4
    IDLE = 5  # no octet in either direction for the idle limit
    STALLED = 6  # a destination took nothing for the stall limit
    RECLAIMED = 7
    REFUSED = 8  # no room: too many pairs, descriptors or a full queue
    RELAY_LOST = 9  # the relay process died; never sent by it


SHUT = 1  # flag of KILL
LAST = 1  # flag of COUNTS
PASS_END = 1  # flag of FEED: the end of the source shuts the destination's sending side

HEADER = struct.Struct("!BBQ")  # kind, flags, number
# kind, flags, number, idle s (0: none), stall s (0: none), TCP_NOTSENT_LOWAT (0: leave),
# SO_RCVBUF of b or of the source (0: leave), length of the early octets read from a
START = struct.Struct("!BBQffIII")
END = struct.Struct("!QBQQd")  # number, reason, octets a to b, octets b to a, seconds
COUNT = struct.Struct("!QQQ")  # number, octets a to b, octets b to a

# One packet must fit the socket buffer (212,992 octets unless the machine says otherwise).
EARLY_CHUNK = 32 * 1024
PACKET_MAX = START.size + 2 * EARLY_CHUNK
RECORDS_MAX = 256  # records in one report: 10 KB
