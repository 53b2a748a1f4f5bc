"""What every RegistryStore promises, over each backend."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from everloop.access import Decision
from everloop.errors import ConflictError, EverloopError, InvalidError, NotFoundError
from everloop.registry import ModelVersion, PackageFile, RegisteredModel, RegistryStore
from tests.stores import Stores

RUN = "7f" * 16
DIGEST = "ab" * 32
FILES = [PackageFile(path="MLmodel", digest=DIGEST, size_bytes=120)]
EVIDENCE: dict[str, Any] = {"auc": 0.71, "data": ["datasets/flights@9c1e"], "gates": {"passed": True, "n": 3}}


@pytest.fixture
def store(platform: Stores) -> RegistryStore:
    return platform.registry


def register(store: RegistryStore, model: str = "delay", **changes: Any) -> ModelVersion:
    given = {"run_id": RUN, "digest": DIGEST, "files": FILES, "evidence": EVIDENCE, "actor": "ada"} | changes
    return store.register(model, **given)


def three(store: RegistryStore) -> list[ModelVersion]:
    return [register(store, run_id=f"{number:032x}") for number in (1, 2, 3)]


def test_a_version_keeps_what_it_was_registered_with(store: RegistryStore) -> None:
    before = datetime.now(UTC)
    made = register(store)
    assert before <= made.created_at <= datetime.now(UTC)
    assert made == ModelVersion(
        model="delay",
        version=1,
        run_id=RUN,
        digest=DIGEST,
        files=FILES,
        evidence=EVIDENCE,
        created_at=made.created_at,
        updated_at=made.created_at,
        actor="ada",
        source="",
        model_id="",
        description="",
        tags={},
        stage="None",
        aliases=[],
        is_deleted=False,
    )
    assert store.get_version("delay", 1) == made
    assert store.list_versions("delay") == [made]


def test_the_same_package_of_the_same_run_is_registered_once(platform: Stores) -> None:
    made = register(platform.registry)
    assert register(platform.registry, evidence={"auc": 0.9}, actor="eve") == made
    assert platform.registry.list_versions("delay") == [made]
    assert len(platform.ledger.entries(kind="version_registered")) == 1


def test_another_run_or_package_is_the_next_version(store: RegistryStore) -> None:
    changes: list[dict[str, str]] = [{}, {"run_id": "01" * 16}, {"digest": "cd" * 32}]
    assert [register(store, **change).version for change in changes] == [1, 2, 3]
    assert [each.version for each in store.list_versions("delay")] == [3, 2, 1]


def test_each_model_counts_for_itself(store: RegistryStore) -> None:
    assert [register(store, model).version for model in ("b", "a", "b")] == [1, 1, 1]
    assert [(each.name, each.latest_version) for each in store.list_models()] == [("a", 1), ("b", 1)]


def test_a_number_is_never_used_again(platform: Stores) -> None:
    three(platform.registry)
    # No operation takes a version away, so do it behind the store's back.
    with platform.local.database.write() as connection:
        connection.execute(sa.text("DELETE FROM model_versions WHERE version = 3"))
    assert register(platform.registry, run_id="04" * 16).version == 4


def test_a_bad_name_path_or_an_empty_package_is_refused(store: RegistryStore) -> None:
    bad: list[dict[str, Any]] = [
        {"model": "../delay"},
        {"model": ""},
        {"run_id": "7f3a"},
        {"files": []},
        {"files": [PackageFile(path="../MLmodel", digest=DIGEST, size_bytes=1)]},
        {"files": [PackageFile(path="/MLmodel", digest=DIGEST, size_bytes=1)]},
    ]
    for change in bad:
        with pytest.raises(InvalidError):
            register(store, **change)
    assert store.list_models() == []


def test_threads_that_register_at_once_get_their_own_numbers(platform: Stores) -> None:
    # Each of eight runs registers twice, as a workflow does that was resumed.
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: register(platform.registry, run_id=f"{n % 8:032x}"), range(16)))
    assert sorted({each.version for each in made}) == list(range(1, 9))
    assert len({(each.run_id, each.version) for each in made}) == 8
    assert platform.ledger.verify().entries == 8


def test_an_unknown_version_or_alias_is_not_found(store: RegistryStore) -> None:
    register(store)
    calls: list[Callable[[], object]] = [
        lambda: store.get_version("delay", 2),
        lambda: store.get_version("nobody", 1),
        lambda: store.resolve("delay", "champion"),
        lambda: store.resolve("nobody", "champion"),
        lambda: store.set_alias("delay", "champion", 2, "ada", "why"),
        lambda: store.set_alias("nobody", "champion", 1, "ada", "why"),
    ]
    for call in calls:
        with pytest.raises(NotFoundError):
            call()
    assert store.list_versions("nobody") == []


def test_an_alias_points_at_one_version(store: RegistryStore) -> None:
    three(store)
    store.set_alias("delay", "champion", 1, "ada", "first")
    store.set_alias("delay", "baseline", 1, "ada", "reference")
    moved = store.set_alias("delay", "champion", 3, "ada", "better")
    assert moved == RegisteredModel(
        name="delay",
        created_at=moved.created_at,
        updated_at=moved.updated_at,
        description="",
        tags={},
        latest_version=3,
        aliases={"baseline": 1, "champion": 3},
    )
    assert store.list_models() == [moved]
    assert store.resolve("delay", "champion").version == 3
    assert [each.aliases for each in store.list_versions("delay")] == [["champion"], [], ["baseline"]]


def test_an_alias_moves_only_from_where_it_was_expected(store: RegistryStore) -> None:
    three(store)
    with pytest.raises(ConflictError, match="version 0"):
        store.set_alias("delay", "champion", 2, "ada", "why", expected=1)
    store.set_alias("delay", "champion", 1, "ada", "why", expected=0)
    with pytest.raises(ConflictError, match="version 1"):
        store.set_alias("delay", "champion", 2, "ada", "why", expected=0)
    store.set_alias("delay", "champion", 2, "ada", "why", expected=1)
    assert store.resolve("delay", "champion").version == 2


def test_of_several_who_move_an_alias_at_once_one_wins(platform: Stores) -> None:
    three(platform.registry)

    def move(version: int) -> int:
        try:
            platform.registry.set_alias("delay", "champion", version, "ada", "why", expected=0)
        except ConflictError:
            return 0
        return version

    with ThreadPoolExecutor(3) as pool:
        winners = [version for version in pool.map(move, (1, 2, 3)) if version]
    assert winners == [platform.registry.resolve("delay", "champion").version]
    assert len(platform.ledger.entries(kind="alias_moved")) == 1


def test_a_bad_alias_is_refused(store: RegistryStore) -> None:
    register(store)
    for alias in ("", "a/b", ".."):
        with pytest.raises(InvalidError, match="alias"):
            store.set_alias("delay", alias, 1, "ada", "why")


def test_each_registration_and_move_is_in_the_ledger(platform: Stores) -> None:
    three(platform.registry)
    for version in (1, 1, 2, 1):
        platform.registry.set_alias("delay", "champion", version, "ada", f"to {version}")
    registered = platform.ledger.entries(kind="version_registered")
    assert [(each.subject, each.actor) for each in registered] == [(f"models/delay@{n}", "ada") for n in (1, 2, 3)]
    assert registered[0].values() == {"run": "runs/" + f"{1:032x}", "digest": DIGEST}
    assert [each.values() for each in platform.ledger.entries(kind="alias_moved")] == [
        {"alias": "champion", "from": old, "to": new, "reason": f"to {new}"} for old, new in ((0, 1), (1, 2), (2, 1))
    ]
    assert platform.ledger.verify().ok


def test_a_change_whose_entry_cannot_be_recorded_does_not_happen(platform: Stores) -> None:
    register(platform.registry)
    # Take the keys that the next registration and the first move would have in the ledger.
    for key in ("register/delay/2", "alias/delay/champion/1"):
        platform.ledger.record(Decision(key=key, kind="other", subject="other", actor="eve", body={}))
    changes: list[Callable[[], object]] = [
        lambda: register(platform.registry, run_id="02" * 16),
        lambda: platform.registry.set_alias("delay", "champion", 1, "ada", "why"),
    ]
    for change in changes:
        with pytest.raises(EverloopError, match="ledger key"):
            change()
    assert [(each.latest_version, each.aliases) for each in platform.registry.list_models()] == [(1, {})]
    assert [each.version for each in platform.registry.list_versions("delay")] == [1]
