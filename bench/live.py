"""What a training pays for logging: microseconds a call, beside the real DVCLive and a bare `list.append` (the floor).

    python bench/live.py [CALLS]

Every logger notes two metrics a call and ends a step every ten calls, in a process of its own, in turn; the table has
the medians. `cpu` is of the whole process, the writing in the background and the start included; `end` is the wait at
the end.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

PEER = Path(__file__).parent.parent / "tests/peers/.venv/bin/python"
ROUNDS = 3

SCRIPT = """
import json, sys, time
calls = int(sys.argv[1])
began = time.perf_counter()
START
started = time.perf_counter()
for i in range(calls):
    LOG
    if i % 10 == 9:
        STEP
logged = time.perf_counter()
END
ended = time.perf_counter()
print(json.dumps({"start_ms": (started - began) * 1e3, "call_us": (logged - started) / calls * 1e6,
                  "end_ms": (ended - logged) * 1e3, "cpu_s": time.process_time()}))
"""
EVERLOOP = (
    "from everloop import start_run; run = start_run()",
    "run.log(loss=0.5, acc=i)",
    "run.next_step()",
    "run.end()",
)
DVCLIVE = (
    "from dvclive import Live; run = Live(save_dvc_exp=False)",
    'run.log_metric("loss", 0.5); run.log_metric("acc", i)',
    "run.next_step()",
    "run.end()",
)
FLOOR = ("noted = []", "noted.append({'loss': 0.5, 'acc': i})", "pass", "pass")


def play(python: str, parts: tuple[str, ...], calls: int, **environment: str) -> dict[str, float]:
    """Run one logger in an empty folder; return what it measured."""
    code = SCRIPT
    for word, part in zip(("START", "LOG", "STEP", "END"), parts, strict=True):
        code = code.replace(word, part)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EVERLOOP_", "DVC"))}
    with tempfile.TemporaryDirectory() as folder:
        settings = {"HOME": folder, "DVC_NO_ANALYTICS": "1", "DVC_STUDIO_OFFLINE": "1", **environment}
        done = subprocess.run(
            [python, "-W", "ignore", "-c", code, str(calls)],
            cwd=folder,
            env=kept | settings,
            capture_output=True,
            text=True,
            check=True,
        )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    cases: dict[str, Callable[[], dict[str, float]]] = {
        "list.append": lambda: play(sys.executable, FLOOR, calls),
        "everloop": lambda: play(sys.executable, EVERLOOP, calls),
        "everloop, spool": lambda: play(sys.executable, EVERLOOP, calls, EVERLOOP_OFFLINE="1"),
    }
    if PEER.exists():
        cases["dvclive"] = lambda: play(str(PEER), DVCLIVE, calls)
    rounds = [{name: case() for name, case in cases.items()} for _ in range(ROUNDS)]
    print(f"{'logger':16} {'start ms':>9} {'call us':>9} {'end ms':>8} {'cpu s':>7} {'calls/s':>10} {'ratio':>7}")
    for name in cases:
        found = {key: statistics.median(each[name][key] for each in rounds) for key in rounds[0][name]}
        ratios = [each["dvclive"]["call_us"] / each[name]["call_us"] for each in rounds if "dvclive" in each]
        ratio = f"{statistics.median(ratios):6.0f}x" if ratios else "-"
        print(
            f"{name:16} {found['start_ms']:9.1f} {found['call_us']:9.2f} {found['end_ms']:8.1f} {found['cpu_s']:7.2f} "
            f"{1e6 / found['call_us']:10,.0f} {ratio:>7}"
        )


if __name__ == "__main__":
    main()
