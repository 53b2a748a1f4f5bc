"""What monitoring keeps: one row per closed window, and alerts.

Promises:
- A window of an endpoint is closed once; closing it again returns what was found the first time.
- An alert is named by its key; raising it again keeps one, and records one ledger entry.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

from everloop.storage.operation import operation

AlertKind = Literal["contract", "drift", "decay"]
Severity = Literal["warning", "critical"]


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a person or the loop should look at. `happened_at` is event time; `body` holds the numbers."""

    key: str
    kind: AlertKind
    severity: Severity
    subject: str
    message: str
    happened_at: datetime
    raised_at: datetime
    body: dict[str, Any]


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of an endpoint in one closed window of event time, from `start` to before `end`.

    `loss` and `auc` are the champion's over the labelled predictions, None without labels; `drift` and `decay` are
    the reports of `monitoring.drift` and `monitoring.decay` as JSON values.
    """

    endpoint: str
    kind: str
    start: datetime
    end: datetime
    version: int
    n_predictions: int
    n_labelled: int
    loss: float | None
    auc: float | None
    drift: dict[str, Any]
    decay: dict[str, Any]


class MonitoringStore(Protocol):
    """Windows and alerts."""

    @operation("read")
    def list_windows(self, endpoint: str, kind: str | None = None, limit: int = 1000) -> list[Window]:
        """Return an endpoint's closed windows by start."""
        ...

    @operation("read")
    def list_alerts(self, kind: AlertKind | None = None, subject: str | None = None, limit: int = 1000) -> list[Alert]:
        """Return alerts by event time, oldest first."""
        ...
