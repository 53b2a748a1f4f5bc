"""`python -m tests.serving.serve HOME PACKAGE PORT`: a gateway in a process of its own, for tests that kill it."""

from __future__ import annotations

import sys
from pathlib import Path

from everloop import web
from everloop.access.sql import SqlLedger
from everloop.serving.gateway import Gateway
from everloop.serving.sql import SqlServing
from everloop.storage.database import Database


def main(home: str, package: str, port: str) -> None:
    database = Database(f"sqlite:///{Path(home) / 'everloop.db'}")
    store = SqlServing(database, SqlLedger(database))
    gateway = Gateway(store, store, lambda _model, _version: Path(package))
    gateway.fleet.refresh()
    web.run(gateway.app, host="127.0.0.1", port=int(port), on_stop=gateway.close)


if __name__ == "__main__":
    main(*sys.argv[1:])
