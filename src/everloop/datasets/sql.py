"""The datasets room's tables, and its store on SQLite and PostgreSQL."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from everloop import refs
from everloop.access import Decision
from everloop.access.sql import SqlLedger
from everloop.datasets.check import CheckReport, check
from everloop.datasets.contract import Contract, parse_contract
from everloop.datasets.profile import Profile
from everloop.datasets.reading import Violation
from everloop.datasets.store import Batch, Dataset, State
from everloop.errors import ConflictError, NotFoundError
from everloop.storage import ObjectStore
from everloop.storage.database import Database, Identity, Json, UtcDateTime

metadata = sa.MetaData()

datasets = sa.Table(
    "datasets",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("contract", sa.Text, nullable=False),
    sa.Column("contract_digest", sa.Text, nullable=False),
    sa.Column("defined_at", UtcDateTime, nullable=False),
)
batches = sa.Table(
    "batches",
    metadata,
    sa.Column("seq", Identity, primary_key=True, autoincrement=True),
    sa.Column("dataset", sa.Text, sa.ForeignKey("datasets.name"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("n_rows", sa.BigInteger, nullable=False),
    sa.Column("received_at", UtcDateTime, nullable=False),
    sa.Column("contract_digest", sa.Text, nullable=False),
    sa.Column("violations", Json(list[Violation]), nullable=False),
    sa.Column("profile", Json(Profile)),
    sa.UniqueConstraint("dataset", "name", "digest", name="batches_once"),
    sa.Index(
        "batches_accepted_once",
        "dataset",
        "name",
        unique=True,
        sqlite_where=sa.text("state = 'accepted'"),
        postgresql_where=sa.text("state = 'accepted'"),
    ),
    sqlite_autoincrement=True,
)
_SHOWN = [column for column in batches.c if column.name != "profile"]


class SqlDatasets:
    """`DatasetStore` on a database; reads batches from `objects` and writes its judgements to `ledger`. Thread-safe."""

    def __init__(self, database: Database, objects: ObjectStore, ledger: SqlLedger) -> None:
        self.database = database
        self.objects = objects
        self.ledger = ledger

    def define(self, dataset: str, contract: str, actor: str) -> Dataset:
        refs.check_name(dataset, "dataset")
        parse_contract(contract, name=f"the contract of {dataset!r}")
        digest = hashlib.sha256(contract.encode()).hexdigest()
        row = {"name": dataset, "contract": contract, "contract_digest": digest, "defined_at": datetime.now(UTC)}
        with self.database.write() as connection:
            known = connection.execute(sa.select(datasets).where(datasets.c.name == dataset)).first()
            if known is not None and known.contract_digest == digest:
                return Dataset(**known._mapping)
            statement = self.database.insert(datasets).values(row)
            change = {name: row[name] for name in ("contract", "contract_digest", "defined_at")}
            connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=change))
            self.ledger.record_in(
                connection,
                Decision(
                    key=f"contract/{dataset}/{digest[:16]}/{row['defined_at']}",
                    kind="contract_defined",
                    subject=f"datasets/{dataset}",
                    actor=actor,
                    body={"contract": digest},
                ),
            )
        return Dataset(**row)  # type: ignore[arg-type]

    def list_datasets(self) -> list[Dataset]:
        with self.database.read() as connection:
            rows = connection.execute(sa.select(datasets).order_by(datasets.c.name))
            return [Dataset(**row._mapping) for row in rows]

    def ingest(self, dataset: str, batch: str, digest: str, actor: str) -> Batch:
        refs.check_name(batch, "batch")
        path = self.objects.path_of(digest)
        with self.database.read() as connection:
            definition = self._definition(connection, dataset)
            known = self._known(connection, dataset, batch, digest)
            previous = self._last_profile(connection, dataset)
        if known is not None:
            return known
        # The check reads the whole file: outside any transaction, so that nobody waits for it.
        contract = _parsed(definition.contract, dataset)
        report = check(contract, path, previous=previous)
        with self.database.write() as connection:
            return self._keep(connection, definition, batch, digest, path.stat().st_size, report, actor)

    def list_batches(
        self, dataset: str | None = None, state: State | None = None, up_to: int | None = None
    ) -> list[Batch]:
        query = sa.select(*_SHOWN).order_by(batches.c.seq)
        if dataset is not None:
            query = query.where(batches.c.dataset == dataset)
        if state is not None:
            query = query.where(batches.c.state == state)
        if up_to is not None:
            query = query.where(batches.c.seq <= up_to)
        with self.database.read() as connection:
            return [Batch(**row._mapping) for row in connection.execute(query)]

    def profile(self, seq: int) -> Profile | None:
        with self.database.read() as connection:
            row = connection.execute(sa.select(batches.c.profile).where(batches.c.seq == seq)).first()
        if row is None:
            raise NotFoundError(f"no batch number {seq}")
        profile: Profile | None = row.profile
        return profile

    def _definition(self, connection: Connection, dataset: str) -> Dataset:
        row = connection.execute(sa.select(datasets).where(datasets.c.name == dataset)).first()
        if row is None:
            names = ", ".join(connection.execute(sa.select(datasets.c.name)).scalars()) or "none"
            raise NotFoundError(f"no dataset {dataset!r}; there are: {names}", hint="`ever apply` makes them.")
        return Dataset(**row._mapping)

    def _known(self, connection: Connection, dataset: str, batch: str, digest: str) -> Batch | None:
        """Return the batch that came with these very bytes; refuse other bytes for an accepted name."""
        query = sa.select(*_SHOWN).where(batches.c.dataset == dataset, batches.c.name == batch)
        rows = connection.execute(query).all()
        for row in rows:
            if row.digest == digest:
                return Batch(**row._mapping)
        if any(row.state == "accepted" for row in rows):
            raise ConflictError(
                f"batch {batch!r} of {dataset!r} was accepted before with other bytes",
                hint="Accepted batches never change; hand the correction in under another name.",
            )
        return None

    def _last_profile(self, connection: Connection, dataset: str) -> Profile | None:
        query = sa.select(batches.c.profile).where(batches.c.dataset == dataset, batches.c.state == "accepted")
        row = connection.execute(query.order_by(batches.c.seq.desc()).limit(1)).first()
        return row.profile if row is not None else None

    def _keep(
        self,
        connection: Connection,
        definition: Dataset,
        batch: str,
        digest: str,
        size_bytes: int,
        report: CheckReport,
        actor: str,
    ) -> Batch:
        if not self.database.is_sqlite:
            # SQLite's write transaction is alone already; here batches must appear in the order of their numbers, so
            # that "everything up to number n" never grows, and of two with one name the second must see the first.
            connection.execute(sa.text("LOCK TABLE batches IN EXCLUSIVE MODE"))
        # Somebody may have handed in the same batch meanwhile.
        known = self._known(connection, definition.name, batch, digest)
        if known is not None:
            return known
        values: dict[str, Any] = {
            "dataset": definition.name,
            "name": batch,
            "state": "accepted" if report.ok else "quarantined",
            "digest": digest,
            "size_bytes": size_bytes,
            "n_rows": report.n_rows,
            "received_at": datetime.now(UTC),
            "contract_digest": definition.contract_digest,
            "violations": report.violations,
        }
        statement = sa.insert(batches).values(values | {"profile": report.profile}).returning(batches.c.seq)
        kept = Batch(seq=connection.execute(statement).scalar_one(), **values)
        if not report.ok:
            self.ledger.record_in(connection, _quarantined(kept, actor))
        return kept


@lru_cache(maxsize=64)
def _parsed(text: str, dataset: str) -> Contract:
    # Parsing binds the contract's expressions in duckdb, which takes longer than checking a small batch.
    return parse_contract(text, name=f"the contract of {dataset!r}")


def _quarantined(batch: Batch, actor: str) -> Decision:
    return Decision(
        key=f"quarantine/{batch.dataset}/{batch.name}/{batch.digest[:16]}",
        kind="batch_quarantined",
        subject=f"datasets/{batch.dataset}",
        actor=actor,
        policy=batch.contract_digest,
        body={"batch": batch.name, "rows": batch.n_rows, "violations": msgspec.to_builtins(batch.violations)},
    )
