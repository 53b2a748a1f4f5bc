"""Run every bench: `python -m bench [NAME...]`; each prints its table, ratios beside floors, never absolute claims."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NAMES = ("startup", "capture", "gateway", "live", "workspace", "remotes", "pipelines", "experiments", "demo")


def main() -> int:
    wanted = sys.argv[1:] or [name for name in NAMES if (Path(__file__).parent / f"{name}.py").exists()]
    for name in wanted:
        print(f"== {name}", flush=True)
        done = subprocess.run([sys.executable, str(Path(__file__).parent / f"{name}.py")], check=False)
        if done.returncode != 0:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
