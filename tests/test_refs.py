"""Addresses and names: what may stand in a path, a URL and a table."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop import refs
from everloop.errors import InvalidError

NAMES = st.from_regex(re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", re.ASCII), fullmatch=True).filter(
    lambda name: ".." not in name
)


@given(name=NAMES)
def test_a_name_stays_as_it_is_and_stays_in_its_folder(name: str) -> None:
    assert refs.check_name(name, "model") == name
    assert (Path("/a") / name).resolve().parent == Path("/a")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a..b", "/a", "a/b", "a\\b", "a b", "-a", "_a", ".a", "a\n", "a\0", "é", "٣", "a" * 129]
)
def test_what_is_no_name_is_refused_with_what_it_was_for(name: str) -> None:
    with pytest.raises(InvalidError, match="model") as caught:
        refs.check_name(name, "model")
    assert repr(name) in caught.value.message
    assert caught.value.hint


def test_the_longest_name_has_128_letters() -> None:
    assert refs.check_name("a" * 128, "model") == "a" * 128


def test_new_run_ids_are_run_ids_and_differ() -> None:
    made = {refs.check_run_id(refs.new_run_id()) for _ in range(100)}
    assert len(made) == 100


@pytest.mark.parametrize("run_id", ["", "a" * 31, "a" * 33, "A" * 32, "g" * 32, "a" * 32 + "\n", "٣" * 32])
def test_what_is_no_run_id_is_refused(run_id: str) -> None:
    with pytest.raises(InvalidError, match="32 hex digits"):
        refs.check_run_id(run_id)


@given(path=st.text(st.sampled_from("ab./\\\0"), max_size=8))
def test_a_checked_path_stays_inside_its_folder_on_every_system(path: str) -> None:
    try:
        plain = refs.check_path(path, "file")
    except InvalidError:
        parts = path.split("/")
        assert path.startswith("/") or ".." in parts or "\\" in path or "\0" in path or not set(parts) - {"", "."}
        return
    assert Path("/root", plain).is_relative_to("/root")
    assert plain == str(PurePosixPath(path)) == refs.check_path(plain, "file")
    assert set(PurePosixPath(plain).parts).isdisjoint({"..", ".", ""})


def test_addresses_read_as_room_name_and_version() -> None:
    assert refs.run("7f3a") == "runs/7f3a"
    assert refs.model("delay", 3) == "models/delay@3"
    assert refs.dataset("weather", "9c1e") == "datasets/weather@9c1e"
    assert refs.commit("abc") == "commits/abc"
    assert refs.endpoint("flight-delay") == "endpoints/flight-delay"
    assert refs.prediction("r-0") == "predictions/r-0"
