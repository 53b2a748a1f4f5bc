from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.workspace.merge import merge, merged_listing

A, B, C, D = ("a" * 32, "b" * 32, "c" * 32, "d" * 32)


def out(path: str, md5: str, **options: Any) -> str:
    lines = [f"- md5: {md5}", "  size: 1", "  hash: md5", f"  path: {path}"]
    return "\n".join([*lines, *(f"  {key}: {value}" for key, value in options.items())]) + "\n"


def merged(base: str, ours: str, theirs: str, listings: Any = lambda *_: None) -> tuple[str, tuple[str, ...]]:
    result = merge(base, ours, theirs, name="x", merge_listings=listings)
    return result.data.decode(), result.conflicts


def test_outs_of_both_sides_are_taken() -> None:
    base = "outs:\n" + out("a", A)
    text, conflicts = merged(base, base + out("b", B), base + out("c", C))
    assert conflicts == ()
    assert text == base + out("b", B) + out("c", C)


def test_content_of_one_side_and_description_of_the_other_meet() -> None:
    base = "outs:\n" + out("a", A)
    text, conflicts = merged(base, "# mine\nouts:\n" + out("a", A, desc="rows"), "outs:\n" + out("a", B))
    assert conflicts == ()
    assert text == "# mine\nouts:\n" + out("a", B, desc="rows")


def test_content_is_never_mixed() -> None:
    base = "outs:\n" + out("a", A)
    text, conflicts = merged(base, "outs:\n" + out("a", B), "outs:\n" + out("a", C))
    assert conflicts == ("outs.a.md5",)
    assert f"<<<<<<< ours\n- md5: {B}\n" in text
    assert f"=======\n- md5: {C}\n>>>>>>> theirs\n" in text


def test_removed_on_one_side_is_removed() -> None:
    both = "outs:\n" + out("a", A) + out("b", B)
    assert merged(both, both, "outs:\n" + out("b", B)) == ("outs:\n" + out("b", B), ())


def test_removed_here_and_changed_there_is_a_conflict() -> None:
    both = "outs:\n" + out("a", A) + out("b", B)
    _, conflicts = merged(both, "outs:\n" + out("b", B), "outs:\n" + out("a", C) + out("b", B))
    assert conflicts == ("outs.a",)


def test_same_change_on_both_sides_is_none() -> None:
    assert merged("outs:\n" + out("a", A), "outs:\n" + out("a", B), "outs:\n" + out("a", B)) == (
        "outs:\n" + out("a", B),
        (),
    )


def test_directories_are_merged_by_their_listings() -> None:
    asked = []

    def listings(base: str | None, ours: str, theirs: str) -> dict[str, Any]:
        asked.append((base, ours, theirs))
        return {"md5": D + ".dir", "nfiles": 3, "hash": "md5"}

    base, ours, theirs = ("outs:\n" + out("d", md5 + ".dir") for md5 in (A, B, C))
    text, conflicts = merged(base, ours, theirs, listings)
    assert conflicts == ()
    assert set(asked) == {(A + ".dir", B + ".dir", C + ".dir")}
    assert text == f"outs:\n- md5: {D}.dir\n  nfiles: 3\n  hash: md5\n  path: d\n"


def stage(name: str, md5: str) -> str:
    return f"  {name}:\n    cmd: run {name}\n    outs:\n    - path: {name}.out\n      hash: md5\n      md5: {md5}\n"


def lock(*stages: str) -> str:
    return "schema: '2.0'\nstages:\n" + "".join(stages)


def test_stages_of_a_lock_are_merged_one_by_one() -> None:
    base = lock(stage("a", A), stage("b", A))
    text, conflicts = merged(base, lock(stage("a", B), stage("b", A)), lock(stage("a", A), stage("b", C)))
    assert (text, conflicts) == (lock(stage("a", B), stage("b", C)), ())


def test_stage_is_one_run_and_never_mixed() -> None:
    base = lock(stage("a", A), stage("b", A))
    ours = lock(stage("a", B), stage("b", B))
    theirs = lock(stage("a", C), stage("b", A), stage("new", D))
    text, conflicts = merged(base, ours, theirs)
    assert conflicts == ("stages.a",)
    assert text.count("<<<<<<< ours") == 1
    assert stage("b", B) in text
    assert stage("new", D) in text


def test_both_sides_new_without_an_ancestor() -> None:
    assert merged("", lock(stage("a", A)), lock(stage("b", B))) == (lock(stage("a", A), stage("b", B)), ())


def test_numbers_and_quotes_are_written_as_they_were_read() -> None:
    base = "stages:\n  a:\n    params:\n      params.yaml:\n        lr: 1e-3\n        n: '1'\n"
    theirs = base + "  b:\n    params:\n      params.yaml:\n        lr: 1e-4\n        n: '2'\n"
    assert merged(base, base, theirs) == (theirs, ())


listings = st.dictionaries(st.sampled_from(["a", "b", "a/x", "b/y"]), st.sampled_from([A, B, C]))


@given(listings, listings, listings)
def test_listing_has_each_change_of_either_side(
    base: dict[str, str], ours: dict[str, str], theirs: dict[str, str]
) -> None:
    found = merged_listing(base, ours, theirs)
    assert found == merged_listing(base, theirs, ours)
    if found is None:
        return
    for path in {*base, *ours, *theirs}:
        changed = [side.get(path) for side in (ours, theirs) if side.get(path) != base.get(path)]
        assert found.get(path) == (changed[0] if changed else base.get(path))


@pytest.mark.parametrize("other", [{"a": A}, {}])
def test_listing_with_one_side_unchanged_is_the_other_one(other: dict[str, str]) -> None:
    assert merged_listing({"a": B}, {"a": B}, other) == other
    assert merged_listing({"a": B}, {"a": C}, {"a": A}) is None


def record_with(executable: list[str], links: dict[str, str]) -> str:
    lines = [
        "outs:",
        "- md5: d70d1025d29a7ff2dc6fccf9abd5bcf3.dir",
        "  hash: md5",
        "  path: d",
        "  meta:",
        "    everloop:",
    ]
    lines += ["      executable:", *(f"      - {path}" for path in executable)] if executable else []
    lines += ["      links:", *(f"        {path}: {target}" for path, target in links.items())] if links else []
    return "\n".join(lines) + "\n"


def test_traits_of_both_sides_are_merged() -> None:
    merged = merge(
        record_with(["a", "b"], {"l": "a"}),
        record_with(["a", "c"], {"l": "a", "ours": "a"}),
        record_with(["a", "b", "d"], {"l": "b", "theirs": "a"}),
        name="d.dvc",
        merge_listings=lambda *_: None,
    )
    assert merged.conflicts == ()
    assert merged.data.decode() == record_with(["a", "c", "d"], {"l": "b", "ours": "a", "theirs": "a"})


def test_traits_of_one_side_alone_are_taken() -> None:
    merged = merge(
        record_with(["a"], {"l": "a"}),
        record_with(["a", "b"], {"l": "a"}),
        record_with([], {"l": "a"}),
        name="d.dvc",
        merge_listings=lambda *_: None,
    )
    assert merged.data.decode() == record_with(["b"], {"l": "a"})
