"""What every DatasetStore promises, over each backend."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from everloop.datasets.store import Batch, DatasetStore
from everloop.errors import ConflictError, EverloopError, InvalidError, NotFoundError
from tests.stores import Stores

CONTRACT = """\
columns:
  x: {type: number, median: [0, 100], max_jump: 5}
"""
ADA = "person/ada"


def csv(*values: float) -> bytes:
    return "".join(["x\n", *(f"{value}\n" for value in values)]).encode()


GOOD, ALSO_GOOD, BAD = csv(1, 2, 3), csv(2, 3, 4), csv(1, 2, 300) + b"many\n"


@pytest.fixture
def store(platform: Stores) -> DatasetStore:
    found: DatasetStore = platform.datasets
    found.define("weather", CONTRACT, ADA)
    return found


def ingest(platform: Stores, data: bytes, batch: str = "2013-03-01", dataset: str = "weather") -> Batch:
    store: DatasetStore = platform.datasets
    return store.ingest(dataset, batch, platform.local.objects.put(data), ADA)


def kinds(platform: Stores) -> list[str]:
    return [entry.kind for entry in platform.ledger.entries()]


# --- datasets


def test_a_dataset_is_defined_with_its_contract(store: DatasetStore) -> None:
    store.define("flights", CONTRACT, ADA)
    found = store.list_datasets()
    assert [each.name for each in found] == ["flights", "weather"]
    assert found[0].contract == CONTRACT
    assert found[0].contract_digest == found[1].contract_digest


def test_defining_the_same_again_changes_nothing(store: DatasetStore, platform: Stores) -> None:
    before = store.list_datasets()
    assert store.define("weather", CONTRACT, "person/bob") == before[0]
    assert store.list_datasets() == before
    assert kinds(platform) == ["contract_defined"]


def test_a_new_contract_holds_for_the_batches_that_come_after(store: DatasetStore, platform: Stores) -> None:
    first = ingest(platform, GOOD)
    changed = store.define("weather", CONTRACT + "min_rows: 4\n", "person/bob")
    second = ingest(platform, ALSO_GOOD, "2013-03-02")
    assert (first.state, second.state) == ("accepted", "quarantined")
    assert second.contract_digest == changed.contract_digest != first.contract_digest
    assert [entry.actor for entry in platform.ledger.entries(kind="contract_defined")] == [ADA, "person/bob"]


def test_a_contract_may_go_back_to_what_it_was(store: DatasetStore, platform: Stores) -> None:
    other = CONTRACT + "min_rows: 4\n"
    for text in (other, CONTRACT, other):
        assert store.define("weather", text, ADA).contract == text
    assert kinds(platform) == ["contract_defined"] * 4


def test_a_malformed_contract_is_refused_and_the_old_one_stays(store: DatasetStore) -> None:
    with pytest.raises(InvalidError, match=r"'weather':2: .*unknown key\nDid you mean 'max_nulls'"):
        store.define("weather", "columns:\n  x: {type: number, max_null: 1}\n", ADA)
    with pytest.raises(InvalidError):
        store.define("../weather", CONTRACT, ADA)
    assert [each.contract for each in store.list_datasets()] == [CONTRACT]


# --- batches


def test_a_good_batch_is_accepted(store: DatasetStore, platform: Stores) -> None:
    batch = ingest(platform, GOOD)
    assert (batch.state, batch.dataset, batch.name) == ("accepted", "weather", "2013-03-01")
    assert (batch.n_rows, batch.size_bytes, batch.violations) == (3, len(GOOD), [])
    assert batch.contract_digest == store.list_datasets()[0].contract_digest
    assert store.list_batches() == [batch]
    assert platform.local.objects.get(batch.digest) == GOOD


def test_a_bad_batch_is_quarantined_whole_with_its_reasons_and_a_ledger_entry(
    store: DatasetStore, platform: Stores
) -> None:
    batch = ingest(platform, BAD)
    assert batch.state == "quarantined"
    assert any("many" in str(violation) for violation in batch.violations)
    assert store.list_batches(state="accepted") == []
    assert store.list_batches(state="quarantined") == [batch]
    assert platform.local.objects.get(batch.digest) == BAD
    (entry,) = platform.ledger.entries(kind="batch_quarantined")
    assert (entry.subject, entry.actor, entry.policy) == ("datasets/weather", ADA, batch.contract_digest)
    assert entry.values()["batch"] == "2013-03-01"
    assert len(entry.values()["violations"]) == len(batch.violations)


@pytest.mark.parametrize("data", [b"", b"\x00\xff", b"x\n", b"PAR1"], ids=["empty", "binary", "no-rows", "parquet"])
def test_bytes_that_are_no_table_are_quarantined(store: DatasetStore, platform: Stores, data: bytes) -> None:
    batch = ingest(platform, data)
    assert (batch.state, batch.n_rows, bool(batch.violations)) == ("quarantined", 0, True)
    store.profile(batch.seq)


@pytest.mark.parametrize("data", [GOOD, BAD], ids=["good", "bad"])
def test_the_same_bytes_again_have_the_outcome_of_the_first_time(
    store: DatasetStore, platform: Stores, data: bytes
) -> None:
    first = ingest(platform, data)
    before = kinds(platform)
    store.define("weather", CONTRACT + "min_rows: 4\n", ADA)
    assert ingest(platform, data) == first
    assert store.list_batches() == [first]
    assert kinds(platform) == [*before, "contract_defined"]


def test_other_bytes_for_an_accepted_name_are_refused(store: DatasetStore, platform: Stores) -> None:
    first = ingest(platform, GOOD)
    for data in (ALSO_GOOD, BAD):
        with pytest.raises(ConflictError, match="accepted before with other bytes") as caught:
            ingest(platform, data)
        assert caught.value.hint
    assert store.list_batches() == [first]


def test_a_mended_batch_is_accepted_under_its_name_after_the_quarantine(store: DatasetStore, platform: Stores) -> None:
    bad = ingest(platform, BAD)
    mended = ingest(platform, GOOD)
    assert (bad.state, mended.state) == ("quarantined", "accepted")
    assert store.list_batches() == [bad, mended]
    # The broken bytes, handed in once more by mistake, do not undo that.
    assert ingest(platform, BAD) == bad
    assert store.list_batches(state="accepted") == [mended]


def test_a_jump_is_measured_from_the_batch_accepted_last(store: DatasetStore, platform: Stores) -> None:
    ingest(platform, csv(10, 10, 10), "1")
    assert ingest(platform, csv(20, 20, 20), "2").state == "quarantined"
    assert ingest(platform, csv(14, 14, 14), "3").state == "accepted"
    # From 10 it would be too far; the last accepted one is at 14, and the quarantined 20 counts for nothing.
    assert ingest(platform, csv(18, 18, 18), "4").state == "accepted"
    assert ingest(platform, csv(24, 24, 24), "5").state == "quarantined"


def test_the_jumps_of_one_dataset_say_nothing_of_another(store: DatasetStore, platform: Stores) -> None:
    store.define("other", CONTRACT, ADA)
    ingest(platform, csv(10, 10, 10), "1")
    assert ingest(platform, csv(50, 50, 50), "1", dataset="other").state == "accepted"


def test_an_unknown_dataset_or_object_is_not_found(store: DatasetStore, platform: Stores) -> None:
    with pytest.raises(NotFoundError, match="there are: weather"):
        ingest(platform, GOOD, dataset="whether")
    with pytest.raises(NotFoundError, match="no object"):
        store.ingest("weather", "1", "ab" * 32, ADA)
    assert store.list_batches() == []


def test_a_batch_name_that_cannot_be_a_file_is_refused(store: DatasetStore, platform: Stores) -> None:
    for name in ("", "..", "a/b", "a\0"):
        with pytest.raises(InvalidError):
            ingest(platform, GOOD, name)
    with pytest.raises(InvalidError, match="64 hex"):
        store.ingest("weather", "1", "../" * 20, ADA)
    assert store.list_batches() == []


def test_batches_are_listed_in_the_order_of_arrival_up_to_a_number(store: DatasetStore, platform: Stores) -> None:
    store.define("other", CONTRACT, ADA)
    first = ingest(platform, GOOD, "b")
    second = ingest(platform, GOOD, "a", dataset="other")
    third = ingest(platform, BAD, "a")
    fourth = ingest(platform, GOOD, "a")
    assert store.list_batches() == [first, second, third, fourth]
    assert [each.seq for each in store.list_batches()] == sorted(each.seq for each in store.list_batches())
    assert store.list_batches("weather") == [first, third, fourth]
    assert store.list_batches("weather", "accepted", third.seq) == [first]
    assert store.list_batches(up_to=second.seq) == [first, second]
    assert store.list_batches("nobody") == []


def test_the_profile_of_a_batch_is_kept(store: DatasetStore, platform: Stores) -> None:
    profile = store.profile(ingest(platform, GOOD).seq)
    assert profile is not None
    assert (profile.rows, list(profile.columns), profile.columns["x"].count) == (3, ["x"], 3)
    with pytest.raises(NotFoundError, match="no batch number 99"):
        store.profile(99)


# --- several at once


def test_of_several_who_hand_in_the_same_batch_at_once_all_get_the_same_answer(
    store: DatasetStore, platform: Stores
) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: ingest(platform, BAD), range(6)))
    assert found == [found[0]] * 6
    assert store.list_batches() == [found[0]]
    assert kinds(platform) == ["contract_defined", "batch_quarantined"]


def test_of_several_batches_of_one_name_at_once_one_is_accepted(store: DatasetStore, platform: Stores) -> None:
    def hand_in(value: int) -> str:
        try:
            return ingest(platform, csv(value, value, value)).state
        except EverloopError as error:
            return error.family

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(hand_in, range(6))) == ["accepted"] + ["conflict"] * 5
    assert len(store.list_batches()) == 1


def test_batches_appear_in_the_order_of_their_numbers(store: DatasetStore, platform: Stores) -> None:
    names = [f"w{i}" for i in range(12)]
    for name in names:
        store.define(name, CONTRACT, ADA)

    def hand_in(name: str) -> list[int]:
        """Return what was there at the moment when this batch was: "up to its number" may never grow afterwards."""
        seq = ingest(platform, GOOD, dataset=name).seq
        return [each.seq for each in store.list_batches(up_to=seq)]

    with ThreadPoolExecutor(6) as pool:
        seen = list(pool.map(hand_in, names))
    final = [each.seq for each in store.list_batches()]
    assert all(found == final[: len(found)] for found in seen)
