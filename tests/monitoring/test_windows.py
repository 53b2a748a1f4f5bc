"""Every window is closed exactly once, in order, however the watermark moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.errors import InvalidError
from everloop.monitoring import Span, WindowKind, window_of, windows_closed

TIMES = st.datetimes(datetime(1969, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
KINDS: st.SearchStrategy[WindowKind] = st.sampled_from(["day", "week"])


@given(st.lists(TIMES, min_size=2, max_size=8), KINDS)
def test_any_steps_of_the_watermark_close_the_same_windows_once(marks: list[datetime], kind: WindowKind) -> None:
    marks = sorted(marks)[:1] + [marks[0] + (m - marks[0]) / 50 for m in sorted(marks)]
    marks.sort()
    stepwise = [span for one, two in pairwise(marks) for span in windows_closed(one, two, kind)]
    assert stepwise == list(windows_closed(marks[0], marks[-1], kind))
    assert all(one.end == two.start for one, two in pairwise(stepwise))
    assert all(marks[0] < span.end <= marks[-1] for span in stepwise)


@given(TIMES, KINDS)
def test_a_time_lies_in_its_window(time: datetime, kind: WindowKind) -> None:
    span = window_of(time, kind)
    assert span.start <= time < span.end
    assert span.start.time() == datetime.min.time()
    assert window_of(span.start, kind) == span
    if kind == "week":
        assert (span.start.weekday(), span.end - span.start) == (0, timedelta(days=7))


@given(TIMES, TIMES, KINDS)
def test_a_watermark_that_stays_or_goes_back_closes_nothing(one: datetime, two: datetime, kind: WindowKind) -> None:
    assert windows_closed(max(one, two), min(one, two), kind) == ()


def test_a_window_closes_when_the_watermark_reaches_its_end() -> None:
    start, end = datetime(2013, 3, 4, tzinfo=UTC), datetime(2013, 3, 5, tzinfo=UTC)
    assert windows_closed(start, end - timedelta(microseconds=1), "day") == ()
    assert windows_closed(start, end, "day") == (Span(start=start, end=end, kind="day"),)
    assert windows_closed(end, end, "day") == ()


def test_names_are_iso() -> None:
    assert window_of(datetime(2013, 3, 4, 5, tzinfo=UTC), "day").name == "2013-03-04"
    assert window_of(datetime(2012, 12, 31, tzinfo=UTC), "week").name == "2013-W01"


def test_other_zones_are_converted() -> None:
    new_york = timezone(timedelta(hours=-5))
    assert window_of(datetime(2013, 1, 1, 20, tzinfo=new_york), "day").name == "2013-01-02"
    assert window_of(datetime(2013, 1, 1, 20, tzinfo=new_york), "day").start.tzinfo is UTC


def test_mistakes_are_refused() -> None:
    with pytest.raises(InvalidError, match="no time zone"):
        window_of(datetime(2013, 1, 1), "day")
    with pytest.raises(InvalidError, match="'month'"):
        window_of(datetime(2013, 1, 1, tzinfo=UTC), "month")  # type: ignore[arg-type]
