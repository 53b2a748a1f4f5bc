"""What monitoring's store promises: read through each backend, written on SQLite and PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from everloop.errors import ConflictError, InvalidError
from everloop.monitoring.sql import SqlMonitoring
from everloop.monitoring.store import Alert, MonitoringStore, Window
from tests.stores import Stores

MONDAY = datetime(2013, 3, 4, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def store(platform: Stores) -> MonitoringStore:
    found: MonitoringStore = platform.monitoring
    return found


@pytest.fixture
def writer(platform: Stores) -> SqlMonitoring:
    """Only the loop writes, and it stands beside the database."""
    return platform.local.rooms.monitoring


def alert(key: str = "decay/delay/2013-W10/1", **changes: Any) -> Alert:
    made = Alert(
        key=key,
        kind="decay",
        severity="critical",
        subject="endpoints/delay",
        message="version 1 decayed in 2013-W10",
        happened_at=MONDAY,
        raised_at=MONDAY + DAY,
        body={"n": 300, "low": 0.125},
    )
    return msgspec.structs.replace(made, **changes)


def window(start: datetime = MONDAY, **changes: Any) -> Window:
    made = Window(
        endpoint="delay",
        kind="day",
        start=start,
        end=start + DAY,
        version=1,
        n_predictions=300,
        n_labelled=290,
        loss=0.1 + 0.2,
        auc=None,
        drift={"status": "ok", "drifted": {}, "share": 0.0},
        decay={"status": "alert", "low": 5e-324},
    )
    return msgspec.structs.replace(made, **changes)


def raise_alert(writer: SqlMonitoring, made: Alert) -> None:
    writer.raise_alert(made, policy="abc", actor="everloop/loop")


# --- alerts


def test_an_alert_is_kept_with_one_ledger_entry(
    store: MonitoringStore, writer: SqlMonitoring, platform: Stores
) -> None:
    raise_alert(writer, alert())
    assert store.list_alerts() == [alert()]
    (entry,) = platform.ledger.entries()
    assert (entry.kind, entry.subject, entry.actor, entry.policy) == (
        "alert_decay",
        "endpoints/delay",
        "everloop/loop",
        "abc",
    )
    assert entry.values() == {
        "severity": "critical",
        "message": "version 1 decayed in 2013-W10",
        "happened_at": "2013-03-04T00:00:00Z",
        "n": 300,
        "low": 0.125,
    }


def test_an_alert_raised_again_is_the_first_one(
    store: MonitoringStore, writer: SqlMonitoring, platform: Stores
) -> None:
    raise_alert(writer, alert())
    raise_alert(writer, alert(message="other", raised_at=MONDAY + 2 * DAY, body={}))
    assert store.list_alerts() == [alert()]
    assert len(platform.ledger.entries()) == 1


def test_a_key_that_another_subject_has_is_refused_and_nothing_is_kept(
    store: MonitoringStore, writer: SqlMonitoring
) -> None:
    raise_alert(writer, alert())
    with pytest.raises(ConflictError):
        raise_alert(writer, alert(subject="endpoints/other"))
    assert store.list_alerts() == [alert()]


def test_an_alert_stands_or_falls_with_the_callers_transaction(
    store: MonitoringStore, writer: SqlMonitoring, platform: Stores
) -> None:
    class BrokenError(Exception):
        pass

    def raise_and_break() -> None:
        with writer.database.write() as connection:
            writer.raise_alert_in(connection, alert(), policy="", actor="")
            raise BrokenError

    with pytest.raises(BrokenError):
        raise_and_break()
    assert store.list_alerts() == []
    assert platform.ledger.entries() == []


def test_many_raise_the_same_alert_at_once(store: MonitoringStore, writer: SqlMonitoring, platform: Stores) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: raise_alert(writer, alert()), range(6)))
    assert store.list_alerts() == [alert()]
    assert len(platform.ledger.entries()) == 1


def test_alerts_are_listed_by_event_time_kind_and_subject(store: MonitoringStore, writer: SqlMonitoring) -> None:
    late = alert("c", happened_at=MONDAY + DAY)
    early = alert("b", kind="drift", happened_at=MONDAY - DAY)
    same_time = alert("a", subject="datasets/weather", kind="contract", happened_at=MONDAY + DAY)
    for each in (late, early, same_time):
        raise_alert(writer, each)
    assert store.list_alerts() == [early, same_time, late]
    assert store.list_alerts(kind="drift") == [early]
    assert store.list_alerts(subject="endpoints/delay") == [early, late]
    assert store.list_alerts(kind="contract", subject="endpoints/delay") == []
    assert store.list_alerts(limit=1) == [early]


def test_an_alert_without_a_time_zone_is_refused(store: MonitoringStore, writer: SqlMonitoring) -> None:
    with pytest.raises(InvalidError, match="time zone"):
        raise_alert(writer, alert(happened_at=datetime(2013, 3, 4)))
    assert store.list_alerts() == []


# --- windows


def test_a_window_is_closed_once_and_the_first_finding_stands(store: MonitoringStore, writer: SqlMonitoring) -> None:
    assert writer.close_window(window()) == window()
    assert writer.close_window(window(n_labelled=300, loss=None, decay={})) == window()
    assert store.list_windows("delay") == [window()]


def test_of_many_who_close_a_window_at_once_all_see_one_finding(store: MonitoringStore, writer: SqlMonitoring) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda n: writer.close_window(window(n_labelled=n)), range(6)))
    assert found == [found[0]] * 6
    assert store.list_windows("delay") == [found[0]]


def test_windows_are_listed_by_start_kind_and_endpoint(store: MonitoringStore, writer: SqlMonitoring) -> None:
    second, first = window(MONDAY + DAY), window()
    week, other = window(kind="week", end=MONDAY + 7 * DAY), window(endpoint="other")
    for each in (second, week, other, first):
        writer.close_window(each)
    assert store.list_windows("delay") == [first, week, second]
    assert store.list_windows("delay", "day") == [first, second]
    assert store.list_windows("delay", limit=1) == [first]
    assert store.list_windows("other") == [other]
    assert store.list_windows("nobody") == []
