"""`python -m bench [NAME ...]`: run every benchmark, or those named, one after the other.

Results are shown and appended to bench/results/ as JSON lines. Options after `--` go to each.
"""

from __future__ import annotations

import subprocess
import sys

BENCHES = ("gateway", "relay")


def main() -> int:
    """Run them, each as a program of its own; returns the worst exit status."""
    given = sys.argv[1:]
    names, options = given, []
    if "--" in given:
        at = given.index("--")
        names, options = given[:at], given[at + 1 :]
    if unknown := set(names) - set(BENCHES):
        print(f"There is no benchmark {', '.join(unknown)}. Known: {', '.join(BENCHES)}.")
        return 2
    worst = 0
    for name in names or BENCHES:
        print(f"\nbench.{name}", flush=True)
        worst = max(worst, subprocess.call([sys.executable, "-m", f"bench.{name}", *options]))
    return worst


if __name__ == "__main__":
    sys.exit(main())
