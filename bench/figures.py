"""What a benchmark finds: lines of JSON for later comparison, and a short table for people."""

from __future__ import annotations

import json
import os
import platform
import re
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One measured value. `ratio` compares it with a direct connection in the same run.

    `bar` is what the value (the ratio, where there is one) must reach: at least, for a ratio or
    anything counted per second, else at most.
    """

    what: str
    value: float
    unit: str
    ratio: float | None = None
    bar: float | None = None
    more: dict[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Tell whether the bar is reached; None where there is none."""
        if self.bar is None:
            return None
        if self.ratio is not None:
            return self.ratio >= self.bar
        return self.value >= self.bar if self.unit.endswith("/s") else self.value <= self.bar


@cache
def machine() -> dict[str, str | int]:
    """Return what figures of two machines differ by; nothing that names this one."""
    facts = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"(?m)^(?:model name|Model)\s*:\s*(.+)$", facts)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_GB": round(pages / 1e9),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "python": platform.python_version(),
    }


def rounded(value: float) -> float:
    """Return a value with the four digits that mean something."""
    return float(f"{value:.4g}")


class Record:
    """The results of one benchmark; every figure is shown and appended to its file at once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._file = RESULTS / f"{name}.jsonl"
        self.missed: list[Figure] = []

    def add(self, figure: Figure) -> None:
        """Keep one figure."""
        line: dict[str, object] = {
            "what": figure.what,
            "value": rounded(figure.value),
            "unit": figure.unit,
        }
        if figure.ratio is not None:
            line["ratio"] = rounded(figure.ratio)
        if figure.bar is not None:
            line["bar"] = figure.bar
        line |= {name: rounded(value) for name, value in figure.more.items()}
        line |= {"date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **machine()}
        RESULTS.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as results:
            results.write(json.dumps(line) + "\n")
        if figure.met is False:
            self.missed.append(figure)
        print(_row(figure), flush=True)


def _row(figure: Figure) -> str:
    shown = f"{figure.what:<46} {rounded(figure.value):>10g} {figure.unit:<8}"
    if figure.ratio is not None:
        shown += f" {figure.ratio:6.2f} of direct"
    if figure.bar is not None:
        shown += f"  bar {figure.bar:g} {'met' if figure.met else 'MISSED'}"
    more = ", ".join(f"{name} {rounded(value):g}" for name, value in figure.more.items())
    return f"{shown}  ({more})" if more else shown.rstrip()
