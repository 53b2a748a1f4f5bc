"""Wall time of the demo by phase.

    python bench/demo.py [--full]

Plays the fast demo (or, with `--full`, the whole year) in a temporary folder.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time


def main() -> None:
    options = [] if "--full" in sys.argv else ["--fast"]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "everloop", "demo", f"{folder}/demo", "--json", *options],
            stdout=subprocess.PIPE,
            check=True,
        )
        total = time.perf_counter() - started
    summary = json.loads(done.stdout)
    print(f"{'phase':14} {'seconds':>8} {'share':>7}")
    for phase, seconds in sorted(summary["seconds"].items(), key=lambda item: -item[1]):
        print(f"{phase:14} {seconds:8.1f} {seconds / total:7.0%}")
    print(f"{'total':14} {total:8.1f}")
    rows, spent = summary["captured"]["rows"], summary["seconds"]["predictions"]
    print(f"{rows:,} rows predicted and captured, {rows / spent:,.0f} per second of that phase")


if __name__ == "__main__":
    main()
