from __future__ import annotations

import os
from pathlib import Path

import pytest

from everloop.workspace.state import CLOCK_TICK_NS, Listing, State


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


def test_damaged_memory_starts_anew(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"\xc1 nonsense")
    assert State(tmp_path / "state").get("a", stat_of(tmp_path / "a")) is None


OLD_NS = 10**18 + 1
NOW_NS = OLD_NS + 10**10
A, B, C = ("a" * 32, "b" * 32, "c" * 32)
WHOLE = "d" * 32 + ".dir"


def listing_of(files: dict[str, tuple[int, int, int]]) -> Listing:
    listing = Listing()
    for name, identity in files.items():
        listing.append(name, identity)
    return listing


FILES = {"x": (1, OLD_NS, 10), "sub/y": (2, OLD_NS, 20), "b\udcff": (3, OLD_NS, 30)}


@pytest.fixture
def state(tmp_path: Path) -> State:
    """What the next command knows of the directory `d`."""
    first = State(tmp_path / "state")
    first.put_directory("d", listing_of(FILES), [A, B, C], WHOLE, hashed_at_ns=NOW_NS)
    first.save()
    return State(tmp_path / "state")


def test_unchanged_directory_is_known_by_its_digest_alone(tmp_path: Path, state: State) -> None:
    for path in tmp_path.glob("state-*"):
        path.unlink()
    assert state.directory("d", listing_of(FILES).digest()) == WHOLE
    assert state.directory("e", listing_of(FILES).digest()) is None


@pytest.mark.parametrize("changed", [(9, OLD_NS, 10), (1, OLD_NS + 1, 10), (1, OLD_NS, 11)])
def test_only_the_changed_file_of_a_directory_is_unknown(state: State, changed: tuple[int, int, int]) -> None:
    now = listing_of(FILES | {"x": changed})
    assert state.directory("d", now.digest()) is None
    assert list(state.known("d", now)) == [None, B, C]


def test_order_and_number_of_files_may_change(state: State) -> None:
    now = listing_of({"new": (7, OLD_NS, 1), "b\udcff": FILES["b\udcff"], "x": FILES["x"]})
    assert list(state.known("d", now)) == [None, C, A]


def test_renamed_file_is_unknown(state: State) -> None:
    assert list(state.known("d", listing_of({"z": FILES["x"]}))) == [None]


def test_young_file_of_a_directory_is_not_trusted(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    listing = listing_of(FILES)
    state.put_directory("d", listing, [A, B, C], WHOLE, hashed_at_ns=OLD_NS + CLOCK_TICK_NS - 1)
    assert state.directory("d", listing.digest()) is None
    assert list(state.known("d", listing)) == [None, None, None]


def test_some_files_of_a_directory_are_replaced_and_removed(state: State) -> None:
    written = listing_of({"x": (8, OLD_NS, 12), "new": (9, OLD_NS, 1)})
    state.merge_directory("d", written, [B, A], ["sub/y"], WHOLE, hashed_at_ns=NOW_NS)
    now = listing_of({**FILES, "x": (8, OLD_NS, 12), "new": (9, OLD_NS, 1)})
    assert list(state.known("d", now)) == [B, None, C, A]


def test_damaged_memory_of_a_directory_is_hashed_again(tmp_path: Path, state: State) -> None:
    for path in tmp_path.glob("state-*"):
        path.write_bytes(b"\xc1")
    assert list(state.known("d", listing_of(FILES))) == [None, None, None]


def test_command_that_ends_before_it_saves_leaves_what_is_right(tmp_path: Path, state: State) -> None:
    now = listing_of(FILES | {"x": (8, OLD_NS, 12)})
    state.put_directory("d", now, [C, B, C], "e" * 32 + ".dir", hashed_at_ns=NOW_NS)
    after = State(tmp_path / "state")
    assert after.directory("d", listing_of(FILES).digest()) == WHOLE
    assert after.directory("d", now.digest()) is None
    assert list(after.known("d", listing_of(FILES))) == [None, B, C]
    assert list(after.known("d", now)) == [C, B, C]


def test_empty_directory_is_known(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.put_directory("d", Listing(), [], WHOLE, hashed_at_ns=NOW_NS)
    assert state.directory("d", Listing().digest()) == WHOLE
    assert list(state.known("d", listing_of(FILES))) == [None, None, None]


def test_only_the_latest_stamps_are_kept(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    for number in range(200):
        state.put_stamp(str(number), b"stamp")
    state.save()
    assert State(tmp_path / "state").stamp("199") == b"stamp"
    assert State(tmp_path / "state").stamp("0") == b""
