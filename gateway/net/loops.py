"""Which event loop the program runs on."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable

CHOICES = ("auto", "asyncio", "uvloop")


def loop_factory(choice: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the loop, for asyncio.Runner; None is the standard one.

    `auto` takes uvloop where it is installed: the tracker needs a good third less CPU with it.
    Raises ImportError when uvloop is asked for by name and missing.
    """
    if choice == "asyncio" or (choice == "auto" and importlib.util.find_spec("uvloop") is None):
        return None
    import uvloop

    return uvloop.new_event_loop
