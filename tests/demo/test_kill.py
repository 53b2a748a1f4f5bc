"""The demo under harm: SIGKILL of every process at several points, and Ctrl-C; it ends with the same decisions."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.demo import plays

pytestmark = pytest.mark.demo

SEEDS = range(1, 1 + int(os.environ.get("SOAK_PLAYS", "1")))


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_processes_change_neither_decisions_nor_counts(
    seed: int, summary: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "demo"
    with plays.Killer(folder, plays.random_kills(seed)) as killer:
        disturbed = plays.finish(plays.start(folder), folder)
    assert {"hub", "worker", "gateway"} <= set(killer.done), killer.done
    assert len(killer.done) >= 8
    assert plays.decided(disturbed) == plays.decided(summary)
    assert disturbed["sent"] == summary["sent"]
    assert disturbed["captured"] == summary["captured"]


def test_ctrl_c_stops_everything_and_the_same_command_goes_on(summary: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    process = plays.start(folder)
    pids: list[int] = []
    while plays.played(folder) < "2013-03-31":
        assert process.poll() is None, plays.logs(folder)
        signal.sigtimedwait([], plays.POLL_S)
    for path in (folder / ".everloop" / "run").glob("*.json"):
        pids.append(msgspec.json.decode(path.read_bytes())["pid"])
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60.0)
    assert process.returncode == 130
    assert pids
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    resumed = plays.finish(plays.start(folder), folder)
    assert plays.decided(resumed) == plays.decided(summary)
    assert resumed["captured"] == summary["captured"]
