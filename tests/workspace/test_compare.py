from __future__ import annotations

from collections.abc import Mapping

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from everloop.workspace import hashing
from everloop.workspace.compare import Difference, Kind, compare

MD5S = st.sampled_from(["0" * 32, "1" * 32, "2" * 32])
NAMES = st.sampled_from(["a", "b", "s/c", "s/d"])
CONTENTS = st.one_of(MD5S, st.dictionaries(NAMES, MD5S))


class Fake(msgspec.Struct):
    """Data by their path: a file's hash, or the files of a directory; None when nobody knows them."""

    data: dict[str, str | dict[str, str]]
    is_known: bool = True

    @property
    def roots(self) -> Mapping[str, str]:
        return {path: one if isinstance(one, str) else _id(one) for path, one in self.data.items()}

    def files(self, path: str) -> Mapping[str, str] | None:
        one = self.data[path]
        assert isinstance(one, dict)
        return one if self.is_known else None

    def flat(self) -> dict[str, str]:
        """All files and directories."""
        inner = {
            f"{path}/{name}": md5
            for path, one in self.data.items()
            if isinstance(one, dict)
            for name, md5 in one.items()
        }
        return {**self.roots, **inner}


def _id(files: dict[str, str]) -> str:
    return hashing.directory_md5(hashing.encode_directory(files))


def states() -> st.SearchStrategy[Fake]:
    return st.builds(Fake, data=st.dictionaries(st.sampled_from(["x", "y", "z"]), CONTENTS))


@given(states(), states())
def test_differences_lead_from_the_old_state_to_the_new(old: Fake, new: Fake) -> None:
    state = old.flat()
    found = compare(old, new, granular=True)
    for difference in found:
        if difference.old is not None:
            assert state.pop(difference.old.path) == difference.old.md5
    for difference in found:
        if difference.new is not None:
            state[difference.new.path] = difference.new.md5
    assert state == new.flat()


@given(states(), states())
def test_nothing_is_both_deleted_and_added_with_one_content(old: Fake, new: Fake) -> None:
    found = compare(old, new, granular=True)
    gone = {difference.old.md5 for difference in found if difference.kind is Kind.DELETED and difference.old}
    came = {difference.new.md5 for difference in found if difference.kind is Kind.ADDED and difference.new}
    assert not gone & came


@given(states())
def test_a_state_does_not_differ_from_itself(state: Fake) -> None:
    assert compare(state, state, granular=True) == []
    same = compare(state, state, granular=True, with_unchanged=True)
    assert {difference.key.rstrip("/") for difference in same} == set(state.flat())


def shown(found: list[Difference]) -> list[tuple[str, str]]:
    return [(difference.kind.value, difference.key) for difference in found]


def test_file_that_got_a_record_of_its_own_did_not_change() -> None:
    old = Fake({"d": {"a": "0" * 32, "b": "1" * 32}})
    new = Fake({"d/a": "0" * 32, "d/b": "2" * 32})
    assert shown(compare(old, new, granular=True)) == [("deleted", "d/"), ("modified", "d/b")]


def test_inside_of_a_directory_that_is_not_known_nothing_is_new() -> None:
    old = Fake({"d": {"a": "0" * 32}}, is_known=False)
    new = Fake({"d": {"a": "1" * 32, "s/b": "1" * 32}})
    assert shown(compare(old, new, granular=True)) == [
        ("modified", "d/"),
        ("unknown", "d/a"),
        ("unknown", "d/s/"),
        ("unknown", "d/s/b"),
    ]


def test_without_a_look_inside_a_directory_is_one_thing() -> None:
    old, new = Fake({"d": {"a": "0" * 32}, "e": {}}), Fake({"d": {"a": "1" * 32}, "f": {}})
    assert shown(compare(old, new, granular=False)) == [("modified", "d/"), ("renamed", "e/")]
