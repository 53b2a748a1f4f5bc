"""What people say of models and versions, searches over them, and deletion, over each backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from everloop.errors import ConflictError, EverloopError, InvalidError, NotFoundError
from everloop.registry import ModelVersion, PackageFile, RegistryStore
from tests.stores import Stores

RUN = "7f" * 16
DIGEST = "ab" * 32
FILES = [PackageFile(path="MLmodel", digest=DIGEST, size_bytes=120)]


@pytest.fixture
def store(platform: Stores) -> RegistryStore:
    return platform.registry


def add(store: RegistryStore, model: str = "delay", **given: Any) -> ModelVersion:
    return store.create_version(model, **{"source": "runs:/x/model", "actor": "ada", **given})


def refusal(call: Callable[[], object]) -> type[EverloopError] | None:
    try:
        call()
    except EverloopError as error:
        return type(error)
    return None


def test_a_model_is_made_once_and_described(store: RegistryStore) -> None:
    made = store.create_model("My delay (v2)", "text", {"b": "1", "a": "ü"})
    assert (made.description, made.tags, made.latest_version) == ("text", {"a": "ü", "b": "1"}, 0)
    assert refusal(lambda: store.create_model("My delay (v2)")) is ConflictError
    store.tag_model("My delay (v2)", {"b": "2", "c": ""})
    for _ in range(2):
        store.untag_model("My delay (v2)", "a")
    found = store.describe_model("My delay (v2)", "other")
    assert (found.description, found.tags) == ("other", {"b": "2", "c": ""})
    assert found.updated_at > made.updated_at
    assert store.get_model("My delay (v2)") == found


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/b", "a:b", "a@b", "a\\b", "a\nb", "a\0", "x" * 256, "ü" * 128])
def test_what_cannot_be_an_address_cannot_be_a_name(store: RegistryStore, name: str) -> None:
    assert refusal(lambda: store.create_model(name)) is InvalidError
    assert refusal(lambda: store.get_model(name)) in (NotFoundError, InvalidError)


def test_each_call_makes_a_version(store: RegistryStore) -> None:
    store.create_model("delay")
    model_id = "m-" + "1" * 32
    first = add(store, run_id=RUN, model_id=model_id, digest=DIGEST, files=FILES, tags={"k": "v"}, description="d")
    second = add(store, run_id=RUN, digest=DIGEST, files=FILES)
    outside = add(store, source="s3://models/1")
    assert [each.version for each in (first, second, outside)] == [1, 2, 3]
    assert (first.source, first.model_id, first.tags, first.description) == ("runs:/x/model", model_id, {"k": "v"}, "d")
    assert store.package_files(DIGEST) == FILES
    assert (outside.digest, outside.files, outside.run_id) == ("", [], "")
    for wrong in ({"run_id": "x"}, {"model_id": "x"}, {"digest": DIGEST}, {"tags": {"": "x"}}, {"source": "\0"}):
        assert refusal(lambda wrong=wrong: add(store, **wrong)) is InvalidError  # type: ignore[misc]
    assert refusal(lambda: add(store, "nobody")) is NotFoundError
    for nothing in ("", "cd" * 32):
        assert refusal(lambda nothing=nothing: store.package_files(nothing)) is NotFoundError  # type: ignore[misc]
    assert add(store).version == 4


def test_a_version_is_tagged_and_described(store: RegistryStore) -> None:
    store.create_model("delay")
    add(store)
    add(store, tags={"a": "2"})
    store.tag_version("delay", 1, {"a": "1", "b": "1"})
    store.untag_version("delay", 1, "b")
    store.untag_version("delay", 1, "b")
    assert store.describe_version("delay", 1, "text").tags == {"a": "1"}
    assert [(each.tags, each.description) for each in store.list_versions("delay")] == [
        ({"a": "2"}, ""),
        ({"a": "1"}, "text"),
    ]
    for number in (0, 3, -1, 1 << 40):
        assert refusal(lambda number=number: store.tag_version("delay", number, {"a": "1"})) is NotFoundError  # type: ignore[misc]


def test_stages_move_and_archive(platform: Stores) -> None:
    store = platform.registry
    store.create_model("delay")
    for _ in range(3):
        add(store)
    for version in (1, 2, 3):
        store.set_stage("delay", version, "Production", "ada", archive_existing=version == 3)
    newest = store.latest_versions(["delay"])
    assert [(each.version, each.stage) for each in newest] == [(2, "Archived"), (3, "Production")]
    assert [each.version for each in store.latest_versions(["delay"], ["Archived", "None"])] == [2]
    assert len(platform.ledger.entries(kind="stage_changed")) == 3
    assert refusal(lambda: store.set_stage("delay", 1, "None", "ada", archive_existing=True)) is InvalidError
    assert store.latest_versions(["nobody"]) == store.latest_versions([]) == []


def test_what_has_an_alias_is_not_deleted(platform: Stores) -> None:
    store = platform.registry
    store.create_model("delay")
    add(store)
    add(store)
    store.set_alias("delay", "best", 1, "ada", "")
    assert refusal(lambda: store.delete_version("delay", 1, "ada")) is ConflictError
    assert refusal(lambda: store.delete_model("delay", "ada")) is ConflictError
    for _ in range(2):
        store.delete_alias("delay", "best", "ada", "worse")
    store.delete_version("delay", 1, "ada")
    assert refusal(lambda: store.set_alias("delay", "best", 1, "ada", "")) is NotFoundError
    assert refusal(lambda: store.delete_version("delay", 1, "ada")) is NotFoundError
    assert store.get_version("delay", 1).is_deleted
    assert [each.version for each in store.list_versions("delay")] == [2]
    store.set_alias("delay", "best", 2, "ada", "")
    moves = [(each.key, each.body) for each in platform.ledger.entries(kind="alias_moved")]
    assert [key for key, _ in moves] == [f"alias/delay/best/{number}" for number in (1, 2, 3)]


def test_a_deleted_model_s_name_goes_on_counting(platform: Stores) -> None:
    store = platform.registry
    for expected in (1, 2, 3):
        assert store.create_model("delay", tags={"a": "1"}).tags == {"a": "1"}
        assert add(store).version == expected
        store.untag_model("delay", "a")
        store.tag_model("delay", {"b": "1"})
        store.delete_model("delay", "ada")
        assert refusal(lambda: store.get_model("delay")) is NotFoundError
        assert not [*store.list_models(), *store.list_versions("delay"), *store.latest_versions(["delay"])]
    assert len(platform.ledger.entries(kind="model_deleted")) == 3
    assert len(platform.ledger.entries(kind="version_registered")) == 3
    assert store.register("delay", RUN, DIGEST, FILES, {}, "ada").version == 4
    assert store.get_model("delay").tags == {}


def test_a_model_is_renamed_with_all_that_it_has(platform: Stores) -> None:
    store = platform.registry
    store.create_model("old", "text", {"a": "1"})
    add(store, "old", tags={"k": "v"})
    store.set_alias("old", "best", 1, "ada", "")
    store.create_model("taken")
    assert refusal(lambda: store.rename_model("old", "taken", "ada")) is ConflictError
    found = store.rename_model("old", "new", "ada")
    assert (found.description, found.tags, found.aliases, found.latest_version) == ("text", {"a": "1"}, {"best": 1}, 1)
    assert store.resolve("new", "best").tags == {"k": "v"}
    assert refusal(lambda: store.get_model("old")) is NotFoundError
    # The old name is another model's from now on, whose numbers and moves were never used before.
    store.create_model("old")
    assert add(store, "old").version == 2
    store.set_alias("old", "best", 2, "ada", "")
    assert [each.key for each in platform.ledger.entries(kind="alias_moved")] == [
        "alias/old/best/1",
        "alias/old/best/2",
    ]
    store.delete_alias("old", "best", "ada", "")
    store.delete_model("old", "ada")
    assert refusal(lambda: store.rename_model("new", "old", "ada")) is ConflictError


def test_models_are_sought_and_come_in_pages(store: RegistryStore) -> None:
    for number, name in enumerate(["b", "a", "C", "d%"]):
        store.create_model(name, tags={"n": str(number)})
    store.create_model("prompt", tags={"mlflow.prompt.is_prompt": "true"})

    def names(filter: str = "", *order: str) -> list[str]:  # noqa: A002
        return [each.name for each in store.search_models(filter, list(order)).models]

    assert names() == ["C", "a", "b", "d%", "prompt"]
    assert names("name LIKE 'd_'") == ["d%"]
    assert names("name ilike 'c'") == ["C"]
    assert names("tags.n = '1' AND name != 'b'") == ["a"]
    assert names("tag.`mlflow.prompt.is_prompt` != 'true'") == ["C", "a", "b", "d%"]
    assert names("tags.mlflow.prompt.is_prompt = 'true'") == ["prompt"]
    assert names("tags.n IS NULL") == ["prompt"]
    assert names("", "name DESC")[0] == "prompt"
    assert names("", "last_updated_timestamp ASC")[0] == "b"
    found, after = [], ""
    while True:
        page = store.search_models(order_by=["creation_timestamp DESC"], limit=2, after=after)
        found += [each.name for each in page.models]
        after = page.next
        if not after:
            break
    assert found == ["prompt", "d%", "C", "a", "b"]
    for wrong in ("name = 1", "metrics.a > 1", "name = 'a' OR name = 'b'"):
        assert refusal(lambda wrong=wrong: store.search_models(wrong)) is InvalidError  # type: ignore[misc]
    assert refusal(lambda: store.search_models(order_by=["tags.n"])) is InvalidError


def test_versions_are_sought(store: RegistryStore) -> None:
    for name in ("a", "b"):
        store.create_model(name)
        for number in (1, 2):
            add(store, name, run_id=f"{number:032x}", source=f"s3://m/{name}/{number}", tags={"t": name})
    store.delete_version("b", 2, "ada")

    def found(filter: str = "", *order: str) -> list[tuple[str, int]]:  # noqa: A002
        return [(each.model, each.version) for each in store.search_versions(filter, list(order)).versions]

    assert found("", "name ASC") == [("a", 2), ("a", 1), ("b", 1)]
    assert found()[0] == ("b", 1)
    assert found("name = 'a' AND version_number > 1") == [("a", 2)]
    assert found(f"run_id IN ('{1:032x}', 'x')", "version_number ASC", "name DESC") == [("b", 1), ("a", 1)]
    assert found("source_path LIKE 's3://m/b%'") == [("b", 1)]
    assert found("tags.t = 'a'", "version_number ASC") == [("a", 1), ("a", 2)]
    page = store.search_versions(order_by=["name ASC"], limit=2)
    rest = store.search_versions(order_by=["name ASC"], limit=2, after=page.next)
    assert ([each.version for each in rest.versions], rest.next) == ([1], "")
