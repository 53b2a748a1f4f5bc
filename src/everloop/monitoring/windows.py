"""Windows of event time: whole UTC days and weeks, each closed exactly once and in order.

A window is closed when the watermark, the time up to which all events are taken to have arrived, reaches its end. How
the watermark is derived and how late events may be is left to the caller; what is done with a closed window too.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

import msgspec

from everloop.errors import InvalidError

WindowKind: TypeAlias = Literal["day", "week"]

_LENGTH: dict[WindowKind, timedelta] = {"day": timedelta(days=1), "week": timedelta(days=7)}
# 1970-01-05 was a Monday, so whole weeks from here begin on Mondays, as in ISO 8601.
_ORIGIN = datetime(1970, 1, 5, tzinfo=UTC)


class Span(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A window of event time: from `start` to before `end`, both UTC. `name` is `2013-03-04` or `2013-W10`."""

    start: datetime
    end: datetime
    kind: WindowKind

    @property
    def name(self) -> str:
        """The ISO 8601 name of the day or week."""
        if self.kind == "day":
            return f"{self.start:%Y-%m-%d}"
        year, week, _ = self.start.isocalendar()
        return f"{year:04}-W{week:02}"


def window_of(time: datetime, kind: WindowKind) -> Span:
    """Return the window that `time` lies in.

    Raises:
        InvalidError: `time` has no zone, or `kind` is unknown.
    """
    if kind not in _LENGTH:
        raise InvalidError(f"there is no window kind {kind!r}", hint=f"Known kinds: {', '.join(_LENGTH)}.")
    if time.tzinfo is None:
        raise InvalidError(f"event time {time.isoformat()} has no time zone", hint="Use UTC-aware datetimes.")
    length = _LENGTH[kind]
    start = _ORIGIN + (time - _ORIGIN) // length * length
    return Span(start=start, end=start + length, kind=kind)


def windows_closed(previous_watermark: datetime, watermark: datetime, kind: WindowKind) -> tuple[Span, ...]:
    """Return the windows whose end lies in (previous_watermark, watermark], oldest first.

    Calling it with each watermark and the one before gives every window exactly once, however the watermark moves
    forward. A watermark that does not move, or goes back, closes nothing: keep the greatest as the previous one. To
    begin, pass the time of the first event as `previous_watermark`.

    Raises:
        InvalidError: A time has no zone, or `kind` is unknown.
    """
    span, last = window_of(previous_watermark, kind), window_of(watermark, kind)
    result = []
    while span.start < last.start:
        result.append(span)
        span = Span(start=span.end, end=span.end + _LENGTH[kind], kind=kind)
    return tuple(result)
