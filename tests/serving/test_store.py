"""What every ServingStore and PredictionLog promises, over each backend."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from everloop.errors import ConflictError, EverloopError, InvalidError, NotFoundError
from everloop.serving import Capture, Counts, Deployment, Label, PredictionLog, ServingStore
from everloop.serving.prediction import pack
from tests.stores import Stores

NOON = datetime(2013, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def store(platform: Stores) -> ServingStore:
    found: ServingStore = platform.serving
    return found


@pytest.fixture
def log(platform: Stores) -> PredictionLog:
    """The log is read and written beside the database, so it is the local one also where the store is remote."""
    return platform.local.rooms.serving


@pytest.fixture
def endpoint(store: ServingStore) -> str:
    return store.deploy("delay", 0, "late", 1).endpoint


def capture(request_id: str = "r1", n_rows: int = 2, **changes: Any) -> Capture:
    row = Capture(
        endpoint="delay",
        request_id=request_id,
        digest="d" * 64,
        occurred_at=NOON,
        received_at=NOON + DAY,
        n_rows=n_rows,
        seen_revision=1,
        revision=1,
        version=1,
        inputs=pack({"hour": list(range(n_rows)), "carrier": ["AA", None, "B6"][:n_rows]}),
        scores={1: [0.25, 0.5, 0.75][:n_rows]},
    )
    return Capture(**{name: getattr(row, name) for name in row.__struct_fields__} | changes)


def kinds(log: PredictionLog, captures: Sequence[Capture]) -> list[str]:
    return [outcome.kind for outcome in log.capture(captures)]


class TestDeployments:
    def test_a_deployment_is_what_was_asked_for(self, store: ServingStore) -> None:
        before = datetime.now(UTC)
        made = store.deploy("delay", 0, "late", 3, (1, 2, 1), "first champion", "ada")
        assert made == Deployment(
            endpoint="delay",
            model="late",
            champion=3,
            revision=1,
            changed_at=made.changed_at,
            shadows=(1, 2),
            reason="first champion",
            actor="ada",
        )
        assert before <= made.changed_at <= datetime.now(UTC)
        assert store.deployment("delay") == made
        assert store.list_deployments() == [made]

    def test_the_former_champion_is_kept_as_previous(self, store: ServingStore) -> None:
        store.deploy("delay", 0, "late", 1)
        assert store.deploy("delay", 1, "late", 1, (2,)).previous is None
        promoted = store.deploy("delay", 2, "late", 2)
        assert (promoted.champion, promoted.previous, promoted.versions) == (2, 1, (2, 1))
        assert store.deploy("delay", 3, "late", 2, (5,)).previous == 1
        assert store.deploy("delay", 4, "late", 1).previous == 2

    def test_a_change_on_an_outdated_revision_is_a_conflict_that_names_both(self, store: ServingStore) -> None:
        store.deploy("delay", 0, "late", 1)
        store.deploy("delay", 1, "late", 2)
        with pytest.raises(ConflictError, match="at revision 2, not at 1 as expected"):
            store.deploy("delay", 1, "late", 3)
        with pytest.raises(ConflictError, match="at revision 0, not at 4 as expected"):
            store.deploy("price", 4, "late", 3)
        assert [each.endpoint for each in store.list_deployments()] == ["delay"]

    def test_the_same_change_again_is_done_once(self, platform: Stores) -> None:
        first = platform.serving.deploy("delay", 0, "late", 1, (), "r", "ada")
        assert platform.serving.deploy("delay", 0, "late", 1, (), "r", "ada") == first
        assert platform.serving.history("delay") == [first]
        entries = platform.ledger.entries(kind="traffic_changed")
        assert [entry.subject for entry in entries] == ["endpoints/delay"]
        assert entries[0].values()["champion"] == "models/late@1"

    def test_history_keeps_every_revision(self, store: ServingStore) -> None:
        made = [store.deploy("delay", number, "late", number + 1) for number in range(3)]
        assert store.history("delay") == made
        assert store.history("nothing") == []

    def test_of_changes_at_once_one_wins(self, store: ServingStore) -> None:
        store.deploy("delay", 0, "late", 1)

        def change(version: int) -> int | None:
            try:
                return store.deploy("delay", 1, "late", version).champion
            except ConflictError:
                return None

        with ThreadPoolExecutor(4) as pool:
            won = [version for version in pool.map(change, range(2, 10)) if version is not None]
        assert won == [store.deployment("delay").champion]

    def test_an_unknown_endpoint_is_not_found_and_the_known_ones_are_named(self, store: ServingStore) -> None:
        store.deploy("delay", 0, "late", 1)
        with pytest.raises(NotFoundError) as caught:
            store.deployment("dealy")
        assert "no endpoint 'dealy'" in str(caught.value)
        assert "Endpoints: delay." in str(caught.value)

    @pytest.mark.parametrize(
        ("endpoint", "model", "shadows"), [("a b", "late", ()), ("delay", "", ()), ("delay", "late", (1,))]
    )
    def test_what_makes_no_sense_is_refused(
        self, store: ServingStore, endpoint: str, model: str, shadows: tuple[int, ...]
    ) -> None:
        with pytest.raises(InvalidError):
            store.deploy(endpoint, 0, model, 1, shadows)
        assert store.list_deployments() == []


class TestCaptures:
    def test_a_capture_can_be_read_row_by_row(self, store: ServingStore, log: PredictionLog, endpoint: str) -> None:
        shadows = {1: [0.25, 0.5], 2: [0.125, 1.0], 3: None}
        (outcome,) = log.capture([capture(scores=shadows, shadow_errors={3: "broken"})])
        assert (outcome.kind, outcome.version, outcome.scores) == ("stored", 1, shadows)
        found = store.explain("r1-1")
        assert (found.endpoint, found.model, found.version, found.revision) == (endpoint, "late", 1, 1)
        assert (found.score, found.shadows, found.shadow_errors) == (0.5, {2: 1.0, 3: None}, {3: "broken"})
        assert found.inputs == {"hour": 1, "carrier": None}
        assert (found.occurred_at, found.received_at) == (NOON, NOON + DAY)
        assert (found.label, found.labelled_at) == (None, None)

    def test_the_same_request_again_is_answered_as_it_was(self, log: PredictionLog, endpoint: str) -> None:
        log.capture([capture()])
        (again,) = log.capture([capture(scores={1: [0.9, 0.9]})])
        assert (again.kind, again.version, again.scores) == ("repeated", 1, {1: [0.25, 0.5]})

    def test_the_same_request_twice_in_one_batch_is_stored_once(
        self, store: ServingStore, log: PredictionLog, endpoint: str
    ) -> None:
        assert kinds(log, [capture(), capture(), capture(digest="e" * 64)]) == ["stored", "repeated", "conflict"]
        assert store.counts(endpoint) == Counts(endpoint=endpoint, requests=1, rows=2, labels=0)

    def test_an_id_with_other_inputs_is_a_conflict(self, log: PredictionLog, endpoint: str) -> None:
        assert kinds(log, [capture()]) == ["stored"]
        assert kinds(log, [capture(digest="e" * 64)]) == ["conflict"]

    def test_endpoints_do_not_share_request_ids(self, store: ServingStore, log: PredictionLog, endpoint: str) -> None:
        store.deploy("price", 0, "cost", 1)
        assert kinds(log, [capture(), capture(endpoint="price")]) == ["stored", "stored"]
        assert store.explain("r1-0", "price").model == "cost"
        with pytest.raises(ConflictError, match="delay, price"):
            store.explain("r1-0")

    def test_what_an_outdated_deployment_scored_is_not_stored(
        self, store: ServingStore, log: PredictionLog, endpoint: str
    ) -> None:
        store.deploy(endpoint, 1, "late", 2)
        assert kinds(log, [capture(), capture("r2", seen_revision=2, revision=2)]) == ["moved", "stored"]
        assert store.counts(endpoint).requests == 1

    def test_a_retry_is_answered_as_it_was_also_after_a_promotion(
        self, store: ServingStore, log: PredictionLog, endpoint: str
    ) -> None:
        log.capture([capture()])
        store.deploy(endpoint, 1, "late", 2)
        (again,) = log.capture([capture(seen_revision=2, revision=2, version=2, scores={2: [0.9, 0.9]})])
        assert (again.kind, again.version, again.scores) == ("repeated", 1, {1: [0.25, 0.5]})

    def test_an_unknown_endpoint_stores_nothing(self, log: PredictionLog, store: ServingStore) -> None:
        assert kinds(log, [capture()]) == ["moved"]
        assert store.counts("delay") == Counts(endpoint="delay", requests=0, rows=0, labels=0)

    def test_many_writers_store_each_request_once(self, store: ServingStore, log: PredictionLog, endpoint: str) -> None:
        batches = [[capture(f"r{number}") for number in range(start, start + 20)] for start in (0, 10, 20, 10)]
        with ThreadPoolExecutor(4) as pool:
            found = [kind for batch in pool.map(lambda batch: kinds(log, batch), batches) for kind in batch]
        assert (found.count("stored"), found.count("repeated")) == (40, 40)
        assert store.counts(endpoint).requests == 40

    def test_more_requests_than_fit_one_query_are_stored(
        self, store: ServingStore, log: PredictionLog, endpoint: str
    ) -> None:
        many = [capture(f"r{number}", n_rows=1) for number in range(1203)]
        assert set(kinds(log, many)) == {"stored"}
        assert set(kinds(log, many)) == {"repeated"}
        labels = [Label(prediction_id=f"r{number}-0", label=1.0) for number in range(1203)]
        assert store.add_labels(endpoint, labels).done == 1203
        assert store.add_labels(endpoint, labels).repeated == 1203
        assert store.counts(endpoint) == Counts(endpoint=endpoint, requests=1203, rows=1203, labels=1203)


class TestLabels:
    def test_a_label_is_kept_with_its_time(self, store: ServingStore, log: PredictionLog, endpoint: str) -> None:
        log.capture([capture()])
        found = store.add_labels(endpoint, [Label(prediction_id="r1-1", label=1)], NOON + DAY)
        assert (found.done, found.repeated, found.failed) == (1, 0, [])
        explained = store.explain("r1-1")
        assert (explained.label, explained.labelled_at) == (1.0, NOON + DAY)
        assert store.explain("r1-0").label is None

    def test_the_same_label_again_is_repeated_and_another_is_a_conflict(
        self, store: ServingStore, log: PredictionLog, endpoint: str
    ) -> None:
        log.capture([capture()])
        label, other = Label(prediction_id="r1-0", label=0), Label(prediction_id="r1-0", label=1)
        found = store.add_labels(endpoint, [label, label, other])
        assert (found.done, found.repeated, [each.family for each in found.failed]) == (1, 1, ["conflict"])
        found = store.add_labels(endpoint, [label, other])
        assert (found.done, found.repeated, [each.family for each in found.failed]) == (0, 1, ["conflict"])
        assert "has the label 0 already" in found.failed[0].error
        assert store.explain("r1-0").label == 0.0

    @pytest.mark.parametrize(
        ("prediction_id", "label", "family"),
        [
            ("r1-2", 1.0, "not_found"),
            ("r9-0", 1.0, "not_found"),
            ("r1", 1.0, "invalid"),
            ("", 1.0, "invalid"),
            ("r1-01", 1.0, "invalid"),
            ("r1-9999999999", 1.0, "invalid"),
            ("r1-0\x00", 1.0, "invalid"),
            ("r1-0", 0.5, "invalid"),
            ("r1-0", -1.0, "invalid"),
        ],
    )
    def test_a_bad_label_stops_no_good_one(
        self, store: ServingStore, log: PredictionLog, endpoint: str, prediction_id: str, label: float, family: str
    ) -> None:
        log.capture([capture()])
        bad, good = Label(prediction_id=prediction_id, label=label), Label(prediction_id="r1-1", label=1.0)
        found = store.add_labels(endpoint, [bad, good])
        assert (found.done, [(each.prediction_id, each.family) for each in found.failed]) == (
            1,
            [(prediction_id, family)],
        )
        assert store.counts(endpoint).labels == 1

    def test_labels_of_an_unknown_endpoint_are_refused(self, store: ServingStore) -> None:
        with pytest.raises(NotFoundError, match="no endpoint 'delay'"):
            store.add_labels("delay", [Label(prediction_id="r1-0", label=1.0)])

    def test_one_label_from_many_writers_is_done_once(
        self, store: ServingStore, log: PredictionLog, endpoint: str
    ) -> None:
        log.capture([capture()])
        labels = [Label(prediction_id="r1-0", label=1.0), Label(prediction_id="r1-1", label=0.0)]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: store.add_labels(endpoint, labels), range(8)))
        assert (sum(each.done for each in found), sum(each.repeated for each in found)) == (2, 14)

    def test_an_unknown_prediction_is_not_explained(self, store: ServingStore, endpoint: str) -> None:
        for prediction_id in ("r1-0", "nonsense"):
            with pytest.raises(EverloopError, match="prediction"):
                store.explain(prediction_id)


class TestReading:
    @pytest.fixture
    def filled(self, store: ServingStore, log: PredictionLog, endpoint: str) -> str:
        """Two requests of one day out of order, one of the next; some rows labelled."""
        log.capture(
            [
                capture("b", scores={1: [0.25, 0.5], 2: None}, shadow_errors={2: "broken"}),
                capture("a", scores={1: [0.1, 0.2], 2: [0.3, 0.4]}),
                capture("c", n_rows=1, occurred_at=NOON + DAY),
            ]
        )
        store.add_labels(endpoint, [Label(prediction_id="a-1", label=1.0)], NOON + DAY)
        store.add_labels(endpoint, [Label(prediction_id="b-0", label=0.0)], NOON + 2 * DAY)
        return endpoint

    def test_captured_gives_columns_by_event_time_then_request(self, log: PredictionLog, filled: str) -> None:
        found = log.captured(filled, NOON, NOON + DAY)
        assert found.ids == ["a-0", "a-1", "b-0", "b-1"]
        assert found.occurred_at.tolist() == [NOON.replace(tzinfo=None)] * 4
        assert found.version.tolist() == [1, 1, 1, 1]
        assert found.score.tolist() == [0.1, 0.2, 0.25, 0.5]
        assert set(found.scores) == {1, 2}
        np.testing.assert_array_equal(found.scores[2], [0.3, 0.4, np.nan, np.nan])
        np.testing.assert_array_equal(found.labels, [np.nan, 1.0, 0.0, np.nan])
        assert found.inputs == {"hour": [0, 1, 0, 1], "carrier": ["AA", None, "AA", None]}

    def test_the_end_of_the_range_is_left_out(self, log: PredictionLog, filled: str) -> None:
        assert log.captured(filled, NOON + DAY, NOON + 2 * DAY, with_inputs=False).ids == ["c-0"]
        assert log.captured(filled, NOON + DAY, NOON + 2 * DAY, with_inputs=False).inputs == {}
        empty = log.captured(filled, NOON - DAY, NOON)
        assert (empty.ids, empty.score.tolist(), empty.scores, empty.inputs) == ([], [], {}, {})

    def test_labelled_gives_only_what_was_known_by_then(self, log: PredictionLog, filled: str) -> None:
        found = log.labelled(filled, NOON, NOON + 2 * DAY, with_inputs=True)
        assert (found.ids, found.labels.tolist()) == (["a-1", "b-0"], [1.0, 0.0])
        assert found.inputs == {"hour": [1, 0], "carrier": [None, "AA"]}
        np.testing.assert_array_equal(found.scores[2], [0.4, np.nan])
        assert log.labelled(filled, NOON, NOON + 2 * DAY, arrived_before=NOON + 2 * DAY).ids == ["a-1"]
        assert log.labelled(filled, NOON, NOON + 2 * DAY, arrived_before=NOON).ids == []

    def test_columns_that_came_later_are_missing_before(self, log: PredictionLog, filled: str) -> None:
        log.capture([capture("d", n_rows=1, inputs=pack({"hour": [9], "carrier": ["AA"], "wind": [2.5]}))])
        assert log.captured(filled, NOON, NOON + DAY).inputs["wind"] == [None] * 4 + [2.5]
