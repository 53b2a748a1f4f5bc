"""One prediction, traced back to everything it stands on."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from everloop import refs
from everloop.access import Decision
from everloop.errors import InvalidError, NotFoundError
from everloop.loop import traffic
from everloop.loop.explanation import explain
from everloop.loop.rooms import ACTOR
from everloop.tracking import Edge
from tests.loop.worlds import DAY, MONDAY, World


@pytest.fixture
def traced(world: World) -> World:
    """Version 1 whose run is on record; it has answered Monday's requests beside a shadow that failed."""
    world.champion()
    tracking = world.rooms.tracking
    run_id = world.rooms.registry.get_version("late", 1).run_id
    tracking.create_run(run_id, "flights")
    tracking.log(run_id, tags={"commit": "c0ffee"})
    used = [Edge(source=refs.run(run_id), relation="used", target=f"datasets/{name}@1") for name in ("w", "f")]
    tracking.link([*used, Edge(source=refs.run(run_id), relation="ran", target="commits/c0ffee")])
    world.rooms.ledger.record(
        Decision(key="gates/first", kind="gates_passed", subject=refs.run(run_id), actor=ACTOR, body={"rows": 2000})
    )
    world.challenge()
    world.traffic_of(MONDAY, {1: 1.0}, failed=[2], labelled=False)
    return world


def test_a_prediction_is_traced_to_code_data_gates_and_decision(traced: World) -> None:
    found = explain(traced.rooms, "20130304-7")
    version = traced.rooms.registry.get_version("late", 1)
    assert (found.prediction_id, found.endpoint, found.model) == ("20130304-7", "delay", "models/late@1")
    assert found.occurred_at == MONDAY + timedelta(hours=12)
    assert list(found.inputs) == ["x"]
    assert found.score is not None
    assert 0.05 <= found.score <= 0.95
    assert found.shadows == {"models/late@2": None}
    assert (found.run_id, found.commit) == (version.run_id, "c0ffee")
    assert found.datasets == ["datasets/f@1", "datasets/w@1"]
    assert (found.gates["kind"], found.gates["rows"]) == ("gates_passed", 2000)
    assert found.decision["revision"] == 1
    assert found.decision["reason"] == "first champion, by first"
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found


def test_its_late_label_is_shown_when_it_comes(traced: World) -> None:
    before = explain(traced.rooms, "20130304-7")
    assert (before.label, before.labelled_at) == (None, None)
    traced.label(MONDAY, [0.0] * 7 + [1.0])
    after = explain(traced.rooms, "20130304-7")
    assert after.label == 1.0
    assert after.labelled_at is not None


def test_the_decision_is_the_one_that_put_the_answering_version_in_charge(traced: World) -> None:
    traced.challenge("third")  # a later revision with the same champion
    traced.traffic_of(MONDAY + DAY, {1: 1.0})
    traffic.promote(traced.rooms, traced.applied, 2, "person/ada", "a better one")
    traffic.rollback(traced.rooms, traced.applied, "person/ada", "it was not")
    traced.traffic_of(MONDAY + 2 * DAY, {1: 1.0})
    first, second, third = (explain(traced.rooms, f"2013030{day}-0").decision for day in (4, 5, 6))
    assert first == second
    assert first["reason"] == "first champion, by first"
    assert (third["reason"], third["actor"]) == ("it was not", "person/ada")


def test_a_prediction_that_nobody_made_is_not_found(traced: World) -> None:
    for prediction_id in ("20130304-300", "nobody-0"):
        with pytest.raises(NotFoundError, match=prediction_id):
            explain(traced.rooms, prediction_id)
    with pytest.raises(InvalidError, match="<request id>-<row>"):
        explain(traced.rooms, "nonsense")
