"""How long the command line takes to start, beside a bare interpreter (the floor).

    python bench/startup.py [RUNS]

Each pair runs right after the other; the ratio is the median of the pairs' ratios, of user+system time as well.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time

FLOOR = ("-c", "pass")
CASES = {
    "ever --help": ("-m", "everloop", "--help"),
    "import everloop": ("-c", "import everloop"),
    "ever run --help": ("-m", "everloop", "run", "--help"),
}


def once(arguments: tuple[str, ...]) -> tuple[float, float]:
    """Run the interpreter once; return wall and user+system seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    print(f"{'case':18} {'wall ms':>8} {'floor ms':>9} {'wall ratio':>11} {'cpu ratio':>10}")
    for name, arguments in CASES.items():
        once(arguments), once(FLOOR)
        pairs = [(once(arguments), once(FLOOR)) for _ in range(runs)]
        wall = statistics.median(mine[0] for mine, _ in pairs)
        floor = statistics.median(other[0] for _, other in pairs)
        ratio = statistics.median(mine[0] / other[0] for mine, other in pairs)
        cpu = statistics.median(mine[1] / other[1] for mine, other in pairs)
        print(f"{name:18} {wall * 1e3:8.1f} {floor * 1e3:9.1f} {ratio:11.2f} {cpu:10.2f}")


if __name__ == "__main__":
    main()
