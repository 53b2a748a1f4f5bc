from __future__ import annotations

import os
from pathlib import Path

from everloop.workspace.state import CLOCK_TICK_NS, State


def stat_of(path: Path, mtime_ns: int = 10**18 + 1) -> os.stat_result:
    path.write_text("x")
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path.stat()


def test_hash_is_known_to_the_next_command(tmp_path: Path) -> None:
    found = stat_of(tmp_path / "a")
    state = State(tmp_path / "state")
    state.put("a", found, "0" * 32)
    state.save()
    assert State(tmp_path / "state").get("a", found) == "0" * 32


def test_other_time_is_unknown(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.put("a", stat_of(tmp_path / "a"), "0" * 32)
    assert state.get("a", stat_of(tmp_path / "a", 10**18 + 2)) is None


def test_file_written_within_the_clock_tick_is_not_trusted(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    found = stat_of(tmp_path / "a")
    state.put("a", found, "0" * 32, hashed_at_ns=found.st_mtime_ns + CLOCK_TICK_NS - 1)
    assert state.get("a", found) is None


def test_whole_seconds_need_a_longer_wait(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    found = stat_of(tmp_path / "a", 10**18)
    state.put("a", found, "0" * 32, hashed_at_ns=found.st_mtime_ns + 10**9)
    assert state.get("a", found) is None


def test_vanished_files_are_forgotten(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    found = stat_of(tmp_path / "a")
    for path in ("d/x", "d/y", "e"):
        state.put(path, found, "0" * 32)
    state.keep_only("d", {"d/x"})
    assert [state.get(path, found) is None for path in ("d/x", "d/y", "e")] == [False, True, False]


def test_damaged_memory_starts_anew(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"\xc1 nonsense")
    assert State(tmp_path / "state").get("a", stat_of(tmp_path / "a")) is None
