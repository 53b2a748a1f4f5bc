"""A database of an older release is brought to the newest schema, with all that it holds."""

from __future__ import annotations

import sqlalchemy as sa

from everloop import refs
from everloop.storage.database import Database
from everloop.storage.migrations import migrate
from everloop.tracking.sql import SqlTracking


def test_runs_of_before_sources_were_counted_can_be_added_to(database: Database) -> None:
    migrate(database, ["tracking"])
    store = SqlTracking(database)
    run_id = store.create_run(refs.new_run_id(), "flights", tags={"old": "yes"}).run_id
    with database.write() as connection:
        connection.execute(sa.text("DROP TABLE sources"))
        connection.execute(
            sa.text("UPDATE alembic_version SET version_num = 'tracking_0001' WHERE version_num = 'tracking_0002'")
        )
    assert migrate(database, ["tracking"])
    assert store.append(run_id, "s1", 0, 1, params={"new": "yes"}) == 1
    assert (store.get_run(run_id).tags, store.get_run(run_id).params) == ({"old": "yes"}, {"new": "yes"})
