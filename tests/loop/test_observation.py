"""Closing windows: what is kept of each, and the alerts that follow, one for each incident."""

from __future__ import annotations

import pytest

from everloop.loop.tick import tick
from everloop.monitoring.store import Alert, Window
from tests.loop.worlds import DAY, MONDAY, PROJECT, ROWS, World


@pytest.fixture
def watched(world: World) -> World:
    """A champion that is watched since Monday."""
    world.champion()
    tick(world.rooms, "delay", MONDAY)
    return world


def evening(world: World, day: int) -> list[str]:
    """Look at everything up to the end of the day with that number; return the alerts."""
    return tick(world.rooms, "delay", MONDAY + (day + 1) * DAY).alerts


def windows(world: World) -> list[Window]:
    return world.rooms.monitoring.list_windows("delay")


def alerts(world: World, kind: str) -> list[Alert]:
    return [alert for alert in world.rooms.monitoring.list_alerts() if alert.kind == kind]


def test_a_quiet_day_is_closed_with_its_numbers_and_no_alert(watched: World) -> None:
    watched.traffic_of(MONDAY, {1: 1.0})
    assert evening(watched, 0) == []
    (window,) = windows(watched)
    assert (window.kind, window.start, window.end, window.version) == ("day", MONDAY, MONDAY + DAY, 1)
    assert (window.n_predictions, window.n_labelled) == (ROWS, ROWS)
    assert window.loss == pytest.approx(0.5, abs=0.1)
    assert window.auc == pytest.approx(0.8, abs=0.1)
    assert window.drift["status"] == "ok"
    assert window.decay["status"] == "ok"
    assert window.decay["policy"]["tolerance"] == 0.05


def test_decayed_labels_raise_an_alert(watched: World) -> None:
    watched.traffic_of(MONDAY, {1: -1.0})
    (key,) = evening(watched, 0)
    (alert,) = watched.rooms.monitoring.list_alerts()
    assert (alert.key, alert.kind, alert.severity, alert.subject) == (key, "decay", "critical", "endpoints/delay")
    assert (alert.happened_at, alert.body["window"], alert.body["n"]) == (MONDAY + DAY, "2013-03-04", ROWS)
    assert alert.body["low"] > 0.05
    (entry,) = watched.rooms.ledger.entries(kind="alert_decay")
    assert (entry.policy, entry.actor) == (watched.applied.policy, "everloop/loop")


def test_shifted_inputs_raise_an_alert_without_any_label(watched: World) -> None:
    watched.traffic_of(MONDAY, {1: 1.0}, shift=2.0, labelled=False)
    evening(watched, 0)
    (alert,) = watched.rooms.monitoring.list_alerts()
    assert (alert.kind, alert.severity, alert.body["drifted"]) == ("drift", "warning", ["x"])
    (window,) = windows(watched)
    assert (window.n_labelled, window.loss, window.auc) == (0, None, None)
    assert list(window.drift["drifted"]) == ["x"]


def test_one_incident_is_one_alert_however_long_it_lasts(watched: World) -> None:
    for day, skill in enumerate([-1.0, -1.0, 1.0, 1.0, -1.0]):
        watched.traffic_of(MONDAY + day * DAY, {1: skill}, labelled=True)
        evening(watched, day)
    assert [alert.happened_at for alert in alerts(watched, "decay")] == [MONDAY + DAY, MONDAY + 5 * DAY]
    assert len(windows(watched)) == 5


def test_a_late_tick_closes_each_window_it_missed(watched: World) -> None:
    for day, skill in enumerate([1.0, -1.0, 1.0]):
        watched.traffic_of(MONDAY + day * DAY, {1: skill})
    evening(watched, 2)
    assert [window.start for window in windows(watched)] == [MONDAY, MONDAY + DAY, MONDAY + 2 * DAY]
    assert [alert.happened_at for alert in alerts(watched, "decay")] == [MONDAY + 2 * DAY]


def test_a_window_is_not_opened_again_for_late_labels(watched: World) -> None:
    watched.traffic_of(MONDAY, {1: 1.0}, labelled=False)
    evening(watched, 0)
    watched.label(MONDAY, [1.0] * ROWS)
    evening(watched, 1)
    assert windows(watched)[0].n_labelled == 0


def test_windows_wait_for_their_labels_as_long_as_the_project_says(world: World) -> None:
    world.apply(PROJECT.replace("name: delay,", "name: delay, label_delay_days: 2,"))
    world.champion(MONDAY - 3 * DAY)
    tick(world.rooms, "delay", MONDAY)
    world.traffic_of(MONDAY, {1: 1.0})
    evening(world, 1)
    assert [window.end for window in windows(world)][-1] <= MONDAY
    evening(world, 2)
    assert [window.start for window in windows(world)][-1] == MONDAY


def test_too_few_rows_are_not_judged(watched: World) -> None:
    watched.traffic_of(MONDAY, {1: -1.0}, rows=50, shift=5.0)
    assert evening(watched, 0) == []
    (window,) = windows(watched)
    assert (window.drift["status"], window.decay["status"]) == ("not_enough_data", "not_enough_data")
    assert window.loss is not None


def test_a_day_without_traffic_is_closed_empty(watched: World) -> None:
    assert evening(watched, 0) == []
    (window,) = windows(watched)
    assert (window.n_predictions, window.n_labelled, window.loss, window.auc) == (0, 0, None, None)


def test_days_and_weeks_are_closed_side_by_side(world: World) -> None:
    world.apply(PROJECT.replace("drift: {window: day}", "drift: {window: week}"))
    world.champion()
    tick(world.rooms, "delay", MONDAY)
    for day in range(7):
        world.traffic_of(MONDAY + day * DAY, {1: 1.0}, shift=2.0)
        evening(world, day)
    kinds = [window.kind for window in windows(world)]
    assert (kinds.count("day"), kinds.count("week")) == (7, 1)
    assert [alert.happened_at for alert in alerts(world, "drift")] == [MONDAY + 7 * DAY]


def test_a_new_champion_is_judged_on_what_it_scored_in_shadow_too(watched: World) -> None:
    watched.challenge()
    watched.traffic_of(MONDAY, {1: 1.0, 2: -1.0})
    watched.traffic_of(MONDAY + DAY, {1: 1.0, 2: -1.0})
    evening(watched, 0)
    with watched.rooms.database.write() as connection:
        revision = watched.deployment.revision
        watched.rooms.serving.deploy_in(connection, "delay", revision, "late", 2, reason="by a test")
    (key,) = evening(watched, 1)
    assert key == "decay/delay/2013-03-05/2"
    assert [(window.version, window.n_labelled) for window in windows(watched)] == [(1, ROWS), (2, ROWS)]


def test_an_input_that_no_request_had_is_missing_in_every_row(watched: World) -> None:
    """The champion's inputs may be others than those of the version that answered when the window was open."""
    rooms = watched.rooms
    version = rooms.registry.get_version("late", 1)
    profile = version.evidence["profile"]
    profile["columns"]["y"] = profile["columns"]["x"]
    files = version.files
    rooms.registry.register("late", "ab" * 16, "1" * 64, files, version.evidence | {"profile": profile}, "person/ada")
    watched.traffic_of(MONDAY, {1: 1.0, 2: 1.0})
    with rooms.database.write() as connection:
        rooms.serving.deploy_in(connection, "delay", watched.deployment.revision, "late", 2, reason="by a test")
    evening(watched, 0)
    (alert,) = alerts(watched, "drift")
    assert alert.body["drifted"] == ["y"]
