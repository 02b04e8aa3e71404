"""Which event loop the program runs on, and how seldom the collector of cycles stops it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import importlib.util
from collections.abc import Callable

CHOICES = ("auto", "asyncio", "uvloop")
COLLECTOR = (5_000, 5, 40)
"""Net new objects before the youngest are looked at, and how often then the older ones. A full look
at ten thousand endpoints stops everything for 0.2 s, so it comes after one million."""


def loop_factory(choice: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the loop, for asyncio.Runner; None is the standard one.

    `auto` takes uvloop where it is installed: the tracker needs a good third less CPU with it.
    Raises ImportError when uvloop is asked for by name and missing.
    """
    if choice == "asyncio" or (choice == "auto" and importlib.util.find_spec("uvloop") is None):
        return None
    import uvloop

    return uvloop.new_event_loop


def calm_collector() -> None:
    """Let long pauses for the collection of cycles be rare; call it when all has started.

    What lives now is taken to live for ever. Connections leave no cycles behind; what does is
    found while it is young.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR)


def give_back_memory() -> None:
    """Return what the imports have used and freed to the machine, where its C library can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
