"""How the answers turned out, by month, from what was captured alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from everloop.loop import traffic
from everloop.loop.performance import by_month
from everloop.loop.store import Performance
from tests.loop.worlds import DAY, MONDAY, ROWS, World

MARCH, APRIL, MAY = (datetime(2013, month, 1, tzinfo=UTC) for month in (3, 4, 5))


def months(world: World, start: datetime = MARCH, end: datetime = MAY, alias: str = "baseline") -> list[Performance]:
    return by_month(world.rooms, world.applied, start, end, alias)


@pytest.fixture
def served(world: World) -> World:
    """Version 1, which is also the baseline, and version 2 in its place from April on."""
    world.champion()
    world.rooms.registry.set_alias("late", "baseline", 1, "person/ada", "")
    world.traffic_of(MONDAY, {1: 0.2})
    world.register()
    traffic.promote(world.rooms, world.applied, 2, "person/ada", "")
    world.traffic_of(APRIL, {2: 1.0, 1: 0.2})
    return world


def test_each_month_with_predictions_has_its_numbers(served: World) -> None:
    march, april = months(served)
    assert (march.month, march.versions, march.n_predictions, march.n_labelled) == ("2013-03", [1], ROWS, ROWS)
    assert (april.month, april.versions, april.n_predictions, april.n_labelled) == ("2013-04", [2], ROWS, ROWS)
    assert march.auc is not None
    assert march.auc == march.reference_auc
    assert march.log_loss == march.reference_log_loss
    assert april.auc is not None
    assert april.log_loss is not None
    assert april.reference_log_loss is not None
    assert april.log_loss < april.reference_log_loss
    assert (march.reference_version, april.reference_version) == (1, 1)


def test_the_versions_of_a_month_are_in_the_order_in_which_they_answered(served: World) -> None:
    served.traffic_of(MONDAY + DAY, {2: 1.0, 1: 0.2})
    traffic.promote(served.rooms, served.applied, 1, "person/ada", "")
    served.traffic_of(MONDAY + 2 * DAY, {1: 0.2})
    assert months(served)[0].versions == [1, 2]


def test_a_month_is_cut_at_start_and_end(served: World) -> None:
    served.traffic_of(MONDAY + DAY, {2: 1.0, 1: 0.2})
    (march,) = months(served, MONDAY + DAY, APRIL)
    assert (march.month, march.n_predictions, march.versions) == ("2013-03", ROWS, [2])
    assert months(served, MAY, MARCH) == []
    assert [each.month for each in months(served, datetime(2012, 11, 5, tzinfo=UTC), MAY)] == ["2013-03", "2013-04"]


def test_december_is_followed_by_january(served: World) -> None:
    served.traffic_of(datetime(2013, 12, 31, tzinfo=UTC), {2: 1.0})
    served.traffic_of(datetime(2014, 1, 1, tzinfo=UTC), {2: 1.0})
    found = months(served, MAY, datetime(2014, 2, 1, tzinfo=UTC))
    assert [each.month for each in found] == ["2013-12", "2014-01"]


def test_an_alias_that_does_not_exist_leaves_the_reference_empty(served: World) -> None:
    for each in months(served, alias="nobody"):
        assert (each.reference_version, each.reference_auc, each.reference_log_loss) == (None, None, None)
        assert each.auc is not None


def test_rows_that_the_reference_did_not_score_are_left_out_of_it_only(served: World) -> None:
    served.traffic_of(APRIL + DAY, {2: 1.0}, failed=[1])
    april = months(served)[1]
    assert april.n_labelled == 2 * ROWS
    assert april.reference_log_loss == months(served, APRIL, APRIL + DAY)[0].reference_log_loss


def test_without_labels_of_both_classes_there_is_no_auc(served: World) -> None:
    served.traffic_of(MAY, {2: 1.0}, labelled=False)
    (may,) = months(served, MAY, MAY + 2 * DAY)
    assert (may.n_predictions, may.n_labelled, may.auc, may.log_loss) == (ROWS, 0, None, None)
    served.label(MAY, [1.0] * 5)
    (may,) = months(served, MAY, MAY + 2 * DAY)
    assert (may.n_labelled, may.auc) == (5, None)
    assert may.log_loss is not None
