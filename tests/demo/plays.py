"""Playing the fast demo as a user would, in a process of its own with a home of its own, and disturbing it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import msgspec

LIMIT_S = 600.0
POLL_S = 0.01


def start(folder: Path, **settings: str) -> subprocess.Popen[bytes]:
    """Start the fast demo in `folder`; its standard output is the summary as JSON. `settings` are `EVERLOOP_…`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVERLOOP_")}
    environment |= {"HOME": str(folder.parent)} | settings
    return subprocess.Popen(
        [sys.executable, "-m", "everloop", "demo", str(folder), "--fast", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[bytes], folder: Path) -> dict[str, Any]:
    """Return the summary of a demo that plays to its end."""
    out, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, errors.decode() + logs(folder)
    summary: dict[str, Any] = msgspec.json.decode(out)
    return summary


def logs(folder: Path) -> str:
    """Return the ends of the platform's logs, for a failure's message."""
    parts = [f"\n== {path.name}\n{path.read_text()[-3000:]}" for path in (folder / ".everloop" / "logs").glob("*.log")]
    return "".join(parts)


def decided(summary: dict[str, Any]) -> dict[str, Any]:
    """Return what must be the same in every play: decisions with their numbers, and the months."""
    challenges = [{name: each[name] for name in _SAME_OF_CHALLENGE} for each in summary["challenges"]]
    return {"decisions": summary["decisions"], "challenges": challenges, "months": summary["months"]}


_SAME_OF_CHALLENGE = (
    "challenge_id",
    "champion",
    "challenger",
    "state",
    "started_at",
    "decided_at",
    "policy",
    "verdict",
)


def played(folder: Path) -> str:
    """Return the last day that is complete, as text that sorts; empty before the first."""
    try:
        return msgspec.json.decode((folder / ".everloop" / "demo.json").read_bytes()).get("played") or ""
    except FileNotFoundError:
        return ""


@dataclass
class Kill:
    """Kill a process once a day is complete, `delay_s` later; `in_training` also waits for a training to run."""

    role: str
    after: str
    delay_s: float = 0.0
    in_training: bool = False


@dataclass
class Killer:
    """Carries out kills in order while a demo plays. `done` tells the roles that were killed."""

    folder: Path
    kills: Sequence[Kill]
    done: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        for kill in self.kills:
            while not self._is_due(kill):
                if self._stop.wait(POLL_S):
                    return
            if self._stop.wait(kill.delay_s):
                return
            if self._kill(kill.role):
                self.done.append(kill.role)

    def _is_due(self, kill: Kill) -> bool:
        checkouts = self.folder / ".everloop" / "scratch" / "checkouts"
        in_training = checkouts.is_dir() and any(checkouts.iterdir())
        return played(self.folder) >= kill.after and (in_training or not kill.in_training)

    def _kill(self, role: str) -> bool:
        try:
            pid = msgspec.json.decode((self.folder / ".everloop" / "run" / f"{role}.json").read_bytes())["pid"]
            os.kill(pid, signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            return False  # it is being started again just now
        return True


def random_kills(seed: int) -> list[Kill]:
    """Return kills of every process at several points of the year; the same seed gives the same points."""
    rng = random.Random(seed)
    days = [f"2013-{month:02}-{day:02}" for month in range(3, 8) for day in (4, 11, 18, 25)]
    roles = ["hub", "worker", "gateway"] * 3
    points = sorted(rng.sample(days, len(roles)))
    rng.shuffle(roles)
    kills = [Kill(role, day, rng.uniform(0.0, 0.6)) for role, day in zip(roles, points, strict=True)]
    trainings = [Kill("worker", "2013-03-20", rng.uniform(0.0, 3.0), in_training=True)]
    return sorted([*kills, *trainings], key=lambda kill: kill.after)
