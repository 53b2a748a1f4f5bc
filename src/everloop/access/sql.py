"""The ledger's table, and its store on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from everloop.access.ledger import GENESIS, Decision, Entry, Verification, check, entry_hash
from everloop.errors import ConflictError
from everloop.storage.database import EPOCH, Database, UtcDateTime

metadata = sa.MetaData()

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("recorded_at", UtcDateTime, nullable=False),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("policy", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("previous", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Index("ledger_by_subject", "subject", "seq"),
)


class SqlLedger:
    """`LedgerStore` on a database. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def record(self, decision: Decision) -> Entry:
        with self.database.write() as connection:
            return self.record_in(connection, decision)

    def record_in(self, connection: Connection, decision: Decision) -> Entry:
        """Append inside the caller's write transaction, so that a change and its entry stand or fall together."""
        if not self.database.is_sqlite:
            # SQLite's write transaction is alone already; here two writers must not read the same last entry.
            connection.execute(sa.text("LOCK TABLE ledger IN EXCLUSIVE MODE"))
        known = connection.execute(sa.select(ledger).where(ledger.c.key == decision.key)).first()
        if known is not None:
            return _same(_entry(known), decision)
        last = connection.execute(sa.select(ledger).order_by(ledger.c.seq.desc()).limit(1)).first()
        entry = Entry(
            seq=last.seq + 1 if last else 1,
            recorded_at=datetime.now(UTC),
            key=decision.key,
            kind=decision.kind,
            subject=decision.subject,
            actor=decision.actor,
            policy=decision.policy,
            body=msgspec.json.encode(decision.body, order="sorted").decode(),
            previous=last.hash if last else GENESIS,
            hash="",
        )
        entry = msgspec.structs.replace(entry, hash=entry_hash(entry))
        connection.execute(sa.insert(ledger).values(msgspec.structs.asdict(entry)))
        return entry

    def entries(
        self, kind: str | None = None, subject: str | None = None, after: int = 0, limit: int = 1000
    ) -> list[Entry]:
        query = sa.select(ledger).where(ledger.c.seq > after).order_by(ledger.c.seq).limit(limit)
        if kind is not None:
            query = query.where(ledger.c.kind == kind)
        if subject is not None:
            query = query.where(ledger.c.subject == subject)
        with self.database.read() as connection:
            return [_entry(row) for row in connection.execute(query)]

    def verify(self, head: str | None = None) -> Verification:
        seq, previous, seen = 0, GENESIS, head in (None, GENESIS)
        query = sa.select(*(_raw(column, self.database) for column in ledger.c)).order_by(ledger.c.seq)
        with (
            self.database.read() as connection,
            connection.execution_options(yield_per=1000).execute(query) as rows,
        ):
            for row in rows:
                seq += 1
                entry = _read_raw(row)
                reason = check(entry, seq, previous) if entry else f"entry {seq} cannot be read"
                if entry is None or reason:
                    return Verification(ok=False, entries=seq, head=previous, broken_seq=seq, reason=reason)
                previous = entry.hash
                seen = seen or previous == head
        if not seen:
            reason = f"the entry with hash {head} is gone: entries were cut off the end or the chain was replaced"
            return Verification(ok=False, entries=seq, head=previous, broken_seq=seq + 1, reason=reason)
        return Verification(ok=True, entries=seq, head=previous)


def _same(entry: Entry, decision: Decision) -> Entry:
    if (entry.kind, entry.subject) != (decision.kind, decision.subject):
        raise ConflictError(f"ledger key {decision.key!r} is taken by a {entry.kind} of {entry.subject}")
    return entry


def _entry(row: sa.Row[Any]) -> Entry:
    return Entry(**row._mapping)


def _raw(column: sa.Column[Any], database: Database) -> sa.ColumnElement[Any]:
    """Select a column as it lies there: a damaged value must reach the check, not break the reading of others."""
    if isinstance(column.type, UtcDateTime):
        return sa.type_coerce(column, sa.BigInteger).label(column.name)
    if isinstance(column.type, sa.Text) and database.is_sqlite:  # which does not check that text is UTF-8
        return sa.cast(column, sa.LargeBinary).label(column.name)
    return column


def _read_raw(row: sa.Row[Any]) -> Entry | None:
    values = dict(row._mapping)
    try:
        values = {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}
        values["recorded_at"] = EPOCH + timedelta(microseconds=values["recorded_at"])
    except (UnicodeDecodeError, TypeError, OverflowError):  # not UTF-8, not a number, not a time before the year 10000
        return None
    return Entry(**values)
