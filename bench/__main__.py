"""`python -m bench [NAME ...] [OPTION ...]`: run every benchmark, or those named, in turn.

Results are shown and appended to bench/results/ as JSON lines. --seconds S and --repetitions N
go to each.
"""

from __future__ import annotations

import itertools
import subprocess
import sys

BENCHES = ("gateway",)
"""What runs when nothing is named: under three minutes together."""
NAMED = (*BENCHES, "relay", "udp", "server")


def main() -> int:
    """Run them, each as a program of its own; returns the worst exit status."""
    given = sys.argv[1:]
    names = list(itertools.takewhile(lambda word: not word.startswith("-"), given))
    options = given[len(names) :]
    if "-h" in options or "--help" in options:
        print(__doc__)
        return 0
    if unknown := set(names) - set(NAMED):
        print(f"There is no benchmark {', '.join(unknown)}. Known: {', '.join(NAMED)}.")
        return 2
    worst = 0
    for name in names or BENCHES:
        print(f"\nbench.{name}", flush=True)
        worst = max(worst, subprocess.call([sys.executable, "-m", f"bench.{name}", *options]))
    return worst


if __name__ == "__main__":
    sys.exit(main())
