"""The monitoring room's tables, and its store on SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from everloop.access import Decision
from everloop.access.sql import SqlLedger
from everloop.monitoring.store import Alert, AlertKind, Window
from everloop.storage.database import Database, Json, UtcDateTime

metadata = sa.MetaData()

windows = sa.Table(
    "windows",
    metadata,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("start", UtcDateTime, primary_key=True),
    sa.Column("end", UtcDateTime, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("n_predictions", sa.BigInteger, nullable=False),
    sa.Column("n_labelled", sa.BigInteger, nullable=False),
    sa.Column("loss", sa.Double),
    sa.Column("auc", sa.Double),
    sa.Column("drift", Json(dict[str, Any]), nullable=False),
    sa.Column("decay", Json(dict[str, Any]), nullable=False),
)
alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("happened_at", UtcDateTime, nullable=False),
    sa.Column("raised_at", UtcDateTime, nullable=False),
    sa.Column("body", Json(dict[str, Any]), nullable=False),
    sa.Index("alerts_by_subject", "subject", "happened_at"),
)


class SqlMonitoring:
    """`MonitoringStore` on a database; records each alert in `ledger`. Thread-safe."""

    def __init__(self, database: Database, ledger: SqlLedger) -> None:
        self.database = database
        self.ledger = ledger

    def close_window(self, window: Window) -> Window:
        """Keep what was found in a window; return it, or what was found when it was closed the first time."""
        row = msgspec.structs.asdict(window)
        same = sa.and_(
            windows.c.endpoint == window.endpoint, windows.c.kind == window.kind, windows.c.start == window.start
        )
        with self.database.write() as connection:
            connection.execute(self.database.insert(windows).values(row).on_conflict_do_nothing())
            return Window(**connection.execute(sa.select(windows).where(same)).one()._mapping)

    def raise_alert(self, alert: Alert, *, policy: str, actor: str) -> None:
        """Keep an alert and its ledger entry; one that is known already changes nothing."""
        with self.database.write() as connection:
            self.raise_alert_in(connection, alert, policy=policy, actor=actor)

    def raise_alert_in(self, connection: Connection, alert: Alert, *, policy: str, actor: str) -> None:
        """Raise an alert inside the caller's write transaction."""
        row = msgspec.structs.asdict(alert)
        connection.execute(self.database.insert(alerts).values(row).on_conflict_do_nothing())
        body = {"severity": alert.severity, "message": alert.message, "happened_at": alert.happened_at} | alert.body
        decision = Decision(
            key=f"alert/{alert.key}",
            kind=f"alert_{alert.kind}",
            subject=alert.subject,
            actor=actor,
            policy=policy,
            body=body,
        )
        self.ledger.record_in(connection, decision)

    def list_windows(self, endpoint: str, kind: str | None = None, limit: int = 1000) -> list[Window]:
        query = sa.select(windows).where(windows.c.endpoint == endpoint).order_by(windows.c.start, windows.c.kind)
        if kind is not None:
            query = query.where(windows.c.kind == kind)
        with self.database.read() as connection:
            return [Window(**row._mapping) for row in connection.execute(query.limit(limit))]

    def list_alerts(self, kind: AlertKind | None = None, subject: str | None = None, limit: int = 1000) -> list[Alert]:
        query = sa.select(alerts).order_by(alerts.c.happened_at, alerts.c.key).limit(limit)
        if kind is not None:
            query = query.where(alerts.c.kind == kind)
        if subject is not None:
            query = query.where(alerts.c.subject == subject)
        with self.database.read() as connection:
            return [Alert(**row._mapping) for row in connection.execute(query)]
