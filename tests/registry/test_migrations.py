"""A registry of an older release is brought to the newest schema, with all that it holds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from everloop.access.sql import SqlLedger
from everloop.registry import PackageFile
from everloop.registry.sql import SqlRegistry
from everloop.storage.database import Database
from everloop.storage.migrations import migrate, upgrade

MARCH = datetime(2013, 3, 1, tzinfo=UTC)
MARCH_US = int(MARCH.timestamp()) * 1_000_000
RUN, DIGEST = "7f" * 16, "ab" * 32
FILES = f'[{{"path":"MLmodel","digest":"{DIGEST}","size_bytes":120}}]'
FIRST: tuple[tuple[str, list[tuple[Any, ...]]], ...] = (
    ("models (name, created_at, latest_version)", [("delay", MARCH_US, 2), ("other", MARCH_US, 0)]),
    (
        "model_versions (model, version, run_id, digest, files, evidence, created_at)",
        [("delay", number, RUN, f"{number:064x}", FILES, '{"auc":0.7}', MARCH_US + number) for number in (1, 2)],
    ),
    ("model_aliases (model, alias, version, moves)", [("delay", "best", 2, 5)]),
)


def test_models_of_before_they_were_described_are_all_there(database: Database) -> None:
    upgrade(database, ("registry_0001",))
    with database.write() as connection:
        for table, rows in FIRST:
            names = table.partition("(")[2].rstrip(")").split(", ")
            statement = sa.text(f"INSERT INTO {table} VALUES ({', '.join(f':{name}' for name in names)})")
            connection.execute(statement, [dict(zip(names, row, strict=True)) for row in rows])
    assert migrate(database, ["access", "registry"])
    store = SqlRegistry(database, SqlLedger(database))
    model = store.get_model("delay")
    assert (model.created_at, model.updated_at, model.latest_version) == (MARCH, MARCH, 2)
    assert (model.description, model.tags, model.aliases) == ("", {}, {"best": 2})
    version = store.resolve("delay", "best")
    assert version.files == [PackageFile(path="MLmodel", digest=DIGEST, size_bytes=120)]
    assert (version.evidence, version.run_id, version.stage, version.is_deleted) == ({"auc": 0.7}, RUN, "None", False)
    assert version.updated_at == version.created_at
    # What was registered is known, and a client's new version of the same package is another one.
    assert store.register("delay", RUN, f"{1:064x}", version.files, {}, "ada").version == 1
    assert store.create_version("delay", "x:/", "ada", RUN, digest=f"{1:064x}", files=version.files).version == 3
    assert [each.name for each in store.list_models()] == ["delay", "other"]
