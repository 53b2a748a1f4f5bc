"""A hub over each database as MLflow's client meets it, and that client in its own environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from everloop.config import Settings
from everloop.server.app import hub_app
from everloop.server.platform import Platform
from everloop.storage import HttpClient
from tests.server.mlflowpeer import MlflowPeer
from tests.stores import LoopbackServer, Stores


@pytest.fixture(params=["sqlite", "postgresql"])
def served(request: pytest.FixtureRequest, tmp_path: Path, loopback_server: LoopbackServer) -> Iterator[Stores]:
    """A hub over HTTP on an empty database, once on SQLite and once on PostgreSQL: its stores as a client sees them."""
    if request.param == "sqlite":
        settings = Settings(home=str(request.getfixturevalue("sqlite_home")))
    else:
        settings = Settings(home=str(tmp_path), database_url=request.getfixturevalue("platform_postgres_url"))
    local = Platform(settings)
    with loopback_server.serving(hub_app(local)):
        yield Stores("remote", local, HttpClient(loopback_server.url))
    local.close()


@pytest.fixture(scope="session")
def mlflow_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowPeer]:
    """A process with MLflow imported, which takes seconds."""
    with MlflowPeer(tmp_path_factory.mktemp("mlflow")) as peer:
        yield peer


@pytest.fixture
def peer(served: Stores, mlflow_process: MlflowPeer) -> MlflowPeer:
    """The unmodified client, whose server is the hub."""
    assert served.client is not None
    mlflow_process.url = served.client.url
    return mlflow_process
